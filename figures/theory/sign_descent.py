"""Noisy sign descent: the common mode's gain of speed by tying layers, and what it costs."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

LOOKS = (("#0072B2", "o", "-"), ("#E69F00", "^", "--"), ("#009E73", "D", "-."))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.4)
    # Quarters are exact in binary: the layout's sums, whose order varies, then agree.
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(1.25, 1.0, 0.75))
    _gains(top, data)
    _reach(middle, data)
    _floors(bottom, data["floors"])
    return figure


def _gains(axes: Axes, data: dict[str, Any]) -> None:
    looks = LOOKS if len(data["gains"]) > 1 else LOOKS[:1]
    for (colour, marker, line), gain in zip(looks, data["gains"], strict=True):
        depth = gain["depth"]
        axes.plot(data["snr"], data["lines"][str(depth)], color=colour, linestyle=line)
        axes.errorbar(
            gain["snr"],
            gain["gain"],
            [half_width(e, data["caption_numbers"]["samples"]) for e in gain["standard_error"]],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
            markersize=4,
            elinewidth=1.0,
            label=f"L = {depth}",
        )
    axes.set(xscale="log", yscale="log", ylabel="gain of speed")
    axes.set_xlabel("signal-to-noise of one layer's gradient")
    axes.set_yticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.minorticks_off()
    axes.legend(loc="upper right")
    style.panel_title(axes, "a", "constant gradient, equal step size")


def _reach(axes: Axes, data: dict[str, Any]) -> None:
    for name, look in (("tied", style.METHODS["shared"]), ("unshared", style.METHODS["zas"])):
        snr = [row["snr"] for row in data["reach"]]
        label = "tied" if name == "tied" else "no sharing"
        axes.plot(data["start_snr"], data["reach_lines"][name], color=look.colour)
        axes.errorbar(
            snr,
            [row[f"{name}_steps"] for row in data["reach"]],
            [half_width(row[f"{name}_standard_error"], row["batches"]) for row in data["reach"]],
            fmt=look.marker,
            color=look.colour,
            markerfacecolor="white",
            markersize=4,
            label=label,
        )
    axes.set(xscale="log", yscale="log", ylabel="steps")
    axes.set_xlabel("signal-to-noise at the start")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(round(value))))
    axes.minorticks_off()
    axes.legend(loc="upper right")
    reached = data["caption_numbers"]["reached"]
    style.panel_title(axes, "b", f"quadratic: steps from 1 to {reached:g}")


def _floors(axes: Axes, floors: dict[str, Any]) -> None:
    labels = {
        "tied": "tied, $\\eta$",
        "unshared": "no sharing, $\\eta$",
        "unshared, sqrt(L) eta": "no sharing, $\\sqrt{L}\\,\\eta$",
    }
    for place, (name, arm) in enumerate(floors["arms"].items()):
        look = style.METHODS["shared" if name == "tied" else "zas"]
        axes.plot(
            [1e3 * arm["predicted"]] * 2,
            [place - 0.3, place + 0.3],
            color=look.colour,
            linewidth=2.2,
        )
        axes.errorbar(
            1e3 * arm["floor"],
            place,
            xerr=1e3 * half_width(arm["standard_error"], floors["replicas"]),
            fmt=look.marker,
            color=look.colour,
            markerfacecolor="white",
            markersize=4.5,
        )
    axes.set_yticks(range(len(floors["arms"])), [labels[name] for name in floors["arms"]])
    axes.set(ylim=(len(floors["arms"]) - 0.5, -0.5), xlabel="mean square of the common mode × 10³")
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    style.panel_title(axes, "c", "the price: noise floor")


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    depths = listing(gain["depth"] for gain in data["gains"])
    reach = listing(
        f"{plain(row['gain'], 3)} (predicted {plain(row['predicted'], 3)}) at {row['snr']:g}"
        for row in data["reach"]
    )
    return (
        "Each layer steps by the sign of a common gradient plus its own noise; tied layers by the "
        f"sign of the mean. (a) Ratio of the mean's speeds, L = {depths}: lines erf(r√(L/2)) / "
        f"erf(r/√2), points {count(numbers['samples'])} sampled steps with 95 % intervals, "
        f"largest |z| of {numbers['points']} is {plain(numbers['largest_z'], 3)}. (b) Steps to "
        f"bring the mean from 1 to {numbers['reached']:g}, L = {numbers['reach_depth']}: lines by "
        "the drift's equation, points simulated with 95 % intervals; gain of tying "
        f"{reach}, largest gap {plain(100 * numbers['reach_gap'], 2)} %. (c) At equal step size "
        f"the tied mean's noise floor is {plain(numbers['floor_ratio'], 3)} times as high; no "
        "sharing with steps √L times larger has, within "
        f"{plain(100 * abs(numbers['floor_ratio_larger_step'] - 1), 2)} %, the same floor. Bars: "
        "first-order formula."
    )


FIGURE = of_file(
    "theory/sign_descent.json",
    _panels,
    _caption,
    title="Why sign-like updates may gain by sharing",
    alt="Gain of the common mode's speed by tying layers against signal-to-noise: the root of "
    "the depth where noise dominates, one where it does not, with simulated points on the "
    "lines. Below, steps to reach a tenth of the start, and the noise floors.",
)
