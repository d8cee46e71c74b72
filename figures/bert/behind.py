"""How far behind the baseline an arm is as the loss falls, in updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import interval
from figures.bert.table_results import titled

PART = "behind"
LEAST = 4
"""Levels of an arm from which it is drawn: fewer are a table."""
APART = 0.02
"""Nats between arms at one level, so that intervals stand side by side."""


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw delays against the loss that is reached; False where no arm has LEAST levels."""
    with reading(result.path):
        lines = points(result.data)
        if not any(len(found) >= LEAST for found in lines.values()):
            return False
        figure, caption = _panel(lines), _caption(result.data, lines)
    style.save(
        figure,
        out,
        result.figure(PART),
        title=titled(result, "How far behind, as the loss falls"),
        caption=caption,
        alt="Updates behind the baseline over the held-out loss, falling to the right: a line with "
        "intervals for each arm.",
        sources=[result.source],
    )
    return True


def points(data: dict[str, Any]) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """Return {arm: (held-out loss, delay in updates at the peak rate)}, as losses fall; arms that
    have any."""
    rows = (data.get("leaving") or {}).get("arms", [])
    return {
        row["arm"]: [(data["blind"]["loss"] - found["gain"], found) for found in row["behind"]]
        for row in rows
        if row.get("behind")
    }


def _panel(lines: dict[str, list[tuple[float, dict[str, Any]]]]) -> Figure:
    figure = style.new_figure(3.2)
    axes = figure.subplots()
    for place, (arm, found) in enumerate(lines.items()):
        look = style.arm_look(arm)
        shift = APART * (place - (len(lines) - 1) / 2)
        losses = [loss + shift for loss, _ in found]
        for loss, (_, late) in zip(losses, found, strict=True):
            axes.plot([loss, loss], [late["low"], late["high"]], color=look.colour, linewidth=1.0)
        means = [late["mean"] for _, late in found]
        axes.plot(losses, means, look.marker, color=look.colour, linestyle=look.dash)
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    axes.invert_xaxis()
    axes.set_xlabel("held-out loss that is reached (nats)")
    axes.set_ylabel("behind the baseline (updates)")
    style.legend_above(figure, style.arm_handles(list(lines)), columns=3)
    return figure


def _caption(data: dict[str, Any], lines: dict[str, list[tuple[float, dict[str, Any]]]]) -> str:
    count = max(late["n"] for found in lines.values() for _, late in found)
    words = "; ".join(
        f"{style.arm_look(arm).label} {interval(found[0][1], 0)} to {interval(found[-1][1], 0)}"
        for arm, found in lines.items()
    )
    return (
        f"BERT {data['study']['size']}: by how many updates at the peak rate an arm first falls to "
        "a held-out loss after the baseline, at every loss that all runs of both reach, mean and "
        f"95 % paired t interval, n = {count}. At the first and the "
        f"last of these: {words}."
    )
