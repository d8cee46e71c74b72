"""What the fine-tuning commands have in common: data, recipe, device, speed."""

from __future__ import annotations

import argparse
from pathlib import Path

from bert.data.options import add_reading
from bert.finetune.learning.config import RATES, SQUAD, TASKS, FinetuneConfig
from bert.study.options import add_device, add_other_code, add_speed_options, device_of, speed_of
from evidence.commands import add_minutes, add_several
from swe.base.config import require_count
from swe.run.speed import SpeedConfig

RESULTS = Path("results")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of data, machine and recipe, which the functions below read."""
    add_several(
        parser, "--task", required=True, choices=TASKS, metavar="TASK", help=", ".join(TASKS)
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE or SQuAD files")
    parser.add_argument("--vocab", type=Path, help="vocab.txt (default: found above the model)")
    add_reading(parser, texts=False)
    add_several(parser, "--train", type=Path, help="SQuAD: other files")
    parser.add_argument("--dev", type=Path, help="SQuAD: another file")
    add_device(parser)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    add_minutes(parser)
    add_speed_options(parser)
    add_other_code(parser)
    # Rows come in many widths, and each is compiled anew: minutes, for a run of minutes.
    parser.set_defaults(compile="none")
    recipe = parser.add_argument_group("recipe (defaults: the paper's)")
    add_several(recipe, "--rates", type=float, help=f"default: {' '.join(map(str, RATES))}")
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
        rates=tuple(options.rates or RATES),
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
    device = device_of(options)
    require_count("--jobs", options.jobs)
    return device, speed_of(options, device)
