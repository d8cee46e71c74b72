"""What the fine-tuning commands have in common: data, recipe, device, speed, exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from bert.data.text import DataError
from bert.finetune.learning.config import RATES, SQUAD, TASKS, FinetuneConfig
from bert.study.options import add_other_code, add_speed_options, speed_of
from swe.base.errors import (
    CheckpointError,
    ConfigError,
    FolderBusyError,
    FunctionChangedError,
    RunFolderError,
)
from swe.base.interrupt import Deadline, Interrupted, Stop, never
from swe.run.pool import WorkerKilledError
from swe.run.speed import SpeedConfig

TIME_IS_UP = 75
RESULTS = Path("results")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of data, machine and recipe, which the functions below read."""
    parser.add_argument(
        "--task", nargs="+", required=True, choices=TASKS, metavar="TASK", help=", ".join(TASKS)
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE or SQuAD files")
    parser.add_argument("--vocab", type=Path, help="vocab.txt (default: found above the model)")
    parser.add_argument("--train", type=Path, nargs="+", default=[], help="SQuAD: other files")
    parser.add_argument("--dev", type=Path, help="SQuAD: another file")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument(
        "--max-minutes",
        type=float,
        help="save, stop and end with status 75 after that long; the same command goes on",
    )
    add_speed_options(parser)
    add_other_code(parser)
    # Rows come in many widths, and each is compiled anew: minutes, for a run of minutes.
    parser.set_defaults(compile="none")
    recipe = parser.add_argument_group("recipe (defaults: the paper's)")
    recipe.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    recipe.add_argument("--seeds", type=int, default=5, help="seeds 0 .. N - 1 at every rate")
    recipe.add_argument("--epochs", type=float, default=3.0)
    recipe.add_argument("--batch", type=int, default=32)
    recipe.add_argument("--max-length", type=int, help="tokens (default: 128, SQuAD 384)")
    recipe.add_argument("--stride", type=int, default=128, help="SQuAD: tokens between windows")
    recipe.add_argument("--max-query", type=int, default=64, help="SQuAD: tokens of a question")
    recipe.add_argument(
        "--tying",
        choices=("keep", "untie"),
        default="keep",
        help="what a model tied at the end stays",
    )
    recipe.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")


def config_of(options: argparse.Namespace, task: str) -> FinetuneConfig:
    """Return one task's recipe. ConfigError for impossible values."""
    return FinetuneConfig(
        task=task,
        rates=tuple(options.rates),
        seeds=options.seeds,
        epochs=options.epochs,
        batch=options.batch,
        max_length=options.max_length or (384 if task in SQUAD else 128),
        stride=options.stride,
        max_query=options.max_query,
        tying=options.tying,
        precision=options.precision,
    )


def machine(options: argparse.Namespace) -> tuple[str, SpeedConfig]:
    """Return device and speed options. ConfigError for what is not here."""
    device: str = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device = 'cuda': must be auto or cpu, no CUDA device is here")
    if options.jobs < 1:
        raise ConfigError(f"--jobs = {options.jobs}: must be an integer, at least 1")
    return device, speed_of(options, device)


def ended(name: str, options: argparse.Namespace, run: Callable[[Stop], None]) -> int:
    """Call ``run`` with the deadline that was asked for; return the command's exit status.

    0 it ran (whatever the scores), 1 something broke, 2 bad arguments, 75 the time was up and work
    is left, 130 interrupted; what was wrong is told in one line.
    """
    late: Stop = never
    try:
        if options.max_minutes is not None:
            late = Deadline(options.max_minutes, name="--max-minutes")
        run(late)
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted) as reason:
        up = isinstance(reason, Interrupted) and late()
        print(
            f"\n{name}: {'time is up' if up else 'stopped'}; the same command goes on from here",
            file=sys.stderr,
        )
        return TIME_IS_UP if up else 130
    except (
        DataError,
        CheckpointError,
        FunctionChangedError,
        FolderBusyError,
        RunFolderError,
        WorkerKilledError,
        OSError,
    ) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
