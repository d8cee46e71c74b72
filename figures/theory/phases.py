"""Phase diagrams: where tying first helps and where it hurts, and the predicted line between."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import listing, plain

PANELS = (
    ("curvature", "a", "one optimum", "curvature $h_1 / h_2$"),
    ("deviations", "b", "optima that deviate", "variance / distance²"),
    ("temperature", "c", "noise, and optima that deviate", "temperature"),
)


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(8.4)
    panels = figure.subplots(3, 1, sharex=True)
    for axes, (kind, letter, title, label) in zip(panels, PANELS, strict=True):
        found = data["maps"][kind]
        values, budgets = np.array(found["values"]), np.array(found["budgets"])
        gain = np.array(found["gain"])
        top = float(np.max(np.abs(gain)))
        image = axes.pcolormesh(
            _edges(budgets), _edges(values), gain, cmap="RdBu", vmin=-top, vmax=top, rasterized=True
        )
        line = [(zero, value) for zero, value in zip(found["zero"], values, strict=True) if zero]
        for width, colour in ((3.0, "white"), (1.4, style.INK)):
            axes.plot(*np.array(line).T, color=colour, linewidth=width)
        axes.set(xscale="log", yscale="log", ylabel=label)
        axes.set_xlim(_edges(budgets)[[0, -1]])
        axes.grid(visible=False)
        style.panel_title(axes, letter, title)
        bar = figure.colorbar(image, ax=axes, aspect=14, pad=0.02)
        bar.set_label("gain, decades")
        bar.outline.set_visible(False)
    panels[-1].set_xlabel("budget × largest curvature")
    return figure


def _edges(centres: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the borders of cells around centres that lie evenly in logarithm, one more."""
    logs = np.log(centres)
    half = (logs[1] - logs[0]) / 2
    borders: np.ndarray[Any, Any] = np.exp(np.append(logs - half, logs[-1] + half))
    return borders


def _caption(data: dict[str, Any]) -> str:
    numbers, maps = data["caption_numbers"], data["maps"]
    agree = listing(f"{plain(100 * maps[kind]['agree'], 3)} %" for kind, *_ in PANELS)
    helps = listing(f"{plain(100 * maps[kind]['helps'], 2)} %" for kind, *_ in PANELS)
    return (
        f"Quadratic of L = {numbers['depth']} layers under SGD, one layer stiffer than the others: "
        f"decades by which tying the first 1/{numbers['tied']} of {numbers['updates']} updates "
        "lowers the exact expected final loss (blue) or raises it (red), beside no tying from the "
        "same start. Line: the budget from which tying first helps, by the horizon theorem, which "
        f"does not look at the colours. (a) One optimum for all. (b) h = ({numbers['stiffest']:g}, "
        "1 × …), optima that deviate by the variance given. (c) As b at a variance of "
        f"{numbers['variance']:g}, with gradient noise of the temperature given. Tying helps in "
        f"{helps} of the {numbers['cells']} cells of each; the line has the sign right in {agree}."
    )


FIGURE = of_file(
    "theory/phases.json",
    _panels,
    _caption,
    title="Where tying first helps: phase diagrams with the predicted line",
    alt="Three maps of gain over budget and model. Blue, where tying first helps, begins to the "
    "right of a line that is predicted: earlier for layers of like curvature, never for optima "
    "that deviate widely, and earlier the hotter the noise.",
)
