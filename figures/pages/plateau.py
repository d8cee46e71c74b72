"""The plateau in words: when runs fell below a level, and what it took to leave.

Blocks ``reached:NAME/TABLE``: the update at which each run of a study first fell below a held-out
loss. A masked language model waits before it uses its context, and arms differ in how long, where
the final loss also says how much was left of the run.

Block ``plateau``: every comparison on record, and every single setting that was tried, with the
best blind loss, the least loss reached, and the tokens at which the first run left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.plateau import MARGIN, bar, reached
from evidence.results import Table, read_rows, reading, recorded_tables
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, fixed, plain, size_of

LEVELS = (6.0, 5.5, 5.0, 4.0, 3.5, 3.0, 1.5, 1.0, 0.1)
"""Held-out losses in nats: of English, then of the languages.

Those that no run crosses are left out."""
SETTINGS = "plateau/settings.jsonl"
"""Below the records folder: the lines of benchmarks.plateau."""
HEADINGS = {
    "setting": "Setting",
    "updates": "Updates",
    "tokens": "Tokens",
    "blind": "Best blind loss",
    "least": "Least loss reached",
    "left": "Left, runs",
    "at": "First left after, tokens",
}


@dataclass(frozen=True)
class Row:
    """A study's table or a single run."""

    setting: str
    updates: int
    tokens: int
    """Of a run of budget 1."""
    blind: float | None
    least: float
    runs: int
    left: int
    at: float | None
    """Tokens of the run that left after the fewest; None where none did, or no curve is there."""


def table(curves: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs' updates to each level as markdown, a row an arm, seeds in order."""
    arms = dict.fromkeys(str(run["arm"]) for run in curves)
    losses = [run["valid"]["loss"] for run in curves]
    high, low = max(run[0] for run in losses), min(min(run) for run in losses)
    levels = [level for level in LEVELS if low <= level < high]
    columns = {"arm": "Arm"} | {str(level): f"Below {level:g} nats" for level in levels}
    rows = []
    for arm in arms:
        row = {"arm": arm_look(arm).label}
        for level in levels:
            updates = [
                reached(run["valid"]["step"], run["valid"]["loss"], level)
                for run in sorted(curves, key=lambda run: int(run["seed"]))
                if run["arm"] == arm
            ]
            row[str(level)] = ", ".join(
                "never" if update is None else count(round(update)) for update in updates
            )
        rows.append(row)
    return markdown(columns, rows)


def left_table(records: Path) -> str:
    """Return every text study on record and every single setting tried, one a row.

    ``records``: the folder of the studies; the settings lie beside it. ResultError names a file
    without what its kind holds.
    """
    rows = []
    for study in recorded_tables(records):
        with reading(study.path):
            rows.append(of_study(study))
    path = records.parent / SETTINGS
    lines = read_rows(path)
    with reading(path):
        rows += [of_setting(line) for line in lines]
    if not rows:
        return "not run"
    rule = (
        f"A run has left when its held-out loss is {MARGIN:g} nats below the best loss that a "
        "model blind to context reaches on the same predictions; between two evaluations the loss "
        "is taken as linear."
    )
    return f"{markdown(HEADINGS, [_cells(row) for row in rows])}\n\n{rule}"


def of_study(study: Table) -> Row:
    """Return what a study's table and curves say, whatever the arm and its budget."""
    data = study.data
    base, blind = data["arms"][data["reference"]], data.get("blind")
    ends = [loss for arm in data["arms"].values() for loss in arm.get("values", {}).values()]
    level = None if blind is None else bar(blind)
    per_update = base["tokens"] / base["steps"]
    steps = [] if level is None else [_first(run, level) for run in study.curves]
    return Row(
        setting=f"{study.study or 'here'}, {study.table}: {_study_words(data['study'])}, "
        f"{len(data['arms'])} arms",
        updates=int(base["steps"]),
        tokens=int(base["tokens"]),
        blind=None if blind is None else float(blind["loss"]),
        least=min(ends),
        runs=len(ends),
        left=0 if level is None else sum(loss <= level for loss in ends),
        at=min((step * per_update for step in steps if step is not None), default=None),
    )


def of_setting(line: Mapping[str, Any]) -> Row:
    """Return what a line of benchmarks.plateau says: one run."""
    level = bar(line["blind"])
    step = reached(line["valid"]["step"], line["valid"]["loss"], level)
    least = min(line["valid"]["loss"])
    return Row(
        setting=line["setting"],
        updates=int(line["steps"]),
        tokens=int(line["steps"] * line["tokens_per_update"]),
        blind=float(line["blind"]["loss"]),
        least=least,
        runs=1,
        left=int(least <= level),
        at=None if step is None else step * line["tokens_per_update"],
    )


def _first(run: Mapping[str, Any], level: float) -> float | None:
    return reached(run["valid"]["step"], run["valid"]["loss"], level)


def _study_words(study: Mapping[str, Any]) -> str:
    return (
        f"{size_of(study)}, {study['placement'].capitalize()}-LN, vocabulary "
        f"{study['vocabulary']}, length {study['length']}, rows {study['rows']}"
    )


def _cells(row: Row) -> dict[str, str]:
    known = row.blind is not None
    at = "—" if row.at is None else f"{plain(row.at / 1e6)} M"
    return {
        "setting": row.setting,
        "updates": count(row.updates),
        "tokens": count(row.tokens),
        "blind": "not computed" if row.blind is None else fixed(row.blind, 3),
        "least": fixed(row.least, 3),
        "left": f"{row.left} of {row.runs}" if known else "—",
        "at": "stuck" if known and not row.left else at,
    }
