"""State the best blind loss in a study on record that was run before there was one.

    python -m bert.study.restate records/studies/12x64 --store DATA/tokens-64 --verify
    python -m bert.study.restate records/studies/24x256 --store DATA/tokens-128

The store is what the recorded command's data step makes of the same text and vocabulary. A record
has no digest of it: ``--verify`` trains the reference's first seed up to its first evaluation and
compares every logged loss with the recorded curve, to the digits that it has. A run on another
device repeats no digit; without ``--verify`` the shape is compared alone, and "checked" says so.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from bert.data.store import VOCABULARY_NAME
from bert.pretraining.task import TextTask
from bert.study.comparison import StudyData, build_task
from bert.study.curves import DIGITS
from bert.study.plateau import blind_of
from bert.study.table_study import TableStudy, chosen_arms
from evidence.commands import ended
from evidence.plateau import state, told
from evidence.results import Table, recorded_tables
from swe.base.config import from_dict
from swe.base.errors import ConfigError
from swe.base.files import read_lines, write_json
from swe.base.interrupt import Interrupted, Stop
from swe.base.options import Parser
from swe.run.loop import train

NAME = "bert.study.restate"
BY_SHAPE = "by the names of text and vocabulary and the model's parameters; not by its losses"
BY_LOSSES = "a run on the store repeats the recorded losses up to the first evaluation"


def restate(folder: Path, store: Path, *, verify: bool) -> list[Table]:
    """State the blind loss in every table of a study's folder; returns them as they are now.

    ConfigError where there is no table, the store is not of the study's shape or, with ``verify``,
    a loss differs; then nothing is written.
    """
    tables = [table for table in recorded_tables(folder.parent) if table.study == folder.name]
    if not tables:
        raise ConfigError(f"{folder}: holds no table of a study; name a folder of records/studies")
    stated = [(table, _blind(table, tables, store, verify=verify)) for table in tables]
    for table, blind in stated:
        state(table.data, blind)
        write_json(table.path, table.data)
    return tables


def _blind(
    table: Table, tables: Sequence[Table], store: Path, *, verify: bool
) -> dict[str, Any] | None:
    study = from_dict(TableStudy, table.data["study"])
    task = build_task(study, StudyData(store / VOCABULARY_NAME, store))
    shape = task.config
    have = shape.parameters + (shape.padded_vocabulary - shape.vocabulary) * (shape.hidden + 1)
    base = table.data["arms"][table.data["reference"]]
    if have != base["parameters_at_end"]:
        raise ConfigError(
            f"{table.path}: its model has {base['parameters_at_end']} parameters, on {store} it "
            f"has {have}: build the store with the study's vocabulary"
        )
    if verify:
        [curve] = [
            run
            for one in tables
            for run in one.curves
            if run["arm"] == one.data["reference"] and run["seed"] == study.first_seed
        ][:1]
        _compare(table, study, task, curve)
    found = blind_of(task)
    return found and found | {"checked": BY_LOSSES if verify else BY_SHAPE}


def _compare(table: Table, study: TableStudy, task: TextTask, curve: Mapping[str, Any]) -> None:
    """Train up to the first evaluation; ConfigError where a logged loss is not the recorded one."""
    arm = chosen_arms(table.table, study)[0]
    config = study.arm_config(arm, curve["rate"], study.first_seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "metrics.jsonl"

        def evaluated() -> bool:
            return any(row["kind"] == "valid" for row in read_lines(rows))

        with suppress(Interrupted):
            train(task, config, Path(folder), stop=evaluated)
        logged = read_lines(rows)
    for kind in ("train", "valid"):
        ours = {row["step"]: row["loss"] for row in logged if row["kind"] == kind}
        theirs = dict(zip(curve[kind]["step"], curve[kind]["loss"], strict=True))
        for step, loss in ours.items():
            if float(f"{loss:.{DIGITS}g}") != theirs.get(step):
                raise ConfigError(
                    f"{table.path}: recorded {kind} loss {theirs.get(step)} at update {step}, here "
                    f"{loss:.{DIGITS}g}: the store is of another text, or the machine rounds "
                    "otherwise (without --verify nothing is trained)"
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""

    def work(late: Stop) -> None:
        parser = Parser(prog=f"python -m {NAME}", description=__doc__)
        parser.add_argument("study", type=Path, help="folder of the study on record")
        parser.add_argument("--store", type=Path, required=True, help="its token store")
        parser.add_argument("--verify", action="store_true", help="train, and compare the losses")
        given = parser.parse_args(arguments)
        torch.set_num_threads(1)  # as every run of a study: sums in the same order
        for table in restate(given.study, given.store, verify=given.verify):
            print(f"{table.path}: {told(table.data)}")

    return ended(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
