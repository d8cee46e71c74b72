"""How much faster the shared flow is, and where it is the slower one: exact times."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, plain

MARKERS = ("o", "^", "D", "v", "s", "P", "X", "h")
DRAWN_EPS = 1
"""Index of the eps of panel a: the second level, where shallow nets show both signs."""


def _panels(data: dict[str, Any]) -> Figure:
    depths, targets = data["depths"], data["targets"]
    drawn = list(range(0, len(targets), 2)) if len(targets) > 4 else list(range(len(targets)))
    level = data["eps"][DRAWN_EPS]
    figure = style.new_figure(8.4)
    above, middle, below = figure.subplots(3, 1, sharex=True)
    for at in drawn:
        (row,) = (r for r in data["scalars"] if (r["target"], r["eps"]) == (targets[at], level))
        _line(above, depths, row["ratio"], at)
        _line(middle, depths, data["even_log10"][at], at)
        _line(below, depths, data["final"][at], at)
    for axes in (above, below):
        axes.axhline(1.0, color=style.FAINT, linestyle="--", linewidth=1.0)
    above.plot(depths, depths, color=style.FAINT, linestyle="--", linewidth=1.0)
    above.plot(depths, [n**0.5 for n in depths], color=style.FAINT, linestyle=":", linewidth=1.4)
    for words, power in (("$L$", 1.0), ("$L^{1/2}$", 0.5)):
        above.annotate(
            words,
            (depths[-1], depths[-1] ** power),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color="#555555",
            annotation_clip=False,
        )
    above.set(xscale="log", yscale="log", ylabel="time, no sharing / sharing")
    middle.set(yscale="log", ylabel="decades of loss")
    below.set(ylabel="final rate, sharing / no sharing", ylim=(0, 1.1))
    style.depth_ticks(below, depths)
    below.set_xlabel("depth $L$ (layers)")
    style.panel_title(above, "a", f"time to {level:g} of the first loss")
    style.panel_title(middle, "b", "loss reduction beyond which sharing is slower")
    style.panel_title(below, "c", "the end of both flows (below 1: sharing slower)")
    handles = [
        Line2D(
            [],
            [],
            color=style.INK,
            marker=MARKERS[at],
            markerfacecolor="white",
            label=f"target {targets[at]:g}",
        )
        for at in drawn
    ]
    style.legend_above(figure, handles, 4)
    return figure


def _line(axes: Axes, depths: list[int], values: list[float], at: int) -> None:
    axes.plot(
        depths, values, color=style.INK, marker=MARKERS[at], markerfacecolor="white", linewidth=1.2
    )


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    first, last = numbers["window"]
    return (
        "(a) Exact time without sharing over exact time with sharing, one eigenvalue; dashes are "
        f"the factor L and no gain, dots the root of L. Over {count(numbers['cases'])} targets, "
        f"depths and loss levels the ratio is {plain(numbers['least_ratio'])} to "
        f"{plain(numbers['largest_ratio'])}; sharing is slower in {count(numbers['slower'])}, with "
        f"targets up to {plain(numbers['slower_from'])}. Exponent of L, fitted from {first} to "
        f"{count(last)}: {plain(numbers['least_slope'])} to {plain(numbers['largest_slope'])}; at "
        f"L = 2⁴⁰ between {plain(numbers['limit_slope_low'], 5)} and "
        f"{plain(numbers['limit_slope_high'], 5)}. (b) Decades of loss after which both have taken "
        "the same time; further down sharing is slower. (c) Ratio of the rates as t → ∞: "
        f"{plain(numbers['final_low'])} to {plain(numbers['final_high'])}, below 1 for every "
        "target. Closed forms, no sampling."
    )


FIGURE = of_file(
    "theory/speedup.json",
    _panels,
    _caption,
    title="How much faster sharing is in time",
    alt="Three panels over depth, one line a target. The time ratio rises like the square root "
    "of depth, far below the line L; the loss level beyond which sharing is slower; the ratio "
    "of final rates, below one everywhere.",
)
