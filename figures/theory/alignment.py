"""Alignment of the layers' gradients along the flows, and SWE-A's rule judged by it."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import fixed, listing, plain

FLOWS = {
    "shared": style.METHODS["shared"],
    "identity": style.Look("identity, not shared", "#009E73", "^", (0, (5, 1.5))),
    "perturbed": style.Look("perturbed, not shared", "#CC79A7", "v", (0, (1, 1))),
    "zas": style.METHODS["zas"],
}
SHOWN = ("rotation", "triangular")


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.9)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(3.1, 3.0))[:, 0]
    panels = upper.subplots(1, 2, sharey=True)
    for letter, family, axes in zip("ab", SHOWN, panels, strict=True):
        _along(axes, data, family)
        style.panel_title(axes, letter, f"flows, {family}")
    panels[0].set_ylabel("alignment $A$")
    handles = [
        Line2D([], [], color=look.colour, linestyle=look.dash, label=look.label)
        for look in FLOWS.values()
    ]
    upper.legend(handles=handles, loc="outside upper left", ncols=2)
    left, right = lower.subplots(1, 2)
    _range(left, data)
    _drift(right, data)
    return figure


def _along(axes: Axes, data: dict[str, Any], family: str) -> None:
    for flow, look in FLOWS.items():
        row = next(r for r in data["flows"] if (r["family"], r["flow"]) == (family, flow))
        axes.plot(data["levels"], row["alignment"], color=look.colour, linestyle=look.dash)
    axes.axhline(1.0 / data["depth"], color=style.FAINT, linewidth=1.0, linestyle="--")
    axes.annotate(
        "$1/L$",
        (data["levels"][-1], 1.0 / data["depth"]),
        xytext=(-2, 3),
        ha="right",
        textcoords="offset points",
        color="#555555",
    )
    axes.set(xscale="log", ylim=(0.0, 1.05), xlabel="loss $R/R(0)$")
    axes.invert_xaxis()


def _range(axes: Axes, data: dict[str, Any]) -> None:
    found = data["range"]
    axes.fill_between(found["cosine"], found["lower"], found["upper"], color="#d9e6f2", zorder=0)
    axes.axvline(0.5, color=style.FAINT, linestyle="--", linewidth=1.0)
    axes.annotate(
        "$\\rho$", (0.5, 0.45), xytext=(3, 0), textcoords="offset points", color="#555555"
    )
    for case, marker, colour in zip(data["cases"], "Xs", ("#D55E00", "#0072B2"), strict=True):
        axes.plot(
            case["median_cosine"],
            case["alignment"],
            marker,
            color=colour,
            markersize=7,
            clip_on=False,
        )
        axes.annotate(
            case["case"],
            (case["median_cosine"], case["alignment"]),
            xytext=(-7, 5),
            ha="right",
            textcoords="offset points",
        )
    axes.set(xlabel="adjacent cosines", ylabel="alignment $A$", xlim=(-1, 1), ylim=(0, 1.05))
    style.panel_title(axes, "c", "what the rule can know")


def _drift(axes: Axes, data: dict[str, Any]) -> None:
    depths = [row["depth"] for row in data["drift"]]
    axes.plot(
        depths,
        [r["least_cosine"] for r in data["drift"]],
        "s-",
        color="#E69F00",
        markerfacecolor="white",
    )
    axes.plot(
        depths,
        [r["least_alignment"] for r in data["drift"]],
        "o-",
        color=style.METHODS["shared"].colour,
        markerfacecolor="white",
    )
    axes.axhline(0.5, color=style.FAINT, linestyle="--", linewidth=1.0)
    middle = depths[len(depths) // 2]
    row = data["drift"][len(depths) // 2]
    for text, key, up in (
        ("adjacent cosine", "least_cosine", -24),
        ("alignment $A$", "least_alignment", -14),
    ):
        axes.annotate(
            text, (middle, row[key]), xytext=(0, up), ha="center", textcoords="offset points"
        )
    axes.set(xscale="log", ylim=(0, 1.05), xlabel="depth $L$", ylabel="least on the way")
    style.depth_ticks(axes, depths)
    style.panel_title(axes, "d", "drift, sharing")


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    least = numbers["least_alignment"]
    cases = numbers["case_alignment"]
    late = listing(
        f"{'never' if level is None else plain(level, 2)} ({family})"
        for family, level in numbers["overtaken"].items()
    )
    return (
        "A = ‖Σg‖²/(L Σ‖g‖²): the mean rule descends A times as fast as the layers' own gradients "
        f"would at the same weights. (a, b) Means over targets, depth {data['depth']}; the least "
        f"A for single triangular targets is {plain(least['shared, triangular'])} with sharing and "
        f"{plain(least['zas, triangular'])} for ZAS. Each on its own way, sharing descends faster "
        f"at first and ZAS from R/R(0) = {late} on. (c) Shaded: bounds of A for equal norms and "
        f"equal adjacent cosines, {numbers['rule_depth']} layers. SWE-A keeps the gradients at the "
        f"cross tied with A = {fixed(cases['kept in vain'], 3)} and unties those at the square "
        f"(unequal cosines, the median is drawn) with A = {plain(cases['untied in vain'])}; when "
        f"it unties, A is at most {plain(numbers['untie_bound'])}. (d) Sharing on strongly "
        f"non-normal targets; dashes: ρ. At depth {numbers['deepest']} the least adjacent cosine "
        f"is {plain(numbers['deepest_least_cosine'])}, the least A "
        f"{plain(numbers['deepest_least_alignment'])}; the rule unties in {numbers['untied']} runs."
    )


FIGURE = of_file(
    "theory/alignment.json",
    _panels,
    _caption,
    title="How well layer gradients agree, and what SWE-A's rule sees of it",
    alt="Four panels. Above: alignment against falling loss for two target families; one for "
    "flows from the identity, low at first for ZAS. Below left: the wide range of alignment "
    "that adjacent cosines allow, with two examples where the rule errs. Below right: with "
    "depth the least adjacent cosine rises to one while the least alignment stays near a half.",
)
