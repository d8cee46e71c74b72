"""Fine-tune the pre-trained models of a table, arm by arm, and set their scores side by side.

    python paper_repro.py table1 --text my.txt
    python -m bert.finetune.arms table1 --task sst-2 rte --data glue

Takes the finished headline runs of a table of paper_repro.py, the same pre-training seeds for all
arms, and gives all of them the same recipe and grid of rates. Writes the scores, the differences to
the baseline and the paper's own numbers to OUT/bert/finetune/STUDY/TABLE.json, from which
paper_repro.py makes figures, report and claims. Finished fine-tunes are kept, other tasks and more
seeds are added by later commands. Exit status as of bert.finetune.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import swe.base.threads  # noqa: F401 - before numpy and torch load
from bert.finetune.arm_runs import AT_CHOSEN, MAIN, open_table, run_arms
from bert.finetune.options import RESULTS, add_options, config_of, machine
from bert.finetune.study import Sources, build_task
from bert.study.table_arms import REFERENCE, TABLES
from evidence.commands import add_several, ended
from swe.base.config import require_count
from swe.base.files import write_json
from swe.base.interrupt import Stop, either, polite_stop
from swe.base.options import Parser
from swe.base.progress import Bars

NAME = "bert.finetune.arms"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse ends the program with status 2 for bad arguments."""
    parser = Parser(
        prog=f"python -m {NAME}", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("table", choices=TABLES, help=f"table: {', '.join(TABLES)}")
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="results folder that holds the table"
    )
    parser.add_argument("--out", type=Path, help="results folder to write to (default: --results)")
    add_several(
        parser,
        "--arms",
        metavar="ARM",
        help=f"default: {', '.join(MAIN)}, those that are there",
    )
    parser.add_argument(
        "--pretraining-seeds",
        type=int,
        metavar="N",
        help="the first N (default: all that every arm has finished)",
    )
    parser.add_argument(
        "--select",
        type=int,
        metavar="N",
        help="pre-training seeds that choose an arm's rate; the others get that rate alone\n"
        "(default: all choose)",
    )
    add_options(parser)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, late: Stop) -> None:
    """Fine-tune on the tasks in turn."""
    for name in ("pretraining_seeds", "select"):
        if getattr(options, name) is not None:
            require_count(f"--{name.replace('_', '-')}", getattr(options, name))
    device, speed = machine(options)
    runs = open_table(options.results, options.table, options.arms, options.pretraining_seeds)
    place = (options.out or options.results) / "bert" / "finetune"

    def sources(model: Path) -> Sources:
        return Sources(
            pretrained=model,
            data=options.data,
            vocabulary=options.vocab,
            train=tuple(options.train),
            dev=options.dev,
            errors=options.errors,
        )

    configs = [config_of(options, task) for task in options.task]
    paired = list(runs.models[REFERENCE])
    for config in configs:  # fail here, before the first hour
        task = build_task(sources(runs.models[REFERENCE][paired[0]]), config)
        print("".join(f"{note}\n" for note in task.notes()), end="")
    choosing = len(paired[: options.select])
    each = len(runs.models) * options.seeds
    count = each * (choosing * len(configs[0].rates) + len(paired) - choosing)
    print(
        f"{runs.name}: {', '.join(runs.models)}; pre-training seeds {paired}, {choosing} of them "
        f"choose from {len(configs[0].rates)} rates; {count} fine-tunes a task"
    )
    names = [form.format(task) for task in options.task for form in ("{}", AT_CHOSEN)]
    with Bars(dict.fromkeys(names, "updates")) as bars, polite_stop() as asked:
        for config in configs:
            found = run_arms(
                runs,
                config,
                sources,
                place / runs.folder,
                select=options.select,
                device=device,
                jobs=options.jobs,
                speed=speed,
                report=bars,
                other_code=options.other_code,
                stop=either(asked, late),
                warn=bars.say,
            )
            write_json(place / f"{runs.name}.json", {"folder": runs.folder})
    print_scores(found)


def print_scores(found: Mapping[str, Any]) -> None:
    """Print every task's arms: score, paired difference to the baseline, verdict, flags."""
    print(f"\n{'task':<14} {'arm':<14} {'rate':>7} {'n':>2} {'score':>6}  minus {REFERENCE}")
    for task in found["task_order"]:
        for arm in [arm for arm in found["order"] if arm in found["tasks"][task]["arms"]]:
            entry = found["tasks"][task]["arms"][arm]
            line = (
                f"{task:<14} {arm:<14} {entry['rate']:>7g} {entry['score']['n']:>2} "
                f"{entry['score']['mean']:>6.2f} "
            )
            gap = entry.get("difference")
            if gap is not None:
                line += f" {gap['mean']:+.2f}"
                if gap["low"] is not None:
                    line += f" [{gap['low']:+.2f}, {gap['high']:+.2f}]"
                line += f", {entry['verdict']}"
            if entry.get("degenerate"):
                line += f", {entry['degenerate']} of {entry['fine_tunes']} degenerate"
            print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = parse(arguments)
    return ended(NAME, lambda late: run(options, late), minutes=options.max_minutes)


if __name__ == "__main__":
    sys.exit(main())
