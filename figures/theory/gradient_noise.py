"""Gradient noise: floors against the closed form, and tying's gain with tuned step sizes."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

ARMS = {
    "shared": ("sharing", style.METHODS["shared"].colour, "o", "-"),
    "identity": ("identity, not tied", "#009E73", "D", "--"),
    "zas": ("ZAS", style.METHODS["zas"].colour, "s", "-."),
}
GAINS = {
    "tying": ("tying, from the identity", "#0072B2", "o"),
    "tying, perturbed": ("tying, from perturbed starts", "#56B4E9", "s"),
    "averaging, perturbed": ("averaging perturbed starts", "#009E73", "D"),
    "start": ("the identity start over ZAS", "#E69F00", "^"),
}


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(7.2)
    top, middle, bottom = figure.subplots(3, 1)
    _floors(top, data)
    _losses(middle, data)
    _gains(bottom, data)
    return figure


def _floors(axes: Axes, data: dict[str, Any]) -> None:
    for arm, (label, colour, marker, line) in ARMS.items():
        rows = [row for row in data["floors"] if row["arm"] == arm]
        eta = [row["eta"] for row in rows]
        scale = [row["first_order"] for row in rows]
        predicted = [row["predicted"] / s for row, s in zip(rows, scale, strict=True)]
        axes.plot(eta, predicted, color=colour, linestyle=line)
        axes.errorbar(
            eta,
            [row["floor"] / s for row, s in zip(rows, scale, strict=True)],
            [
                half_width(row["standard_error"], data["replicas"] // 2) / s
                for row, s in zip(rows, scale, strict=True)
            ],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
            label=label,
        )
    axes.axhline(1.0, color=style.INK, linewidth=0.8)
    axes.set(xlabel="step size η", ylabel="floor / (d²ησ²/4)")
    axes.legend(loc="upper left")
    style.panel_title(axes, "a", "noise floor against its first order")


def _losses(axes: Axes, data: dict[str, Any]) -> None:
    row = data["tuned"][-1]
    for arm, (_, colour, marker, line) in ARMS.items():
        entry = row["arms"][arm]
        kept = [k for k, loss in enumerate(entry["loss"]) if loss is not None]
        eta = [data["etas"][k] for k in kept]
        lines = [k for k, loss in enumerate(entry["predicted"]) if loss is not None]
        axes.plot(
            [data["etas"][k] for k in lines],
            [entry["predicted"][k] for k in lines],
            color=colour,
            linestyle=line,
        )
        axes.errorbar(
            eta,
            [entry["loss"][k] for k in kept],
            [half_width(entry["standard_error"][k] or 0.0, data["replicas"]) for k in kept],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
        )
    axes.set(xscale="log", yscale="log", xlabel="step size η", ylabel="loss R")
    style.panel_title(axes, "b", f"after {count(data['steps'])} steps, σ = {row['sigma']:g}")


def _gains(axes: Axes, data: dict[str, Any]) -> None:
    sigmas = [row["sigma"] for row in data["tuned"]]
    for name, (label, colour, marker) in GAINS.items():
        found = [row["gains"][name] for row in data["tuned"]]
        axes.errorbar(
            sigmas,
            [g["gain"] for g in found],
            [half_width(g["standard_error"], data["replicas"] // 2) for g in found],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
            label=label,
        )
    axes.axhline(1.0, color=style.INK, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="gradient noise σ", ylabel="quotient of losses")
    axes.legend(loc="upper left")
    style.panel_title(axes, "c", "gain at tuned step sizes")


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]

    def said(name: str) -> str:
        return listing(
            f"{plain(g['gain'], 4)} ± {plain(g['standard_error'], 2)}"
            for g in numbers["gains"][name]
        )

    sigmas = listing(f"{row['sigma']:g}" for row in data["tuned"])
    fixed = numbers["deepest_fixed"][-1]
    large = "diverges" if fixed is None else f"is {plain(fixed, 3)} times as large"
    return (
        f"Descent on full matrices with noise σ in every entry of every layer's gradient, depth "
        f"{data['depth']}, one symmetric target. (a) Stationary loss from each method's minimum at "
        f"σ = {data['floor_sigma']:g} over its first order d²ησ²/4, which knows neither method nor "
        "depth nor target: lines Σ ησ²/(2(2 − ηκ)), points simulated with 95 % intervals; largest "
        f"gap {plain(100 * numbers['largest_floor_gap'], 2)} %, |z| of sharing at most "
        f"{plain(numbers['largest_z'], 3)}. Tying averages L noises, but what is left moves all L "
        f"layers: it lowers the floor by {plain(100 * numbers['largest_floor_saved'], 2)} % at "
        "most. (b) Lines: noiseless loss plus floor. At the largest step the loss without tying "
        f"{large}: its weights walk along the valley of minima. (c) Loss without over with, each "
        f"arm at its own best constant step, n = {count(data['replicas'] // 2)} paired replicas, "
        f"σ = {sigmas}: tying from the identity {said('tying')}, from perturbed starts "
        f"{said('tying, perturbed')}; the identity start over ZAS {said('start')}. Means ± "
        "standard errors; whiskers 95 %."
    )


FIGURE = of_file(
    "theory/gradient_noise.json",
    _panels,
    _caption,
    title="Under gradient noise tying averages, and gains nothing",
    alt="Noise floors of sharing, of the identity start without it and of ZAS lie on one line "
    "in the step size. Final loss against step size: the three minima, and the arms without "
    "tying diverging first at large steps. Gains at tuned steps: tying at one, the identity "
    "start well above.",
)
