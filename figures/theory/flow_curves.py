"""The two flows on one positive definite target: closed forms, bounds, and descent beside them."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, listing, plain


def _panels(data: dict[str, Any]) -> Figure:
    curves: list[dict[str, Any]] = data["curves"]
    depths = sorted({curve["depth"] for curve in curves})
    rows = (len(depths) + 1) // 2
    figure = style.new_figure((0.7 if len(depths) % 2 == 0 else 0.1) + 2.1 * rows)
    grid = figure.subplots(rows, 2, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes, depth in zip(panels, depths, strict=False):
        for curve in (c for c in curves if c["depth"] == depth):
            look = style.METHODS[curve["method"]]
            axes.plot(curve["time"], curve["bound"], "--", color=look.colour, linewidth=1.0)
            axes.plot(curve["time"], curve["loss"], color=look.colour)
            axes.plot(
                curve["descent_time"],
                curve["descent_loss"],
                look.marker,
                color=look.colour,
                markerfacecolor="white",
                markersize=3.8,
                clip_on=False,
                zorder=3,
            )
        axes.set(yscale="log", ylim=(3e-7, 2.0))
        axes.set_xlim(left=0)
        axes.set_title(f"depth $L$ = {depth}")
    for axes in panels[max(0, len(depths) - 2) : len(depths)]:  # each depth has its own times
        axes.set_xlabel("time $t$ (step size × steps)")
    for axes in grid[:, 0]:
        axes.set_ylabel("loss $R(t)\\,/\\,R(0)$")
    handles = [
        Line2D([], [], color=look.colour, label=f"{look.label}, flow")
        for look in style.METHODS.values()
    ]
    handles += [
        Line2D([], [], color=style.INK, linestyle="--", linewidth=1.0, label="theorem's bound"),
        Line2D(
            [],
            [],
            color=style.INK,
            linestyle="none",
            marker="o",
            markerfacecolor="white",
            label="gradient descent",
        ),
    ]
    if len(depths) % 2:  # the free cell holds the legend
        panels[-1].set_axis_off()
        panels[-1].legend(handles=handles, loc="center")
    else:
        style.legend_above(figure, handles, 2)
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    depths = sorted({curve["depth"] for curve in data["curves"]})
    times = {
        method: listing(plain(numbers["time_to_1e-6"][f"{method} L={depth}"]) for depth in depths)
        for method in style.METHODS
    }
    values = [plain(value) for value in data["target_eigenvalues"]]
    return (
        "Loss R(t)/R(0) of gradient flow with and without sharing on one positive definite target "
        f"with eigenvalues {listing(values)}, at depths {listing(depths)}. Lines: closed forms. "
        "Dashes: Theorem 1 for no sharing, Theorem 2 for sharing. Markers: gradient descent on "
        f"full matrices, {count(numbers['steps'])} steps a run, at most "
        f"{plain(numbers['largest_descent_difference'], 2)} of R(0) off the flow. The loss has "
        f"fallen to 10⁻⁶ at t = {times['shared']} with sharing and at t = {times['zas']} without."
    )


FIGURE = of_file(
    "theory/flow_curves.json",
    _panels,
    _caption,
    title="Loss of the two flows against time",
    alt="Loss on a logarithmic axis against time, one panel a depth. Sharing and no sharing "
    "each fall below the dashed bound of its theorem; gradient descent lies on the lines.",
)
