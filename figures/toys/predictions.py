"""Loss of the toys against tau: predicted from a run that never shares, beside the measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from evidence.results import read_data, reading
from figures.base import style
from figures.base.wording import count, fixed, interval, listing

NAME = "toy_predictions"
SOURCE = "toy/predictions.json"
COLOURS = {0.0: "#0072B2", 0.1: "#009E73", 0.3: "#E69F00", 1.0: "#CC79A7"}
MARKERS = {0.0: "o", 0.1: "s", 0.3: "^", 1.0: "D"}
PANELS = (
    ("quadratic", "sgd", "a true quadratic, trained by the core"),
    ("deep linear", "sgd", "deep linear, distinct modules"),
    ("students near", "sgd", "students drawn close to the teacher"),
    ("students", "sgd", "students, SGD"),
    ("students", "adamw", "students, AdamW"),
)


@style.styled
def draw(out: Path) -> bool:
    """Draw log10 loss against tau for every toy; False when the file is absent."""
    data = read_data(out, SOURCE)
    if data is None:
        return False
    with reading(out / SOURCE):
        figure = style.new_figure(9.6)
        panels = figure.subplots(len(PANELS), 1)
        for letter, axes, (toy, optimiser, title) in zip("abcde", panels, PANELS, strict=True):
            _panel(axes, _of(data, toy, optimiser))
            style.panel_title(axes, letter, title)
        panels[-1].set_xlabel("first unshared step $\\tau/T$")
        panels[2].set_ylabel("log$_{10}$ of final loss over equal start's")
        style.legend_above(figure, _handles(), columns=4)
        caption = _caption(data)
    style.save(
        figure,
        out,
        NAME,
        title="Best time of unsharing: predicted without a run that shares, and measured",
        caption=caption,
        alt="Five panels of final loss relative to the equal start against the first unshared "
        "step. Measured points lie on the predicted line for a true quadratic and, close to the "
        "teacher, on the line without exchangeability; for students far from the teacher they "
        "rise where the lines stay flat or fall.",
        sources=[SOURCE],
    )
    return True


def _of(data: dict[str, Any], toy: str, optimiser: str) -> list[dict[str, Any]]:
    found = [s for s in data["settings"] if (s["toy"], s["optimiser"]) == (toy, optimiser)]
    if not found:
        raise KeyError(f"no setting {toy}, {optimiser}")
    return found


def _handles() -> list[Line2D]:
    points = [
        Line2D(
            [],
            [],
            color=COLOURS[eps],
            marker=MARKERS[eps],
            linestyle="",
            label=f"$\\varepsilon$ = {eps:g}",
        )
        for eps in COLOURS
    ]
    lines = [
        Line2D([], [], color=style.INK, label="exchangeable"),
        Line2D([], [], color=style.INK, linestyle=(0, (1, 1.2)), label="not exchangeable"),
        Line2D(
            [], [], color=style.INK, marker="|", markersize=9, linestyle="", label="predicted best"
        ),
    ]
    return points + lines


def _panel(axes: Axes, settings: list[dict[str, Any]]) -> None:
    places = np.arange(len(settings[0]["tau"]))
    offsets = np.linspace(-0.21, 0.21, len(settings)) if len(settings) > 1 else [0.0]
    for offset, setting in zip(offsets, settings, strict=True):
        colour, marker = COLOURS[setting["eps"]], MARKERS[setting["eps"]]
        for key, dash in (("predicted", "-"), ("general", (0, (1, 1.2)))):
            if key in setting:
                axes.plot(places, setting[key], color=colour, linestyle=dash, linewidth=1.2)
        for place, gap in zip(places + offset, setting["measured"], strict=True):
            if gap["low"] is not None:
                axes.plot([place] * 2, [gap["low"], gap["high"]], color=colour, linewidth=1.0)
            axes.plot(place, gap["mean"], marker, color=colour, markersize=3.8)
        best = np.interp(setting["predicted_best_tau"], setting["tau"], places)
        axes.plot(
            best + offset,
            0.02,
            "|",
            color=colour,
            markersize=9,
            markeredgewidth=1.6,
            transform=axes.get_xaxis_transform(),
            clip_on=False,
        )
    seen = [
        v
        for s in settings
        for gap in s["measured"]
        for v in (gap["mean"], gap["low"], gap["high"])
        if v is not None
    ]
    seen += [v for s in settings for v in s.get("predicted", [])]
    room = 0.12 * (max(seen) - min(seen)) + 1e-3
    axes.set_ylim(min(seen) - room, max(seen) + room)  # lines may leave: the caption has them
    axes.axhline(0.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set_xticks(places, [f"{tau:g}" for tau in settings[0]["tau"]])
    axes.grid(visible=False, axis="x")


def _caption(data: dict[str, Any]) -> str:
    parts = []
    for toy, optimiser, title in PANELS:
        words = [
            f"{fixed(s['predicted_best_tau'], 2)} "
            f"({', '.join(f'{tau:g}' for tau in s['best_tau_set'])})"
            for s in _of(data, toy, optimiser)
        ]
        parts.append(f"{title}: {'; '.join(words)}")
    student, adam = _of(data, "students", "sgd")[0], _of(data, "students", "adamw")
    near = _of(data, "students near", "sgd")[0]
    [control] = _of(data, "quadratic", "sgd")
    speeds = listing(
        f"{fixed(s['common_speed']['predicted'], 3)} (measured "
        f"{interval(s['common_speed']['measured'], 3)})"
        for s in (adam[0], adam[-1])
    )
    return (
        f"Points: log₁₀ of the final loss over the equal start's of the same seed, mean and 95 % "
        f"paired t interval, n = {data['seeds']} ({control['baseline']['n']} in a); "
        f"{count(data['steps'])} updates, deep linear {count(data['linear_steps'])}; one rate for "
        "all arms of a panel. Solid lines: the exchangeable quadratic with curvature and noise "
        "from probes of the never-shared run and the teacher's optimum; dotted: the same Hessian "
        "without exchangeability and without noise; bars on the axis: predicted best τ, for AdamW "
        "from gradient signal-to-noise. Predicted best τ/T, and in brackets the measured ones that "
        f"are not distinguishable from the best, by ε: {'. '.join(parts)}. Share of the Hessian "
        f"that is not exchangeable at ε = 0: {interval(near['premises']['defect'], 2)} near the "
        f"teacher, {interval(student['premises']['defect'], 2)} along the students' run, where the "
        "cosine of the gradient with the quadratic's force ends at "
        f"{interval(student['premises']['force_cosine_end'], 2)}. Predicted speed-up of the common "
        f"mode under AdamW by tying, least and largest ε: {speeds}."
    )
