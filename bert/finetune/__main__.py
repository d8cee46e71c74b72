"""Fine-tune a pre-trained model on GLUE and SQuAD and score it.

    python -m bert.finetune results/bert/FOLDER/swe-f-s0 --task sst-2 rte --data glue --out tuned

Every task gets all rates and seeds, a table (OUT/TASK/table.json) and prediction files
(OUT/submission). Finished runs are kept; Ctrl-C loses nothing and the same command goes on. Exit
status: 0 it ran (whatever the scores), 1 something broke, 2 bad arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from tqdm import tqdm

from bert.finetune.config import RATES, SQUAD, TASKS, FinetuneConfig
from bert.finetune.study import Sources, build_task, run_finetune
from bert.pool import WorkerKilledError
from bert.text import DataError
from training.checkpoint import CheckpointError
from training.config import ConfigError
from training.interrupt import polite_stop
from training.lock import FolderBusyError
from training.loop import Interrupted
from training.progress import Bars
from training.record import RunFolderError
from training.runner import FunctionChangedError

NAME = "bert.finetune"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse ends the program with status 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {NAME}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "model", type=Path, help="folder of a finished run of ours, or of Hugging Face"
    )
    parser.add_argument("--task", nargs="+", required=True, choices=TASKS, metavar="TASK",
                        help=", ".join(TASKS))  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, help="folder of GLUE or SQuAD files")
    parser.add_argument("--out", type=Path, required=True, help="results folder")
    parser.add_argument("--vocab", type=Path, help="vocab.txt (default: found above the model)")
    parser.add_argument("--train", type=Path, nargs="+", default=[], help="SQuAD: other files")
    parser.add_argument("--dev", type=Path, help="SQuAD: another file")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    recipe = parser.add_argument_group("recipe (defaults: the paper's)")
    recipe.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    recipe.add_argument("--seeds", type=int, default=5, help="seeds 0 .. N - 1 at every rate")
    recipe.add_argument("--epochs", type=float, default=3.0)
    recipe.add_argument("--batch", type=int, default=32)
    recipe.add_argument("--max-length", type=int, help="tokens (default: 128, SQuAD 384)")
    recipe.add_argument("--stride", type=int, default=128, help="SQuAD: tokens between windows")
    recipe.add_argument("--max-query", type=int, default=64, help="SQuAD: tokens of a question")
    recipe.add_argument("--tying", choices=("keep", "untie"), default="keep",
                        help="what a model tied at the end stays")  # fmt: skip
    recipe.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    return parser.parse_args(arguments)


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


def run(options: argparse.Namespace) -> None:
    """Fine-tune on the tasks in turn; all their data is read before the first run begins."""
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device = 'cuda': must be auto or cpu, no CUDA device is here")
    if options.jobs < 1:
        raise ConfigError(f"--jobs = {options.jobs}: must be an integer, at least 1")
    sources = Sources(
        pretrained=options.model, data=options.data, vocabulary=options.vocab,
        train=tuple(options.train), dev=options.dev,
    )  # fmt: skip
    configs = [config_of(options, task) for task in options.task]
    for config in configs:
        task = build_task(sources, config)
        steps = config.steps(len(task.rows))
        print(
            f"{config.task}: {len(config.rates)} rates x {config.seeds} seeds, {len(task.rows)} "
            f"rows, {steps} updates of {config.batch}"
        )
    with Bars(dict.fromkeys(options.task, "updates")) as bars, polite_stop() as stop:
        tables = [
            run_finetune(
                sources, config, options.out, device=device, jobs=options.jobs,
                report=bars, stop=stop, warn=tqdm.write,
            )
            for config in configs
        ]  # fmt: skip
    print_tables(tables)


def print_tables(tables: Sequence[dict[str, Any]]) -> None:
    """Print each task's selected rate with its mean, interval, every value and flags."""
    print(f"\n{'task':<10} {'metric':<10} {'rate':>8} {'n':>2} {'mean':>6}  interval, every value")
    for table in tables:
        chosen = table["selected"]
        known = chosen["low"] is not None
        interval = f"[{chosen['low']:.1f}, {chosen['high']:.1f}]" if known else "none"
        values = " ".join(f"{value:.1f}" for value in chosen["values"])
        flagged = f", {chosen['degenerate']} degenerate" if chosen["degenerate"] else ""
        print(
            f"{table['task']:<10} {table['metric'] or '':<10} {chosen['rate']:>8g} "
            f"{chosen['n']:>2} {chosen['mean']:>6.2f}  {interval}, {values}{flagged}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    try:
        run(options)
    except ConfigError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Interrupted):
        print(f"\n{NAME}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except (
        DataError, CheckpointError, FunctionChangedError, FolderBusyError, RunFolderError,
        WorkerKilledError, OSError,
    ) as error:  # fmt: skip
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
