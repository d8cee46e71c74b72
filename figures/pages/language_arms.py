"""Every arm on the composition language, one row a cell on record: the answer at a glance.

Cells are those of ``evidence.cells``, from LANGUAGE_SEEDS paired seeds on; below the cells of one
number of hops stands their mean, and at the end that of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.cells import ARM, cell_of, is_stock, most_careful, over_cells, seeds_of
from evidence.comparison import Interval, paired
from evidence.results import Table, recorded_languages
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, fixed, interval

LANGUAGE = "composition"
START = "equal-start"
AGAINST_START = "SWE-F minus equal start"


@dataclass(frozen=True)
class LanguageArms:
    """What the table says: headings and rows by column, and which runs they are."""

    headings: dict[str, str]
    rows: list[dict[str, str]]
    about: str


def language_arms(tables: Sequence[Table], *, short: bool = False) -> LanguageArms | None:
    """Put the cells below one another; None where no table has enough seeds.

    ``short``: of all but the fewest hops, the mean of several cells stands for them. ResultError,
    naming the file, for a table without what its kind holds.
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
    numbers = sorted({_hops(data) for data in shown.values()})
    rows = []
    for hops in numbers:
        cells = {cell: data for cell, data in shown.items() if _hops(data) == hops}
        if len(cells) == 1 or hops == numbers[0] or not short:
            rows += [
                {"cell": f"{cell}, {_updates(data)} updates, n = {seeds_of(data)}"}
                | {arm: _told(data, arm) for arm in arms}
                | {AGAINST_START: _interval(paired(data, ARM, START))}
                for cell, data in cells.items()
            ]
        if len(cells) > 1:
            rows.append(_mean_row(f"{hops} hops, mean of {len(cells)}", cells.values(), arms))
    if len(numbers) > 1:
        rows.append(_mean_row(f"all, mean of {len(shown)}", shown.values(), arms))
    about = "; ".join(dict.fromkeys(map(_about, shown.values())))
    return LanguageArms(headings | {AGAINST_START: AGAINST_START}, rows, about)


def block(records: Path) -> str:
    """Return the table as markdown. ``records``: the default run's folder, studies beside it."""
    return _block(records, short=True)


def full_block(records: Path) -> str:
    """Return the table with every cell, as :func:`block` does."""
    return _block(records, short=False)


def _block(records: Path, *, short: bool) -> str:
    found = language_arms(recorded_languages(records.parent / "studies"), short=short)
    if found is None:
        return "No such run on record."
    return f"{markdown(found.headings, found.rows)}\n\n{found.about}"


def _cell(study: dict[str, Any]) -> str:
    return f"{cell_of(study)}{', transformers’ encoder' if is_stock(study) else ''}"


def _place(cell: str) -> tuple[bool, bool, str]:
    return "transformers" in cell, cell.startswith("Post"), cell


def _hops(data: dict[str, Any]) -> int:
    return int(data["study"]["language"]["hops"])


def _updates(data: dict[str, Any]) -> str:
    return count(data["arms"][data["reference"]]["steps"])


def _told(data: dict[str, Any], arm: str) -> str:
    entry = data["arms"].get(arm, {})
    if "loss" not in entry:
        return "not run"
    learnt = f"{min(entry['reached'].values())} of {entry['loss']['n']} through"
    if arm == data["reference"]:
        return f"{fixed(entry['loss']['mean'], 2)} nats; {learnt}"
    return f"{interval(entry['difference'], 2)} {entry['verdict']}; {learnt}"


def _mean_row(name: str, cells: Iterable[dict[str, Any]], arms: Iterable[str]) -> dict[str, str]:
    together = list(cells)
    return (
        {"cell": f"{name} cells, n = {sum(map(seeds_of, together))}"}
        | {arm: _mean(together, arm) for arm in arms}
        | {AGAINST_START: _interval(over_cells(together, ARM, START))}
    )


def _mean(together: list[dict[str, Any]], arm: str) -> str:
    if arm == together[0]["reference"]:
        return "—"
    gap = over_cells(together, arm)
    return "—" if gap is None else _interval(gap)


def _interval(gap: Interval | None) -> str:
    return "not run" if gap is None else f"{interval(asdict(gap), 2)} {gap.verdict()}"


def _about(data: dict[str, Any]) -> str:
    study = data["study"]
    return (
        f"Composition language, least loss 0, {study['size']} (layers x width), SWE-F tied for "
        f"{100 * study['tau']:g} %, each arm’s rate tuned: final loss minus the baseline’s in "
        "nats, 95 % intervals over paired seeds; through: learnt every hop."
    )
