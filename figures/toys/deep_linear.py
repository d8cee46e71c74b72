"""The training core where the answer is known: deep linear networks of distinct modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from evidence.results import read_data, reading
from figures.base import style
from figures.base.wording import count, interval, listing, plain

NAME = "toy_deep_linear"
SOURCE = "toy/deep_linear.json"
REFERENCE = "equal-start"
HEIGHTS = (2.2, 3.3, 2.3)


@style.styled
def draw(out: Path) -> bool:
    """Draw the core against the flow, and the arms for each eps; False when the file is absent."""
    data = read_data(out, SOURCE)
    if data is None:
        return False
    with reading(out / SOURCE):
        core, distinct = data["core_against_flow"], data["distinct_modules"]
        figure = style.new_figure(7.6)
        upper, middle, lower = figure.subfigures(3, 1, squeeze=False, height_ratios=HEIGHTS)[:, 0]
        _core(upper, core)
        _curves(middle, distinct)
        _finals(lower, distinct)
        caption = _caption(core, distinct)
    style.save(
        figure,
        out,
        NAME,
        title="The training core on deep linear networks",
        caption=caption,
        alt="Above: tied descent of the training core lies on the flow's curve, and its error is "
        "proportional to the step size. Middle: loss against updates of shared, unshared and "
        "share-then-unshare arms for three amounts of difference between the true modules. "
        "Below: final differences to the equal start with intervals.",
        sources=[SOURCE],
    )
    return True


def _core(figure: Any, core: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    curve, look = core["curve"], style.METHODS["shared"]
    every = max(1, len(curve["time"]) // 16)
    left.plot(curve["time"], curve["flow"], color=look.colour, label="flow")
    left.plot(
        curve["time"][::every],
        curve["core"][::every],
        look.marker,
        color=look.colour,
        markerfacecolor="white",
        markersize=4,
        label="training core",
    )
    left.set(yscale="log", xlabel="time $t$ (step size × updates)", ylabel="loss $R(t)/R(0)$")
    left.legend(loc="upper right", handlelength=1.4)
    style.panel_title(left, "a", "tied descent")
    etas, errors = core["step_sizes"], core["errors"]
    guide = errors[0] * np.array([etas[0], etas[-1]]) / etas[0]
    right.plot([etas[0], etas[-1]], guide, color=look.colour, label="slope 1")
    right.plot(etas, errors, look.marker, color=look.colour, markerfacecolor="white")
    right.set(
        xscale="log", yscale="log", xlabel="step size $\\eta$", ylabel="largest error / $R(0)$"
    )
    right.set_xticks(etas[::2], [f"{eta:g}" for eta in etas[::2]])
    right.xaxis.set_minor_locator(NullLocator())
    right.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.yaxis.set_minor_locator(NullLocator())
    right.legend(loc="upper left")
    style.panel_title(right, "b", f"error, slope {core['slope']:.3f}")


def _curves(figure: Any, distinct: dict[str, Any]) -> None:
    settings = distinct["settings"]
    panels: list[Axes] = list(figure.subplots(1, len(settings), sharey=True, squeeze=False)[0])
    for axes, setting in zip(panels, settings, strict=True):
        for arm, values in setting["curves"].items():
            look = style.arm_look(arm)
            updates = distinct["curve_every"] * np.arange(len(values))
            axes.plot(updates, values, color=look.colour, linestyle=look.dash, linewidth=1.4)
        axes.set_title(f"$\\varepsilon$ = {setting['eps']:g}")
        axes.set_xlim(0, distinct["steps"])
        axes.set_xticks([0, distinct["steps"] // 2, distinct["steps"]])
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    panels[0].set_ylabel("$\\log_{10}\\, R/R(0)$, median")
    panels[0].set_title(f"$\\bf{{c}}$  $\\varepsilon$ = {settings[0]['eps']:g}")
    figure.supxlabel("updates", fontsize=9)
    handles = style.arm_handles(list(settings[0]["curves"]))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)


def _finals(figure: Any, distinct: dict[str, Any]) -> None:
    axes = figure.subplots()
    arms = [arm for arm in distinct["settings"][0]["arms"] if arm != REFERENCE]
    for place, setting in enumerate(distinct["settings"]):
        for offset, arm in zip(np.linspace(-0.27, 0.27, len(arms)), arms, strict=True):
            look, entry = style.arm_look(arm), setting["arms"][arm]
            gap, reference = entry["difference"], setting["arms"][REFERENCE]["values"]
            seeds = [entry["values"][s] - reference[s] for s in entry["values"] if s in reference]
            x = place + offset
            axes.plot(
                [x + 0.055] * len(seeds),
                seeds,
                "o",
                color=look.colour,
                markersize=2.6,
                markeredgewidth=0.8,
                markerfacecolor="white",
            )
            if gap["low"] is not None:
                axes.plot([x, x], [gap["low"], gap["high"]], color=look.colour)
            axes.plot(x, gap["mean"], look.marker, color=look.colour, markersize=5.5)
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    epsilons = [f"$\\varepsilon$ = {setting['eps']:g}" for setting in distinct["settings"]]
    axes.set_xticks(range(len(epsilons)), epsilons)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("$\\Delta \\log_{10} R$ at the end")
    style.panel_title(axes, "d", "final loss minus the equal start's, same target")


def _caption(core: dict[str, Any], distinct: dict[str, Any]) -> str:
    parts = []
    for setting in distinct["settings"]:
        arms = [(arm, e) for arm, e in setting["arms"].items() if arm != REFERENCE]
        found = listing(
            f"{style.arm_look(arm).label} {interval(e['difference'], 2)} ({e['verdict']})"
            for arm, e in arms
        )
        parts.append(f"ε = {setting['eps']:g}: {found}.")
    return (
        f"(a, b) The training core, always tied, on a positive definite target (L = "
        f"{core['depth']}, {core['size']} × {core['size']}): on the closed-form flow up to an "
        f"error that shrinks with the step size, slope {plain(core['slope'], 4)}, "
        f"{plain(core['errors'][-1], 2)} of R(0) at the smallest. (c) Targets made of "
        f"{distinct['depth']} modules W* + ε Δ, the Δ differing between layers: median over "
        f"n = {distinct['seeds']} targets, {count(distinct['steps'])} updates. (d) Final log₁₀ R "
        "minus the equal start's on the same target: mean, 95 % paired t interval, each target as "
        f"a dot. {' '.join(parts)}"
    )
