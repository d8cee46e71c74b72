"""What the command lines that train BERT have in common: values by name, and how fast."""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args

from evidence.begun import OTHER_CODE
from swe.run.compiling import CompileMode
from swe.run.speed import SpeedConfig


def number_or_text(value: str) -> Any:
    """Read a number, true or false as such, anything else as text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def add_speed_options(parser: argparse._ActionsContainer) -> None:
    """Add --compile and --prefetch, which :func:`speed_of` reads."""
    parser.add_argument(
        "--compile",
        choices=("auto", *get_args(CompileMode)),
        default="auto",
        help="torch.compile: blocks (auto on CUDA), the whole loss (model; anew at every untie,\n"
        "one process only), or none (auto on the CPU)",
    )
    parser.add_argument(
        "--prefetch",
        type=int,
        metavar="N",
        help="batches built ahead by a thread (default: 2 on CUDA, 0 on the CPU)",
    )


def add_other_code(parser: argparse._ActionsContainer, anew: bool = True) -> None:
    """Add --other-code; without ``anew`` for a command whose folder has its name from the user."""
    parser.add_argument(
        "--other-code",
        choices=OTHER_CODE if anew else OTHER_CODE[:2],
        default=OTHER_CODE[0],
        help="runs that another version of the code left half done: refuse to go on (default),\n"
        + ("continue them all the same, or begin anew beside them" if anew else "or continue"),
    )


def speed_of(given: argparse.Namespace, device: str) -> SpeedConfig:
    """Return the speed options for ``device``. ConfigError for impossible values."""
    chosen = given.compile
    if chosen == "auto":
        chosen = "blocks" if device == "cuda" else "none"
    return SpeedConfig(compile=chosen, prefetch=given.prefetch)
