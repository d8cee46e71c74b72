"""Every arm on the composition language, one row a cell on record: the answer at a glance.

A cell is an encoder (ours, or that of transformers), its placement of LayerNorm and the hops asked
for. Of several studies of a cell the one done with most care is shown, from LANGUAGE_SEEDS paired
seeds on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.comparison import LANGUAGE_SEEDS, care, cell_of, paired
from evidence.results import Table, reading, recorded_languages
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, fixed, interval

LANGUAGE = "composition"
ARM, START = "swe-f", "equal-start"
AGAINST_START = "SWE-F minus equal start"


@dataclass(frozen=True)
class LanguageArms:
    """What the table says: headings and rows by column, and which runs they are."""

    headings: dict[str, str]
    rows: list[dict[str, str]]
    about: str


def language_arms(tables: Sequence[Table]) -> LanguageArms | None:
    """Put the cells below one another; None where no table has enough seeds.

    ResultError, naming the file, for a table without what its kind holds.
    """
    shown = {
        _cell(table.data["study"]): table.data
        for table in most_careful(tables)
        if table.table == LANGUAGE
    }
    if not shown:
        return None
    shown = {cell: shown[cell] for cell in sorted(shown, key=_place)}
    arms = dict.fromkeys(name for data in shown.values() for name in data["order"])
    headings = {"cell": "Encoder"} | {arm: arm_look(arm).label for arm in arms}
    rows = [
        {"cell": f"{cell}, {_updates(data)} updates, n = {_seeds(data)}"}
        | {arm: _told(data, arm) for arm in arms}
        | {AGAINST_START: _against_start(data)}
        for cell, data in shown.items()
    ]
    about = "; ".join(dict.fromkeys(map(_about, shown.values())))
    return LanguageArms(headings | {AGAINST_START: AGAINST_START}, rows, about)


def most_careful(tables: Sequence[Table]) -> list[Table]:
    """Return, of every language and cell, the table done with most care, if it has enough seeds.

    ResultError, naming the file, for a table without what its kind holds.
    """
    found: dict[tuple[str, str], Table] = {}
    for table in sorted(tables, key=lambda table: care(table.data), reverse=True):
        with reading(table.path):
            if _seeds(table.data) >= LANGUAGE_SEEDS:
                found.setdefault((table.table, _cell(table.data["study"])), table)
    return list(found.values())


def block(records: Path) -> str:
    """Return the table as markdown. ``records``: the default run's folder, studies beside it."""
    found = language_arms(recorded_languages(records.parent / "studies"))
    if found is None:
        return "No such run on record."
    return f"{markdown(found.headings, found.rows)}\n\n{found.about}"


def _cell(study: dict[str, Any]) -> str:
    stock = study.get("encoder", "own") != "own"
    return f"{cell_of(study)}{', transformers’ encoder' if stock else ''}"


def _place(cell: str) -> tuple[bool, bool, str]:
    return "transformers" in cell, cell.startswith("Post"), cell


def _updates(data: dict[str, Any]) -> str:
    return count(data["arms"][data["reference"]]["steps"])


def _seeds(data: dict[str, Any]) -> int:
    gap = paired(data, ARM, data["reference"])
    return 0 if gap is None else gap.n


def _told(data: dict[str, Any], arm: str) -> str:
    entry = data["arms"].get(arm, {})
    if "loss" not in entry:
        return "not run"
    learnt = f"{min(entry['reached'].values())} of {entry['loss']['n']} through"
    if arm == data["reference"]:
        return f"{fixed(entry['loss']['mean'], 2)} nats; {learnt}"
    return f"{interval(entry['difference'], 2)} {entry['verdict']}; {learnt}"


def _against_start(data: dict[str, Any]) -> str:
    gap = paired(data, ARM, START)
    return "not run" if gap is None else f"{interval(asdict(gap), 2)} {gap.verdict()}"


def _about(data: dict[str, Any]) -> str:
    study = data["study"]
    return (
        f"Composition language, least loss 0, {study['size']} (layers x width), SWE-F tied for "
        f"{100 * study['tau']:g} %, each arm’s rate tuned: final loss minus the baseline’s in "
        "nats, 95 % intervals over paired seeds; through: learnt every hop."
    )
