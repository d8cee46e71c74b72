"""Loss of unrolled networks against tau: by the parts of their Hessian, and as it was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, fixed, listing

TITLES = {"sgd": "SGD", "adamw": "AdamW"}
LINES: dict[str, tuple[str, Any]] = {
    "full": ("#D55E00", "-"),
    "commuting": ("#0072B2", (0, (5, 1.5))),
    "exchangeable": ("#009E73", (0, (1, 1.2))),
}
LABELS = {"full": "full Hessian", "commuting": "mean uncoupled", "exchangeable": "exchangeable"}
VERSUS = "against_equal_start"
COLUMNS = 2
LETTERS = "abcdefghijklmnop"


def _panels(data: dict[str, Any]) -> Figure:
    settings = data["settings"]
    rows = -(-len(settings) // COLUMNS)
    figure = style.new_figure(1.2 + 1.7 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
    for letter, axes, setting in zip(LETTERS, panels.ravel(), settings, strict=False):
        _panel(axes, data["tau"], setting)
        style.panel_title(axes, letter, _short(setting))
    for axes in panels.ravel()[len(settings) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("$\\log_{10}$ loss")
    for axes in panels.ravel()[: len(settings)][-COLUMNS:]:  # the last one of each column
        axes.set_xlabel("$\\tau/T$")
        axes.tick_params(labelbottom=True)
    measured = Line2D([], [], color=style.INK, marker="o", linestyle="", label="measured")
    lines = [
        Line2D([], [], color=colour, linestyle=dash, label=LABELS[part])
        for part, (colour, dash) in LINES.items()
    ]
    style.legend_above(figure, [measured, *lines], columns=2)
    return figure


def _panel(axes: Axes, taus: list[float], setting: dict[str, Any]) -> None:
    places, found = np.arange(len(taus)), setting["measured"][VERSUS]
    for part, (colour, dash) in LINES.items():
        axes.plot(places, setting["parts"][part][VERSUS]["mean"], color=colour, linestyle=dash)
    for place, low, high in zip(places, found["low"], found["high"], strict=True):
        if low is not None:
            axes.plot([place] * 2, [low, high], color=style.INK, linewidth=1.0)
    axes.plot(places, found["mean"], "o", color=style.INK, markersize=3.6)
    seen = [v for key in ("mean", "low", "high") for v in found[key] if v is not None]
    seen += setting["parts"]["full"][VERSUS]["mean"][:-1]
    room = 0.12 * (max(seen) - min(seen)) + 1e-3
    axes.set_ylim(min(seen) - room, max(seen) + room)  # lines may leave: the caption has them
    axes.axhline(0.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set_xticks(places, [f"{tau:g}" for tau in taus], rotation=60)
    axes.grid(visible=False, axis="x")


def _short(setting: dict[str, Any]) -> str:
    return (
        f"$\\gamma$ {setting['gamma']:g}, $\\varepsilon$ {setting['eps']:g}, "
        f"{TITLES[setting['optimiser']]}"
    )


def _caption(data: dict[str, Any]) -> str:
    parts = []
    for letter, setting in zip(LETTERS, data["settings"], strict=False):
        said = ", ".join(
            f"{LABELS[part]} {fixed(setting['parts'][part]['best_tau'], 2)}" for part in LINES
        )
        left = ", ".join(f"{tau:g}" for tau in setting["measured"]["best_tau_set"])
        parts.append(
            f"({letter}) γ = {setting['gamma']:g}, ε = {setting['eps']:g}, "
            f"{TITLES[setting['optimiser']]}: best τ/T by {said}; measured, not worse: {left}"
        )
    updates = sorted({setting["steps"] for setting in data["settings"]})
    return (
        f"Final loss of unrolled networks over the equal start's, within a network, against the "
        f"update τ at which the layers are untied; {listing(count(n) for n in updates)} updates, "
        f"one rate for all arms. Points: mean and 95 % interval of {data['judging']} networks. "
        "Lines: the quadratic about each network's teacher, with its full Hessian, without the "
        "coupling of the layers' mean with their differences, and with the mean Hessian over all "
        "orders of the layers; under AdamW preconditioned by a fixed diagonal. "
        f"{'. '.join(parts)}."
    )


FIGURE = of_file(
    "toy/hessian.json",
    _panels,
    _caption,
    name="toy_hessian",
    title="Which part of the curvature says that sharing pays",
    alt="Final loss against the untie time, one panel a setting: measured points with intervals "
    "beside the lines of the full Hessian, of it without the coupling of mean and differences, "
    "and of its exchangeable part.",
)
