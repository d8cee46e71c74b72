"""The exchangeable quadratic: loss at the end against the step of unsharing, and the best step."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

LOOKS = (("#0072B2", "o", "-"), ("#E69F00", "^", "--"), ("#009E73", "D", "-."))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.9)
    # Quarters are exact in binary: the layout's sums, whose order varies, then agree.
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(1.25, 1.0, 1.0))
    _curves(top, data, "linear")
    style.panel_title(top, "a", "step size decaying linearly to zero")
    _curves(middle, data, "constant")
    style.panel_title(middle, "b", "constant step size")
    for axes in (top, middle):
        axes.set_ylabel("loss / equal start's")
        axes.set_xlabel("first unshared step $\\tau / T$")
    _rule(bottom, data)
    style.legend_above(figure, top.get_legend_handles_labels()[0], 2)
    return figure


def _curves(axes: Axes, data: dict[str, Any], schedule: str) -> None:
    curves = [c for c in data["curves"] if c["schedule"] == schedule]
    replicas = data["caption_numbers"]["replicas"]
    for (colour, marker, line), curve in zip(LOOKS, curves, strict=True):
        label = f"noise floor = {curve['ratio']:g} × bias"
        _one(axes, curve, replicas, colour, marker, line, label)
    if schedule == "linear":
        _one(axes, data["spectrum"], replicas, style.INK, "s", ":", "five directions")
    axes.axhline(1.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.02, 1.02), yscale="log")
    low = min(min(curve["relative"]) for curve in data["curves"])
    ticks = [t for t in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if t > 0.8 * low]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()


def _one(
    axes: Axes,
    curve: dict[str, Any],
    replicas: int,
    colour: str,
    marker: str,
    line: str,
    label: str,
) -> None:
    axes.plot(curve["tau"], curve["relative"], color=colour, linestyle=line)
    axes.errorbar(
        curve["simulated_tau"],
        curve["simulated"],
        [half_width(e, replicas) for e in curve["standard_error"]],
        fmt=marker,
        color=colour,
        markerfacecolor="white",
        markersize=4,
        elinewidth=1.0,
        label=label,
        clip_on=False,
    )
    axes.plot(
        curve["best_tau"],
        curve["best_relative"],
        "*",
        color=colour,
        markersize=11,
        zorder=4,
        clip_on=False,
    )


def _rule(axes: Axes, data: dict[str, Any]) -> None:
    rule, look = data["rule"], style.METHODS["shared"]
    axes.plot(rule["ratio"], rule["formula"], color=look.colour, label="$1 - \\eta^*/\\eta$")
    axes.plot(
        rule["ratio"][::2],
        rule["tau"][::2],
        look.marker,
        color=look.colour,
        markerfacecolor="white",
        label="least exact loss",
        clip_on=False,
    )
    axes.set(xscale="log", ylim=(-0.03, 1.03), ylabel="best $\\tau / T$")
    axes.set_xlabel("noise floor of the differences at peak / bias")
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    axes.legend(loc="lower right")
    style.panel_title(axes, "c", "best step under linear decay")


def _caption(data: dict[str, Any]) -> str:
    numbers, mixed = data["caption_numbers"], data["spectrum"]
    inner = [c for c in data["curves"] if c["schedule"] == "linear"]
    own = listing(plain(tau, 2) for tau in mixed["own_best_tau"])
    best = listing(f"{plain(c['best_tau'], 3)} at {c['ratio']:g}" for c in inner)
    return (
        f"L = {numbers['depth']} modules whose optima differ, SGD, T = {count(numbers['steps'])}: "
        "expected loss at T when all modules are equal and share until τ, over that of the equal "
        "start that never shares (τ = 0). Lines: closed form; points: mean of n = "
        f"{count(numbers['replicas'])} simulated runs with 95 % intervals, largest |z| of "
        f"{numbers['points']} means {plain(numbers['largest_z'], 3)}; stars: the best τ. Bias is "
        "what sharing costs, the distance of the modules' optima from their mean; the noise floor "
        "is what it avoids. The mean of the modules moves alike in all arms, to "
        f"{plain(numbers['mean_gap'], 2)} of its size. (a) Best τ/T {best}; five directions of "
        f"different curvature {plain(mixed['best_tau'], 3)}, their own being {own}; there the "
        f"loss is {plain(100 * numbers['spectrum_gain'], 3)} % below the equal start's and "
        f"{plain(100 * numbers['spectrum_gain_over_unshared'], 3)} % below that of independent "
        "starts. (b) With constant steps the best τ is 0 or T. (c) Sharing stops paying when the "
        "step size falls below η*: formula and least loss differ by "
        f"{plain(numbers['rule_gap'], 2)} T at most, in {count(numbers['rule_steps'])} steps."
    )


FIGURE = of_file(
    "theory/quadratic.json",
    _panels,
    _caption,
    title="When to unshare: a quadratic solved exactly",
    alt="Loss at the end against the step at which modules are unshared. Under linear decay "
    "the curves have an inner minimum that moves right as noise grows; with constant steps "
    "they rise or fall throughout. Below, the best step against the ratio of noise to bias.",
)
