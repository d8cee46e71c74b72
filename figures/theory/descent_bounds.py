"""Theorems 3 and 4 at their own step sizes, and descent's first-order approach to the flow."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, listing, plain

THEOREM = {"shared": "Theorem 4", "zas": "Theorem 3"}


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.3)
    above, below = figure.subplots(2, 1)
    for method, look in style.METHODS.items():
        rows = [row for row in data["rows"] if row["method"] == method]
        depths = [row["depth"] for row in rows]
        above.plot(depths, [r["bound_rate_per_step"] for r in rows], color=look.colour)
        above.plot(
            depths,
            [r["true_rate_per_step"] for r in rows],
            look.marker,
            color=look.colour,
            markerfacecolor="white",
        )
        for slope in (s for s in data["slopes"] if s["method"] == method):
            below.plot(
                slope["eta"],
                slope["error"],
                look.marker,
                color=look.colour,
                markerfacecolor="white",
                markersize=4,
            )
            # First order through the largest step: theory as a line, measurement as points.
            ends = [min(slope["eta"]), max(slope["eta"])]
            scale = slope["error"][0] / slope["eta"][0]
            below.plot(ends, [scale * end for end in ends], color=look.colour, linewidth=0.8)
    ticks = sorted({row["depth"] for row in data["rows"]})
    above.set(xscale="log", yscale="log", ylabel="reduction of $\\ln R$ per step")
    above.set_xticks(ticks, [str(tick) for tick in ticks])
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xlabel("depth $L$ (layers)")
    below.set(xscale="log", yscale="log", ylabel="distance of $R$ from the flow")
    below.set_xlabel("step size $\\eta$")
    style.panel_title(above, "a", "each theorem at its own step size")
    style.panel_title(below, "b", "descent approaches the flow")
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            markerfacecolor="white",
            linestyle="none",
            label=f"{look.label}, measured",
        )
        for look in style.METHODS.values()
    ]
    handles += [
        Line2D([], [], color=look.colour, label=f"{THEOREM[method]}; slope 1 in b")
        for method, look in style.METHODS.items()
    ]
    style.legend_above(figure, handles, 2)
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    spans, etas = {}, {}
    for method in style.METHODS:
        rows = [row for row in data["rows"] if row["method"] == method]
        loose = [numbers["true_over_bound_rate"][f"{method} L={row['depth']}"] for row in rows]
        spans[method] = f"{plain(min(loose))} to {plain(max(loose))}"
        etas[method] = f"{plain(rows[-1]['eta'], 2)} (L = {rows[-1]['depth']})"
    holding = sum(row["holds"] for row in data["rows"])
    most = max(row["steps"] for row in data["rows"])
    values = [plain(value) for value in data["target_eigenvalues"]]
    return (
        f"Gradient descent on a target with eigenvalues {listing(values)}. (a) Mean reduction of "
        f"ln R per step over up to {count(most)} steps (points) and the theorems' guarantee "
        "(lines), each at the largest step size that its theorem admits: down to "
        f"{etas['zas']} for Theorem 3 and {etas['shared']} for Theorem 4. Measured over "
        f"guaranteed: {spans['zas']} and {spans['shared']}. The bound held at every recorded step "
        f"in {holding} of {len(data['rows'])} runs. (b) Distance from the flow at the time where "
        f"it has lost nine tenths: slopes {plain(numbers['least_slope'], 4)} to "
        f"{plain(numbers['largest_slope'], 4)} (lines: slope 1)."
    )


FIGURE = of_file(
    "theory/descent_bounds.json",
    _panels,
    _caption,
    title="The descent bounds at their own step sizes",
    alt="Two panels, all axes logarithmic. Above: reduction of the log loss per step against "
    "depth; measured points lie above the theorems' lines, and the no-sharing step size "
    "shrinks much faster. Below: descent's distance from the flow is proportional to the "
    "step size.",
)
