"""The composition language one factor at a time: what SWE-F gains at every value tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.comparison import HEADLINE_SEEDS, Interval
from evidence.results import read_json, read_rows, reading
from figures.base import forest, style
from figures.base.wording import interval, listing

CELLS, EFFECTS = "cells.json", "effects.jsonl"
ARM, CONTROLS = "swe-f", ("baseline", "equal-start")
NAME = "study_factors"
MARKS = {"larger": " ↑", "smaller": " ↓", "same": " =", "": ""}


@dataclass(frozen=True)
class Row:
    """One cell, run or not."""

    name: str
    expected: str
    """larger, smaller or same: its gain beside the centre's; "" where nothing was said."""
    why: str
    differs: Mapping[str, str]
    gaps: Mapping[str, Interval]
    """SWE-F's final loss minus each control's, over seeds with both; {} where it was not run."""
    beside: Interval | None
    """Gain minus the centre's, over the seeds of both."""

    @property
    def agrees(self) -> bool | None:
        """Whether the gain beside the centre's came as expected; None where nothing can be said.

        Larger or smaller: by the sign of the mean. The same: the interval holds zero, from
        HEADLINE_SEEDS on, as with fewer nearly any does.
        """
        if self.beside is None or not self.expected:
            return None
        if self.expected == "same":
            few = self.beside.n < HEADLINE_SEEDS
            return None if few else self.beside.verdict() == "no gain"
        return (self.beside.mean > 0) == (self.expected == "larger")


def rows(folder: Path) -> list[Row]:
    """Return every cell of the list in ``folder``, [] without a list.

    Raises ResultError for a list or lines that are not the benchmark's.
    """
    listed = read_json(folder / CELLS)
    if listed is None:
        return []
    lines = read_rows(folder / EFFECTS)
    with reading(folder / EFFECTS):
        ends = _ends(lines)
    with reading(folder / CELLS):
        centre = _gains(ends.get(listed["cells"][0]["name"], {}))
        return [_row(cell, ends.get(cell["name"], {}), centre) for cell in listed["cells"]]


def _ends(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, dict[str, float]]]:
    """{cell: {seed: {arm: final loss}}} of the seeds at which every arm is finite."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for line in lines:
        losses = {arm: line["losses"][arm] for arm in (ARM, *CONTROLS)}
        if None not in losses.values():
            found.setdefault(line["cell"], {})[line["seed"]] = losses
    return found


def _gains(seeds: Mapping[int, Mapping[str, float]]) -> dict[int, float]:
    return {seed: min(ends[c] for c in CONTROLS) - ends[ARM] for seed, ends in seeds.items()}


def _row(
    cell: Mapping[str, Any], seeds: Mapping[int, Mapping[str, float]], centre: Mapping[int, float]
) -> Row:
    gains = _gains(seeds)
    shared = sorted(gains.keys() & centre.keys()) if cell["differs"] else []
    return Row(
        cell["name"],
        cell["expected"],
        cell["why"],
        cell["differs"],
        {c: Interval.of([ends[ARM] - ends[c] for ends in seeds.values()]) for c in CONTROLS}
        if seeds
        else {},
        Interval.of([gains[seed] - centre[seed] for seed in shared]) if shared else None,
    )


@style.styled
def draw(out: Path, folder: Path) -> bool:
    """Draw the cells on record in ``folder`` below ``out``; False before the first was run."""
    found = rows(folder)
    if not any(row.gaps for row in found):
        return False
    style.save(
        _panels(found),
        out,
        NAME,
        title="Where sharing wins, one factor at a time (on record)",
        caption=_caption(found),
        alt="One row a cell: markers with bars for the mean difference of SWE-F's final loss to "
        "the baseline's and to the equal start's, and a line at zero.",
        sources=[f"records/{folder.name}/{name}" for name in (CELLS, EFFECTS)],
    )
    return True


def _panels(found: Sequence[Row]) -> Figure:
    figure = style.new_figure(1.6 + 0.3 * len(found))
    axes = figure.subplots()
    for at, row in enumerate(found):
        for control, shift in zip(CONTROLS, (-0.16, 0.16), strict=True):
            if control in row.gaps:
                gap, look = row.gaps[control], style.arm_look(control)
                if gap.low is not None and gap.high is not None:
                    axes.plot([gap.low, gap.high], [at + shift] * 2, color=look.colour, lw=1.4)
                axes.plot(gap.mean, at + shift, look.marker, color=look.colour, markersize=4)
        if not row.gaps:
            forest.word(axes, at, "not run")
    means = [gap.mean for row in found for gap in row.gaps.values()]
    span = 1.5 * max(0.1, *map(abs, means))
    axes.set_xlim(-span, span)  # intervals of two seeds are far wider than what there is to see
    axes.axvline(0.0, color=style.INK, linewidth=1.0)
    forest.name_rows(axes, [row.name + MARKS[row.expected] for row in found])
    axes.set_xlabel("SWE-F's final loss minus a control's (nats; left is better)")
    style.legend_above(figure, style.arm_handles(CONTROLS), columns=2)
    return figure


def _caption(found: Sequence[Row]) -> str:
    counts = sorted({gap.n for row in found for gap in row.gaps.values()})
    told = [row.agrees for row in found if row.agrees is not None]
    wins = [
        row.name
        for row in found
        if row.gaps and all(gap.verdict() == "helps" for gap in row.gaps.values())
    ]
    left = sum(not row.gaps for row in found)
    return (
        f"Composition language, {len(found)} cells of which {left} were not run, n = "
        f"{listing(counts)} paired seeds: final held-out loss of SWE-F minus the baseline's and "
        "minus the equal start's, mean and 95 % paired t interval, cut at the axis. An arrow says "
        "what was expected before of the gain (over the lower control) beside the centre's: "
        f"larger ↑, smaller ↓, the same =; {sum(told)} of {len(told)} came so. Both intervals "
        f"below zero: {listing(wins) if wins else 'in no cell'}."
    )


def in_words(row: Row) -> dict[str, str]:
    """Return a row's cells for a table: what it is, what came, what was expected and why."""
    gaps = {c: interval(asdict(row.gaps[c])) if c in row.gaps else "not run" for c in CONTROLS}
    return {
        "cell": row.name,
        "differs": ", ".join(f"{name} {value}" for name, value in row.differs.items()) or "—",
        "n": str(min((gap.n for gap in row.gaps.values()), default=0)),
        **gaps,
        "expected": f"{row.expected}: {row.why}" if row.expected else "—",
        "beside": "—" if row.beside is None else interval(asdict(row.beside)),
        "agrees": {True: "yes", False: "no", None: "—"}[row.agrees],
    }
