"""When tying first helps: gain against budget, and where closed forms say it begins or ends."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, listing, plain

LOOKS = (("#0072B2", "o", "-"), ("#E69F00", "^", "--"), ("#009E73", "D", "-."))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(7.2)
    # Quarters are exact in binary: the layout's sums, whose order varies, then agree.
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(1.25, 1.0, 1.0))
    for look, curve in zip(LOOKS, data["horizon"], strict=True):
        _curve(top, look, curve, _layers(curve) + _spread(curve))
        _zero(top, look, curve["zero"])
    _finish(top, "budget / $T_c$", "a", "one rate, no noise: it grows", data["horizon"])
    for look, curve in zip(LOOKS, data["one_rate"], strict=False):
        _curve(middle, look, curve, f"noise {curve['noise']:g}, deviations {curve['deviation']:g}")
        _zero(middle, look, curve["horizon"])
    middle.axvline(1.0, color=style.INK, linewidth=0.8)
    _finish(
        middle,
        "budget / predicted turn",
        "b",
        "one rate, noise: it grows, then shrinks",
        data["one_rate"],
    )
    for look, curve in zip(LOOKS, data["tuned"], strict=True):
        equal = len(set(curve["curvatures"])) == 1
        name = "equal layers" if equal else _layers(curve)
        _curve(bottom, look, curve, f"{name}, deviations {curve['deviation']:g}")
    bottom.axvline(1.0, color=style.INK, linewidth=0.8)
    _finish(bottom, "budget / $N_0$", "c", "tuned rates, noise: it shrinks", data["tuned"])
    return figure


def _curve(axes: Axes, look: tuple[str, str, str], curve: dict[str, Any], label: str) -> None:
    colour, marker, line = look
    closed = curve.get("closed")
    axes.plot(
        curve["budget"],
        curve["gain"],
        marker,
        color=colour,
        linestyle="none" if closed else line,
        markerfacecolor="white",
        markersize=4,
        label=label,
    )
    if closed:
        axes.plot(curve["budget"], closed, color=colour, linestyle=line)


def _zero(axes: Axes, look: tuple[str, str, str], where: float) -> None:
    axes.axvline(where, color=look[0], linestyle=look[2], linewidth=0.8)


def _finish(axes: Axes, label: str, letter: str, title: str, curves: list[Any]) -> None:
    axes.set(xscale="log", xlabel=label, ylabel="gain, decades")
    axes.set_ylim(-0.02, 1.6 * max(max(curve["gain"]) for curve in curves))
    low, high = axes.get_xlim()
    shown = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8) if low <= t <= high]
    axes.set_xticks(shown, [f"{t:g}" for t in shown])
    axes.minorticks_off()
    axes.legend(
        loc="upper right" if letter == "c" else "upper left",
        frameon=True,
        framealpha=1.0,
        edgecolor="none",
    )
    style.panel_title(axes, letter, title)


def _layers(curve: dict[str, Any]) -> str:
    h = curve["curvatures"]
    return f"h = ({h[0]:g}, {h[1]:g} × {len(h) - 1})"


def _spread(curve: dict[str, Any]) -> str:
    return f", deviations {curve['deviation']:g}" if curve["deviation"] else ""


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    zeros = listing(
        f"{plain(c['zero'], 3)} (found between {plain(c['last_without'], 3)} and "
        f"{plain(c['first_with'], 3)})"
        for c in data["horizon"]
    )
    times = listing(plain(c["critical_times_stiffest"], 3) for c in data["horizon"][:2])
    tops = listing(plain(c["top"], 2) for c in data["one_rate"])
    ends = listing(plain(c["end"], 2) for c in data["tuned"] if c["end"] is not None)
    optima = listing(
        f"{plain(100 * row['helped'], 2)} % at {row['budget']:g} Tc"
        for row in data["random_optima"]
    )
    return (
        f"Quadratic of L = {numbers['depth']} layers, SGD: decades by which the best τ ends below "
        "the equal start, against the budget. Points: exact expected loss, best of all τ. (a) "
        "Layers of curvature h, all with one optimum, or optima that deviate (variance over "
        f"squared distance); {count(numbers['updates'])} small constant steps; lines: horizon "
        f"theorem, largest gap {plain(numbers['closed_gap'], 2)}. Tc × largest curvature: {times}. "
        f"Vertical lines: predicted begin, in Tc: {zeros}. With an optimum of its own for every "
        f"layer, at random, tying helps in {optima}. (b) h = (8, 1 × 7) at one peak rate, linear "
        "decay: the gain begins at the horizon (coloured lines) and turns where noise overtakes "
        f"what is left of the start (line at 1); tops at {tops}. (c) Each arm at its own best "
        "rate: for equal layers the gain ends about N0 (line at 1; below "
        f"{numbers['floor']:g} decades from {ends} N0 on); of different layers a remainder stays."
    )


FIGURE = of_file(
    "theory/when.json",
    _panels,
    _caption,
    title="When tying first helps, and when no longer",
    alt="Gain of sharing against budget in three panels. Without noise it is zero up to a "
    "predicted budget and grows after it; with noise at one rate it rises and falls; with "
    "tuned rates it falls to zero at a predicted budget when layers are equal, and levels "
    "off when they are not.",
)
