"""What the command lines that train BERT have in common: values by name, and how fast."""

from __future__ import annotations

import argparse
import json
from typing import Any, get_args

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


def speed_of(given: argparse.Namespace, device: str) -> SpeedConfig:
    """Return the speed options for ``device``. ConfigError for impossible values."""
    chosen = given.compile
    if chosen == "auto":
        chosen = "blocks" if device == "cuda" else "none"
    return SpeedConfig(compile=chosen, prefetch=given.prefetch)
