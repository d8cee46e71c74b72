"""Teacher and student: what SWE, its starts and its tau give where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, interval, listing

REFERENCE = "equal-start"
COLOURS = ("#0072B2", "#009E73", "#E69F00", "#CC79A7")
MARKERS = ("o", "s", "^", "D")
TITLES = {"sgd": "SGD", "adamw": "AdamW"}


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.4)
    arms = [arm for arm in data["arms"] if arm != REFERENCE]
    optimisers = list(dict.fromkeys(s["optimiser"] for s in data["settings"]))
    panels = figure.subplots(len(optimisers), 1, sharex=True, squeeze=False)[:, 0]
    for letter, axes, name in zip("ab", panels, optimisers, strict=False):
        _panel(axes, arms, [s for s in data["settings"] if s["optimiser"] == name])
        style.panel_title(axes, letter, TITLES.get(name, name))
    first = data["settings"][: len(data["settings"]) // len(optimisers)]
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            linestyle="",
            label=f"$\\varepsilon$ = {setting['eps']:g}",
        )
        for colour, marker, setting in zip(COLOURS, MARKERS, first, strict=False)
    ]
    style.legend_above(figure, handles, columns=4)
    return figure


def _panel(axes: Axes, arms: list[str], settings: list[dict[str, Any]]) -> None:
    offsets = np.linspace(-0.27, 0.27, len(settings))
    for offset, colour, marker, setting in zip(offsets, COLOURS, MARKERS, settings, strict=False):
        for place, arm in enumerate(arms):
            gap = setting["against_equal_start"][arm]["difference"]
            if gap["low"] is not None:
                axes.plot([place + offset] * 2, [gap["low"], gap["high"]], color=colour)
            axes.plot(place + offset, gap["mean"], marker, color=colour, markersize=4)
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    axes.set_xticks(range(len(arms)), arms, rotation=40, ha="right")
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("$\\Delta \\log_{10}$ final loss")


def _caption(data: dict[str, Any]) -> str:
    parts = []
    for setting in data["settings"]:
        versus = setting["against_baseline"]
        swe = [arm for arm in versus if arm.startswith("swe")]
        best = min(swe, key=lambda arm: versus[arm]["difference"]["mean"])
        parts.append(
            f"{TITLES.get(setting['optimiser'], setting['optimiser'])}, ε = {setting['eps']:g}: "
            f"{best} {interval(versus[best]['difference'], 2)} ({versus[best]['verdict']})"
        )
    return (
        f"Student stacks of {data['depth']} blocks h + V tanh(U h), width {data['width']}, "
        f"{count(data['steps'])} updates, n = {data['seeds']} seeds; teacher's blocks differ by ε. "
        "Log₁₀ of the final held-out loss minus the equal start's of the same seed: mean and 95 % "
        "paired t interval; rate chosen for every arm from the same grid. The best SWE arm minus "
        f"the baseline: {listing(parts)}."
    )


FIGURE = of_file(
    "toy/teacher_student.json",
    _panels,
    _caption,
    name="toy_teacher_student",
    title="Teacher and student of residual modules",
    alt="Final loss of every arm minus that of the equal start, for SGD above and AdamW below, "
    "with a point and an interval for each deviation of the teacher from sharing.",
)
