"""AdamW on the whole quadratic, every arm tuned: loss against the step of unsharing."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

LOOKS = (("#0072B2", "o"), ("#E69F00", "^"), ("#009E73", "D"))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(3.9)
    axes = figure.subplots()
    for (colour, marker), setting in zip(LOOKS, data["settings"], strict=False):
        _setting(axes, setting, colour, marker, data["replicas"] // 2)
    axes.plot([], [], color=style.INK, label="predicted")
    axes.plot([], [], "x", color=style.INK, label="second moments copied")
    axes.axhline(1.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xlim=(-0.02, 1.02), yscale="log", xlabel="first unshared step $\\tau/T$")
    axes.set_ylabel("loss / equal start's, each tuned")
    axes.set_yticks([0.5, 1.0, 2.0], ["0.5", "1", "2"])
    axes.minorticks_off()
    style.legend_above(figure, axes.get_legend_handles_labels()[0], 2)
    return figure


def _setting(axes: Any, setting: dict[str, Any], colour: str, marker: str, judged: int) -> None:
    rows = [row for row in setting["rows"] if row["moments"] == "rescale"]
    base, forecast = rows[0]["loss"], rows[0]["predicted"]
    tau = [row["tau"] for row in rows]
    axes.plot(tau, [row["predicted"] / forecast for row in rows], color=colour)
    axes.errorbar(
        tau,
        [row["loss"] / base for row in rows],
        [half_width(row["standard_error"], judged) / base for row in rows],
        fmt=marker,
        color=colour,
        markerfacecolor="white",
        markersize=4.5,
        clip_on=False,
        label=f"bias {setting['bias']:g}",
    )
    copied = [row for row in setting["rows"] if row["moments"] == "copy"]
    axes.plot(
        [row["tau"] for row in copied],
        [row["loss"] / base for row in copied],
        "x",
        color=colour,
        markersize=5,
    )


def _caption(data: dict[str, Any]) -> str:
    found = listing(
        f"{plain(s['gain']['rescale'], 3)} ± {plain(s['gain_error']['rescale'], 1)} (predicted "
        f"{plain(s['predicted_gain'], 3)}) at bias {s['bias']:g}, τ/T = "
        f"{s['best_tau']['rescale']:g}"
        for s in data["settings"]
    )
    return (
        f"L = {data['depth']} modules, signal-to-noise {data['start_snr']:g} at the start, T = "
        f"{count(data['steps'])}, linear decay, n = {count(data['replicas'])} runs of AdamW for "
        "each of "
        f"{len(data['peaks'])} peak rates; the best is chosen on one half of the runs and judged "
        "on the other (95 % intervals). Open points: second moments times L at the untie; "
        "crosses: copied, so that the first steps after it are too large. Lines: SGD with steps "
        "√L η/σ until τ and η/σ after, tuned likewise; largest gap of a loss "
        f"{plain(100 * data['caption_numbers']['largest_gap'], 2)} %. Loss of the equal start over "
        f"that of the best sharing arm: {found} (± one standard error)."
    )


FIGURE = of_file(
    "toy/adam_unshare.json",
    _panels,
    _caption,
    title="Unsharing under AdamW, every arm at its own best learning rate",
    alt="Final loss relative to the equal start against the first unshared step, for three "
    "amounts of difference between the modules' optima: below one for little difference, "
    "above one for much, with measured points on the predicted lines.",
)
