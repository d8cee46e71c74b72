"""AdamW on the common mode of tied and separate layers, beside the signal-to-noise predictor."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

BATCHES = 8
"""Batches of replicas that the standard errors of the reach are from (the study's `reach_gain`)."""
LOOKS = (("#0072B2", "o"), ("#E69F00", "^"), ("#009E73", "D"))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.9)
    top, middle, bottom = figure.subplots(3, 1)
    _speeds(top, data["speeds"], data["lines"], data["caption_numbers"]["replicas"])
    _reach(middle, data["reach"], data["lines"])
    _tuned(bottom, data["tuned"])
    return figure


def _speeds(axes: Axes, speeds: list[dict[str, Any]], lines: dict[str, Any], replicas: int) -> None:
    looks = LOOKS[: len(speeds)]
    for (colour, marker), speed in zip(looks, speeds, strict=True):
        axes.plot(lines["snr"], lines["speed"]["adam"][str(speed["depth"])], color=colour)
        axes.plot(lines["snr"], lines["speed"]["sign"][str(speed["depth"])], ":", color=colour)
        axes.errorbar(
            speed["snr"],
            speed["gain"],
            [half_width(e, replicas) for e in speed["standard_error"]],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
            markersize=4.5,
            label=f"L = {speed['depth']}",
        )
    axes.plot([], [], color=style.INK, label="Adam rule")
    axes.plot([], [], ":", color=style.INK, label="sign rule")
    _log(axes)
    axes.set_ylabel("gain of speed")
    axes.set_xlabel("signal-to-noise of one layer's gradient")
    axes.legend(loc="upper right", ncols=2)
    style.panel_title(axes, "a", "constant gradient")


def _reach(axes: Axes, reach: list[dict[str, Any]], lines: dict[str, Any]) -> None:
    axes.plot(lines["start_snr"], lines["reach"], color=style.INK, label="Adam rule")
    for run, marker, colour in zip(reach, "Xv", ("#CC79A7", "#56B4E9"), strict=False):
        axes.errorbar(
            run["snr"],
            run["gain"],
            [half_width(e, BATCHES) for e in run["standard_error"]],
            fmt=marker,
            color=colour,
            markerfacecolor="white",
            markersize=5,
            label=f"AdamW, $\\beta_2$ = {run['beta2']:g}",
        )
    _log(axes)
    axes.set(ylabel="ratio of steps", xlabel="signal-to-noise at the start")
    axes.legend(loc="upper right")
    style.panel_title(axes, "b", f"quadratic, L = {reach[0]['depth']}: steps, separate / tied")


def _log(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_yticks([1, 2, 4], ["1", "2", "4"])
    axes.minorticks_off()


def _tuned(axes: Axes, tuned: dict[str, Any]) -> None:
    row = tuned["rows"][0]
    arms = (("tied", "tied", "shared"), ("unshared", "no sharing", "zas"))
    for name, label, method in arms:
        look, loss = style.METHODS[method], row[f"loss_{name}"]
        axes.plot(
            tuned["peaks"],
            loss,
            marker=look.marker,
            color=look.colour,
            label=label,
            markerfacecolor="white",
            markersize=4,
            linewidth=1.2,
        )
        best = tuned["peaks"].index(row[f"best_peak_{name}"])
        axes.plot(tuned["peaks"][best], loss[best], "*", color=look.colour, markersize=11)
    axes.set(xscale="log", yscale="log", ylabel="final loss / first")
    axes.set_xlabel("peak learning rate")
    axes.legend(loc="upper right")
    style.panel_title(axes, "c", f"tuned, signal-to-noise {row['snr']:g}, L = {tuned['depth']}")


def _caption(data: dict[str, Any]) -> str:
    numbers, tuned, reach = data["caption_numbers"], data["tuned"], data["reach"][0]
    gains = listing(
        f"{plain(g, 3)} ± {plain(e, 1)} (predicted {plain(p, 3)}) at {r:g}"
        for r, g, e, p in zip(
            reach["snr"], reach["gain"], reach["standard_error"], reach["predicted"], strict=True
        )
    )
    memory = listing(
        f"{plain(100 * gap, 2)} % with β₂ = {beta2}"
        for beta2, gap in sorted(numbers["reach_gap"].items(), reverse=True)
    )
    best = listing(
        f"{plain(row['best_gain'], 2)} ± {plain(row['standard_error'], 1)} at {row['snr']:g}"
        for row in tuned["rows"]
    )
    return (
        "The common mode of L layers with independent gradient noise under AdamW (0.9, 0.999), "
        "one tied parameter against L separate ones. (a) Gain of speed at equal learning rate, "
        f"n = {count(numbers['replicas'])} runs, 95 % intervals; the Adam rule "
        "√(L(1 + r²)/(1 + Lr²)) is off by "
        f"{plain(100 * numbers['largest_gap_adam'], 2)} % at most (largest standard "
        f"error {plain(100 * numbers['largest_relative_error'], 2)} %), the sign rule by "
        f"{plain(100 * numbers['largest_gap_sign'], 2)} %. (b) Gain in steps from 1 to "
        f"{numbers['reached']:g} on a quadratic: {gains}; largest gap to the rule, which neglects "
        f"the memory of the second moment, {memory}. (c) Common mode's final loss "
        f"under linear decay in {count(tuned['steps'])} steps, n = {count(tuned['replicas'])}, "
        "stars: best rate. Loss without sharing over loss tied, each at its best rate: "
        f"{best} (± one standard error)."
    )


FIGURE = of_file(
    "toy/adam_quadratic.json",
    _panels,
    _caption,
    title="AdamW gains what the signal-to-noise ratio predicts, at equal learning rate",
    alt="Above, gain of the common mode's speed under AdamW by tying layers, on the line of "
    "the second-moment rule and off that of the sign rule. Middle, gain in steps on a "
    "quadratic. Below, final loss against the peak learning rate: the two methods' curves "
    "are shifted against each other, with nearly the same minimum.",
)
