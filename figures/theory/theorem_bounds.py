"""How loose Theorems 1 and 2 are across depth, and how much faster sharing is in fact."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import listing, plain

MARKERS = ("o", "^", "D", "v", "s", "P")


def _panels(data: dict[str, Any]) -> Figure:
    targets = list(dict.fromkeys(row["target"] for row in data["rows"]))
    markers = dict(zip(targets, MARKERS, strict=False))
    figure = style.new_figure(6.3)
    above, below = figure.subplots(2, 1, sharex=True)
    for target in targets:
        for method, look in style.METHODS.items():
            rows = [r for r in data["rows"] if (r["target"], r["method"]) == (target, method)]
            above.plot(
                [r["depth"] for r in rows],
                [r["asymptotic_rate"] / r["bound_rate"] for r in rows],
                color=look.colour,
                marker=markers[target],
                markerfacecolor="white",
                linewidth=1.2,
            )
        found = [s for s in data["speedups"] if s["target"] == target]
        below.plot(
            [s["depth"] for s in found],
            [s["zas_over_shared"][-1] for s in found],
            color=style.INK,
            marker=markers[target],
            markerfacecolor="white",
            linewidth=1.2,
        )
    depths = data["depths"]
    above.axhline(1.0, color=style.FAINT, linestyle="--", linewidth=1.0)
    below.axhline(1.0, color=style.FAINT, linestyle="--", linewidth=1.0)
    below.plot(depths, depths, color=style.FAINT, linestyle="--", linewidth=1.0)
    at = len(depths) // 2
    below.annotate(
        "$L$ times as fast",
        (depths[at], depths[at]),
        xytext=(-6, 4),
        ha="right",
        textcoords="offset points",
        color="#555555",
    )
    above.set(xscale="log", yscale="log", ylabel="final rate, true / theorem")
    below.set(xscale="log", yscale="log", ylabel="time, no sharing / sharing")
    style.depth_ticks(below, depths)
    below.set_xlabel("depth $L$ (layers)")
    style.panel_title(above, "a", "how loose the bounds are (1: tight)")
    style.panel_title(
        below, "b", f"time to {_power(data['rows'][0]['ratios'][-1])} of the first loss"
    )
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
    loose = numbers["asymptotic_over_bound_rate"]
    ranges = {
        method: [v for key, v in loose.items() if key.startswith(f"{method},")]
        for method in style.METHODS
    }
    values = {row["target"]: row["eigenvalues"] for row in data["rows"]}
    speed = listing(
        f"{plain(v)} (eigenvalues {listing(values[target])})"
        for target, v in numbers["time_zas_over_shared_1e-6"].items()
    )
    return (
        "(a) Rate −R′/R as t → ∞ over the rate that the theorem guarantees; 1 is tight. At depth "
        f"{numbers['deepest']} it is {_span(ranges['zas'])} for Theorem 1 (no sharing) and "
        f"{_span(ranges['shared'])} for Theorem 2 (sharing). (b) Time that the flow without "
        "sharing needs to reduce the loss to 10⁻⁶, over the time with sharing; the rising "
        "dashes are the factor L that comparing the two bounds suggests. At depth "
        f"{numbers['deepest']} the factor is {speed}. Closed forms, no sampling."
    )


def _power(value: float) -> str:
    return f"$10^{{{round(math.log10(value))}}}$"


def _span(values: list[float]) -> str:
    return f"{plain(min(values))} to {plain(max(values))}"


FIGURE = of_file(
    "theory/theorem_bounds.json",
    _panels,
    _caption,
    title="The flow bounds against the truth, across depth",
    alt="Two panels over depth, both axes logarithmic. Above: true final rate over the "
    "theorem's rate, for sharing and no sharing and several targets. Below: time without "
    "sharing over time with sharing, beside the line that grows with depth.",
)
