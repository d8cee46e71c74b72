"""Fine-tune a pre-trained model on GLUE and SQuAD and score it.

    python -m bert.finetune runs/swe-f-s0 --task sst-2 rte --data glue

Every task gets all rates and seeds, a table (OUT/TASK/table.json) and prediction files
(OUT/submission). Finished runs are kept; Ctrl-C loses nothing and the same command goes on. So it
does after --max-minutes. For all arms of a table at once: python -m bert.finetune.arms. Exit
status: see evidence.commands.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import swe.base.threads  # noqa: F401 - before numpy and torch load
from bert.finetune.options import RESULTS, add_options, config_of, machine
from bert.finetune.study import Sources, build_task, run_finetune
from evidence.commands import ended
from swe.base.interrupt import Stop, either, polite_stop
from swe.base.options import Parser
from swe.base.progress import Bars

NAME = "bert.finetune"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse ends the program with status 2 for bad arguments."""
    parser = Parser(
        prog=f"python -m {NAME}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "model", type=Path, help="folder of a finished run of ours, or of Hugging Face"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=RESULTS / "finetune",
        help="results folder (default: results/finetune, which the report of paper_repro.py shows)",
    )
    add_options(parser)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, late: Stop) -> None:
    """Fine-tune on the tasks in turn; all their data is read before the first run begins."""
    device, speed = machine(options)
    sources = Sources(
        pretrained=options.model,
        data=options.data,
        vocabulary=options.vocab,
        train=tuple(options.train),
        dev=options.dev,
        errors=options.errors,
    )
    configs = [config_of(options, task) for task in options.task]
    for config in configs:
        task = build_task(sources, config)
        steps = config.steps(len(task.rows))
        print(
            f"{config.task}: {len(config.rates)} rates x {config.seeds} seeds, {len(task.rows)} "
            f"rows, {steps} updates of {config.batch}"
        )
        print("".join(f"{note}\n" for note in task.notes()), end="")
    with Bars(dict.fromkeys(options.task, "updates")) as bars, polite_stop() as asked:
        tables = [
            run_finetune(
                sources,
                config,
                options.out,
                device=device,
                jobs=options.jobs,
                speed=speed,
                report=bars,
                other_code=options.other_code,
                stop=either(asked, late),
                warn=bars.say,
            )
            for config in configs
        ]
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
    return ended(NAME, lambda late: run(options, late), minutes=options.max_minutes)


if __name__ == "__main__":
    sys.exit(main())
