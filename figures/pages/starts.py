"""Stacks that begin otherwise, and when each leaves the plateau: the block ``starts`` of
docs/bert.md.

Studies of one width, text (which the best blind loss tells), batch and rate, which differ in depth,
in what their branches are multiplied by, or in their updates, beside the shallowest and plainest of
them. What their starts foretell is on record with them (``bert.study.first_skill``, ``stream``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evidence.cells import stratified
from evidence.results import Table, reading, recorded_tables
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, fixed, interval, is_causal, plain, size_of

ALIKE = (
    "accumulation", "documents", "dropout", "length", "pairs", "placement",
    "precision", "rows", "validation_rows", "vocabulary", "warmup", "whole_word",
)  # fmt: skip
"""Fields of a study in which those that stand side by side are the same."""
COLUMNS = {
    "stack": "Stack",
    "beside": "Beside",
    "arm": "Arm",
    "left": "Left, of n",
    "at": "Leaves after, updates",
    "there": "There",
    "fold": "An e-fold, updates",
    "late": "Later, e-folds",
    "foretold": "Foretold by its draws",
    "stream": "By its stream",
}


@dataclass
class Cell:
    """The tables of one stack."""

    key: tuple[Any, ...]
    size: str
    depth: int
    scale: float
    steps: int
    fold: float = 0.0
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rows of ``bert.study.leaving`` by arm, those whose start is known."""

    @property
    def order(self) -> tuple[float, int, int]:
        """Plain branches before scaled ones, then by depth and by updates."""
        return (abs(self.scale - 1.0), self.depth, self.steps)

    @property
    def words(self) -> str:
        """Say what it is."""
        scaled = "" if self.scale == 1.0 else f", branches times {self.scale:g}"
        return f"{self.size}{scaled}, {count(self.steps)} updates"


def table(records: Path) -> str:
    """Return the stacks beside one another as markdown, "not run" where none differ.

    ResultError names a record without what its kind holds.
    """
    cells: dict[tuple[Any, ...], Cell] = {}
    for result in recorded_tables(records):
        with reading(result.path):
            _add(cells, result)
    lines = []
    for key in dict.fromkeys(cell.key for cell in cells.values()):
        first, *others = sorted(
            (cell for cell in cells.values() if cell.key == key), key=lambda cell: cell.order
        )
        lines += [
            _cells(cell, first, arm) for cell in others for arm in cell.rows if arm in first.rows
        ]
    if not lines:
        return "not run"
    legend = (
        "Leaves: half of the way to where a run counts as having left, in updates at the peak "
        "rate; a run that never leaves counts as at its end. Later: the difference of the means, "
        "in e-folds of the other stack's gain, with Welch's interval of 95 %: the starts are not "
        "the same. Foretold: by draws and scale, over all noises and dimensions of the skill; by "
        "the stream, measured before a model's first update, instead."
    )
    return f"{markdown(COLUMNS, lines)}\n\n{legend}"


def _add(cells: dict[tuple[Any, ...], Cell], result: Table) -> None:
    """Put a table's rows into its cell."""
    data = result.data
    rows = [row for row in data.get("leaving", {}).get("arms", []) if "start" in row]
    if not rows:
        return
    study, base = data["study"], data["arms"][data["reference"]]
    width = str(study["size"]).split("x")[-1]
    text = data["blind"]["loss"]  # of one text, vocabulary and held-out part
    key = (width, text, base["rate"], is_causal(study), *(study[name] for name in ALIKE))
    scale, depth = float(study.get("branch_scale", 1.0)), max(row["drawn"] for row in rows)
    own = Cell(key, size_of(study), depth, scale, int(study["steps"]))
    cell = cells.setdefault((key, own.order), own)
    cell.fold = float(data["leaving"]["fold"])
    for row in rows:
        cell.rows.setdefault(row["arm"], row)


def _cells(cell: Cell, first: Cell, arm: str) -> dict[str, str]:
    row, there = cell.rows[arm], first.rows[arm]
    late = stratified([row["times"], [-at for at in there["times"]]])
    half = {end: getattr(late, end) for end in ("mean", "low", "high")}
    ends = [
        other - own
        for mine, theirs in zip(row["start"], there["start"], strict=True)
        for own, other in zip(mine, theirs, strict=True)
    ]
    both = "reach" in row and "reach" in there
    low, high = (plain(end) for end in (min(ends), max(ends)))
    return {
        "stack": cell.words,
        "beside": first.words,
        "arm": arm_look(arm).label,
        "left": f"{row['left']} of {row['n']}",
        "at": count(round(row["at"]["mean"])),
        "there": count(round(there["at"]["mean"])),
        "fold": plain(cell.fold),
        "late": interval({end: 2 * value / first.fold for end, value in half.items()}, 2),
        "foretold": low if low == high else f"{low} to {high}",
        "stream": fixed(there["reach"] - row["reach"], 2, sign=True) if both else "—",
    }
