"""Rows of paired differences: an arm's mean, interval and seeds, the paper's, the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from figures.base import style

RISE = 0.25
"""How far below its row, in rows, an arm's seeds and the paper's number stand."""


def bar(axes: Axes, row: int, gap: Mapping[str, Any], look: style.Look) -> None:
    """Draw a mean and its interval, {"mean", "low", "high"}; no bar where there is no interval."""
    if gap["low"] is not None:
        axes.plot([gap["low"], gap["high"]], [row, row], color=look.colour, linewidth=2.2)
    axes.plot(gap["mean"], row, look.marker, color=look.colour, markersize=6)


def seeds(axes: Axes, row: int, values: Sequence[float], look: style.Look) -> None:
    """Draw every seed's own difference."""
    axes.plot(
        values,
        [row + RISE] * len(values),
        "o",
        color=look.colour,
        markersize=3,
        markerfacecolor="white",
    )


def paper(axes: Axes, row: int, gain: float | None) -> None:
    """Draw what the paper has, if it has anything."""
    if gain is not None:
        axes.plot(gain, row + RISE, "d", color=style.INK, markerfacecolor="white")


def word(axes: Axes, row: int, verdict: str) -> None:
    """Write the verdict to the right of the row."""
    axes.annotate(
        verdict.replace(": ", ":\n"),
        (1.0, row),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontweight="bold",
    )


def handles(the_paper: str) -> list[Line2D]:
    """Return the legend's handles; ``the_paper`` labels its mark, "" where none is drawn."""
    found = [Line2D([], [], color=style.FAINT, marker="o", linewidth=2.2, label="ours")]
    return [*found, style.open_mark("d", the_paper)] if the_paper else found


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows, first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
