"""Speed-up at equal loss: where each arm's end meets the curve of fully decayed baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import ended, plain
from figures.bert.table_results import titled


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw baselines over their budgets and every arm at its own; False when none is judged."""
    table = result.data
    if not table.get("speedup"):
        return False
    with reading(result.path):
        figure, caption = _panels(table), _caption(table)
    style.save(
        figure,
        out,
        result.figure(),
        title=titled(result, "Speed-up at equal final loss"),
        caption=caption,
        alt="Above, final validation loss over the budget: a line through separately trained "
        "baselines, and a marker with a bar for every arm at its budget. Below, a row an arm with "
        "the ratio of budgets at equal loss and its interval, or a bound.",
        sources=[result.source],
    )
    return True


def _panels(table: dict[str, Any]) -> Figure:
    ratios = {arm: table["speedup"][arm] for arm in table["order"] if arm in table["speedup"]}
    figure = style.new_figure(4.2 + 0.45 * len(ratios))
    curve, rows = figure.subplots(2, 1, height_ratios=[2.6, 0.4 + 0.5 * len(ratios)])
    base = sorted(
        (entry["budget"], entry["loss"])
        for name, entry in table["arms"].items()
        if name.startswith("baseline") and "loss" in entry
    )
    look = style.arm_look("baseline")
    curve.plot([b for b, _ in base], [loss["mean"] for _, loss in base], color=look.colour)
    for budget, loss in base:
        _point(curve, budget, loss, look)
    for row, (arm, ratio) in enumerate(ratios.items()):
        look, entry = style.arm_look(arm), table["arms"][arm]
        shift = 1 + 0.03 * (row - len(ratios) / 2)
        _point(curve, entry["budget"] * shift, entry["loss"], look)
        for value in ratio["values"].values():
            rows.plot(
                value, row + 0.25, "o", color=look.colour, markersize=3, markerfacecolor="white"
            )
        if ratio["ratio"] is not None:
            if ratio["low"] is not None:
                rows.plot(
                    [ratio["low"], ratio["high"]], [row, row], color=look.colour, linewidth=2.2
                )
            rows.plot(ratio["ratio"], row, look.marker, color=look.colour, markersize=6)
    curve.set_xscale("log")
    curve.set_xticks([b for b, _ in base], [f"{b:g}" for b, _ in base])
    curve.minorticks_off()
    curve.set_xlabel("budget (multiples of the arms' updates)")
    curve.set_ylabel("final validation loss (nats)")
    rows.axvline(1.0, color=style.INK, linewidth=1.0)
    rows.set_yticks(range(len(ratios)), [style.arm_look(arm).label for arm in ratios])
    rows.set_ylim(len(ratios) - 0.4, -0.6)
    rows.grid(visible=False, axis="y")
    rows.set_xlabel("budgets at equal loss, baseline / arm")
    style.panel_title(curve, "a", "end points only, each run decayed to zero")
    style.panel_title(rows, "b", "speed-up (right is faster)")
    style.legend_above(figure, style.arm_handles(["baseline", *ratios]), columns=3)
    return figure


def _point(axes: Any, budget: float, loss: dict[str, Any], look: style.Look) -> None:
    if loss["low"] is not None:
        axes.plot([budget, budget], [loss["low"], loss["high"]], color=look.colour, linewidth=1.6)
    axes.plot(budget, loss["mean"], look.marker, color=look.colour)


def ratio_words(ratio: dict[str, Any]) -> str:
    """Return "1.2 [1.1, 1.3]", or how many seeds lie outside the baselines' budgets."""
    if ratio["ratio"] is None:
        sides = [list(ratio["censored"].values()).count(side) for side in ("below", "above")]
        return (
            f"outside the baselines' range ({sides[0]} of {ratio['n']} seeds worse than the "
            f"shortest, {sides[1]} better than the longest)"
        )
    if ratio["low"] is None:
        return plain(ratio["ratio"])
    return f"{plain(ratio['ratio'])} [{plain(ratio['low'])}, {plain(ratio['high'])}]"


def _caption(table: dict[str, Any]) -> str:
    words = "; ".join(
        f"{style.arm_look(arm).label} {ratio_words(table['speedup'][arm])}"
        for arm in table["order"]
        if arm in table["speedup"]
    )
    seeds = max(ratio["n"] for ratio in table["speedup"].values())
    return (
        f"BERT {table['study']['size']}. Speed-up: the budget at which a separately trained, fully "
        "decayed baseline ends at the arm's loss, over the arm's budget, seed by seed (linear in "
        f"the logarithm between budgets), geometric mean and 95 % t interval over {seeds} seeds: "
        f"{words}. Small circles: seeds; those outside the budgets lie on the border."
        f"{ended(table)}"
    )
