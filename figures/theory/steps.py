"""Steps to a given loss across depth: at the theorems' step sizes and at better ones."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, listing, plain

MARKERS = ("o", "^", "D")
RULES = {
    "theorem": "at each theorem's largest step size",
    "proved": "at the largest step size proved here",
    "best": "at the best constant step size",
}


def _panels(data: dict[str, Any]) -> Figure:
    depths = data["depths"]
    targets = list(dict.fromkeys(row["target"] for row in data["rows"]))
    markers = dict(zip(targets, MARKERS, strict=False))
    figure = style.new_figure(8.2)
    panels = figure.subplots(3, 1, sharex=True)
    for letter, axes, (rule, words) in zip("abc", panels, RULES.items(), strict=True):
        for row in (r for r in data["rows"] if r["rule"] == rule):
            axes.plot(
                depths,
                row["steps"],
                color=style.METHODS[row["method"]].colour,
                linewidth=1.2,
                marker=markers[row["target"]],
                markerfacecolor="white",
            )
        axes.set(xscale="log", yscale="log", ylabel="steps")
        style.panel_title(axes, letter, words)
    low = min(axes.get_ylim()[0] for axes in panels[1:])
    high = max(axes.get_ylim()[1] for axes in panels[1:])
    for axes in panels[1:]:
        axes.set_ylim(low, high)
    style.depth_ticks(panels[-1], depths)
    panels[-1].set_xlabel("depth $L$ (layers)")
    handles = [
        Line2D([], [], color=look.colour, label=look.label) for look in style.METHODS.values()
    ]
    handles += [
        style.open_mark(marker, f"eigenvalues {target}") for target, marker in markers.items()
    ]
    style.legend_above(figure, handles, 2)
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    first, last = numbers["window"]
    values = {row["target"]: row["eigenvalues"] for row in data["rows"]}
    best = listing(
        f"{count(round(numbers['best_deepest'][f'shared, {target}']))} against "
        f"{count(round(numbers['best_deepest'][f'zas, {target}']))} (eigenvalues {listing(found)})"
        for target, found in values.items()
    )

    def span(key: str) -> str:
        found = numbers["exponents"][key]
        return f"{_two(found['slope_low'])} to {_two(found['slope_high'])}"

    return (
        f"Steps to reduce the loss to {plain(data['eps'])}. Exponents of L, fitted from {first} to "
        f"{count(last)}, range over targets: (a) with sharing {span('shared theorem')}, without "
        f"{span('zas theorem')}, quotient {span('quotient theorem')}, where the paper reads 1, 3 "
        f"and 2; (b) {span('shared proved')}, {span('zas proved')} and {span('quotient proved')}; "
        f"(c) {span('shared best')}, {span('zas best')} and {span('quotient best')}, the best of "
        f"step sizes that need not be known better than to 1 %. At depth "
        f"{count(numbers['deepest'])} (c) is, with against without sharing, {best}. Without "
        f"sharing the step size 1 takes {count(round(numbers['one_step'][-1]))} step at any depth."
    )


def _two(value: float) -> str:
    """Two decimals, no minus sign before a rounded zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


FIGURE = of_file(
    "theory/steps.json",
    _panels,
    _caption,
    title="Steps of gradient descent across depth",
    alt="Three panels of steps over depth, both axes logarithmic. At the theorems' step sizes "
    "both counts rise steeply, without sharing more so. At the proved and the best step sizes "
    "sharing is flat and no sharing rises like the root of depth.",
)
