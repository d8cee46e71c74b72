"""What arms end with by when they leave the plateau, on the baseline's curve over its budgets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import count, interval
from figures.bert.table_results import titled

PART = "shift"
UNCHARGED = " uncharged"
"""Arms that are drawn already, but for what their source cost."""

COLUMNS = 2
"""Of the legend."""


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw final losses against what a run's clock has left after its delay; False without two
    budgets of the baseline."""
    with reading(result.path):
        found = result.data.get("leaving") or {}
        rows = [
            row
            for row in found.get("arms", [])
            if "gap" in row and not row["arm"].endswith(UNCHARGED)
        ]
        if not rows:
            return False
        figure, caption = _panel(result.data, rows), _caption(result.data, rows)
    style.save(
        figure,
        out,
        result.figure(PART),
        title=titled(result, "What a delay costs"),
        caption=caption,
        alt="Final held-out loss over the length of the run less its delay: a falling line, the "
        "baseline's, and a point with an interval for each arm.",
        sources=[result.source],
    )
    return True


def points(data: dict[str, Any], rows: list[dict[str, Any]]) -> list[tuple[str, float, float]]:
    """Return (arm, clock less its delay, final loss): updates at the peak rate, nats."""
    own, fold = data["arms"][data["reference"]]["loss"]["mean"], data["leaving"]["fold"]
    return [
        (row["arm"], row["end"] - fold * row["late"]["mean"], own + row["gap"]["mean"])
        for row in rows
    ]


def _panel(data: dict[str, Any], rows: list[dict[str, Any]]) -> Figure:
    figure = style.new_figure(2.8 + 0.22 * math.ceil((len(rows) + 1) / COLUMNS))
    axes = figure.subplots()
    clocks, losses = zip(*data["leaving"]["curve"], strict=True)
    axes.plot(clocks, losses, color=style.arm_look(data["reference"]).colour, linewidth=1.5)
    for row, (name, clock, loss) in zip(rows, points(data, rows), strict=True):
        look, gap = style.arm_look(name), row["gap"]
        ends = [loss + gap[end] - gap["mean"] for end in ("low", "high")]
        axes.plot([clock, clock], ends, color=look.colour, linewidth=1.0)
        axes.plot(clock, loss, look.marker, color=look.colour)
    axes.set_xscale("log")
    budgets = data["leaving"]["budgets"]
    axes.set_xticks(budgets, [count(round(budget)) for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("length of the run less its delay (updates at the peak rate)")
    axes.set_ylabel("final held-out loss (nats)")
    names = [data["reference"], *(row["arm"] for row in rows)]
    style.legend_above(figure, style.arm_handles(names), columns=COLUMNS)
    return figure


def _caption(data: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    words = "; ".join(
        f"{style.arm_look(row['arm']).label} {interval(row['left_over'], 3)}" for row in rows
    )
    return (
        f"BERT {data['study']['size']}: what a run ends with, over its sum of rates less the delay "
        "with which it leaves the plateau. Line: the baseline at its budgets, mean over seeds, a "
        "monotone cubic between (theory/models/shift.py). Points: arms, with the 95 % paired t "
        f"interval of their gap, n = {rows[0]['gap']['n']}. Above the line, seed by seed, nats: "
        f"{words}."
    )
