"""What was forecast for small models, what came, and how often each rule was right."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import listing

MARKS = {"sign": "sign", "tau": "best τ", "size": "size"}
MARKERS = "osD^vP"
COLOURS = {"helps": "#0072b2", "no gain": "#8a8a8a", "hurts": "#d55e00"}


def _panels(data: dict[str, Any]) -> Figure | None:
    if not data["forecasts"]:
        return None
    figure = style.new_figure(5.4)
    upper, lower = figure.subplots(2, 1, height_ratios=(1.6, 1.0))
    _changes(upper, data)
    _rules(lower, data)
    style.panel_title(upper, "a", "What was forecast, and what came")
    style.panel_title(lower, "b", "How often each rule is right")
    return figure


def _changes(axes: Axes, data: dict[str, Any]) -> None:
    families = sorted({entry["family"] for entry in data["forecasts"]})
    for marker, family in zip(MARKERS, families, strict=False):
        for entry in (one for one in data["forecasts"] if one["family"] == family):
            axes.plot(
                [entry["low"], entry["high"]],
                [entry["true_change"]] * 2,
                color=style.GRID,
                linewidth=0.8,
                zorder=1,
            )
            axes.plot(
                entry["change"],
                entry["true_change"],
                marker,
                color=COLOURS[entry["true_verdict"]],
                markersize=4,
            )
        axes.plot([], [], marker, color=style.INK, linestyle="none", markersize=4, label=family)
    ends = [
        value for entry in data["forecasts"] for value in (entry["change"], entry["true_change"])
    ]
    span = 1.3 * max(0.1, max(abs(value) for value in ends))
    axes.plot([-span, span], [-span, span], color=style.FAINT, linewidth=0.8, linestyle="--")
    axes.set_xlim(-span, span)
    axes.set_ylim(-span, span)
    axes.axhline(0, color=style.FAINT, linewidth=0.6)
    axes.axvline(0, color=style.FAINT, linewidth=0.6)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_xlabel("change forecast, decades of loss")
    axes.set_ylabel("change that came")
    axes.legend(loc="lower right")


def _rules(axes: Axes, data: dict[str, Any]) -> None:
    rules = sorted(data["rules"], key=lambda rule: rule != "forecast")
    for offset, (mark, title) in enumerate(MARKS.items()):
        shares = [_share(data["rules"][rule]["all"][mark]) for rule in rules]
        places = np.arange(len(rules)) + 0.25 * (offset - 1)
        axes.bar(
            places, shares, width=0.22, label=title, color=style.INK, alpha=0.85 - 0.28 * offset
        )
    axes.set_xticks(range(len(rules)), [rule.replace(", ", ",\n") for rule in rules])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share right")
    axes.legend(loc="upper right", ncols=3)
    axes.grid(visible=False, axis="x")


def _share(mark: dict[str, int]) -> float:
    return mark["right"] / mark["of"] if mark["of"] else 0.0


def _caption(data: dict[str, Any]) -> str:
    ours = data["rules"]["forecast"]
    told = [
        f"{title} {ours['all'][mark]['right']} of {ours['all'][mark]['of']}"
        for mark, title in MARKS.items()
    ]
    kinds = [
        f"{family} {marks['sign']['right']} of {marks['sign']['of']}"
        for family, marks in ours.items()
        if family != "all"
    ]
    return (
        f"{data['cells']} models that the forecast was not fitted to, each rehearsed for "
        f"{data['share']:.1%} of its updates; {listing(data['unseen'])} is a family that it never "
        "saw. (a) Change of the final loss, SWE-F at the forecast's τ against the better of "
        "baseline and equal start; line: 80 % interval; colour: what sharing did at its best τ "
        "(blue helps, grey no gain, red hurts). (b) Share of right answers by the forecast and by "
        f"simpler rules. The forecast: {listing(told)}; sign by family: {listing(kinds)}."
    )


FIGURE = of_file(
    "toy/forecast.json",
    _panels,
    _caption,
    name="toy_forecast",
    title="What was forecast, and what came",
    alt="Above, the change of loss that came against the change that was forecast, a point a "
    "model; below, bars of how often the forecast and simpler rules were right.",
)
