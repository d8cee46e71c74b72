"""Adam's moments at the untie: the length of the updates after it, by mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evidence.results import read_data, reading
from figures.base import style
from figures.base.wording import count, interval, listing, plain

NAME = "moments"
SOURCE = "toy/moments.json"
LOOKS = {
    "copy": ("#0072B2", "-"), "rescale": ("#009E73", "-"), "reset": ("#E69F00", "-"),
    "sum copy": ("#D55E00", "--"), "sum rescale": ("#009E73", ":"),
}  # fmt: skip


@style.styled
def draw(out: Path) -> bool:
    """Draw update lengths over those with own moments, a panel a setting; False when absent."""
    data = read_data(out, SOURCE)
    if data is None:
        return False
    with reading(out / SOURCE):
        shown = data["settings"][:2] if len(data["settings"]) == 2 else data["settings"][::3][:2]
        figure = style.new_figure(2.9)
        panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for letter, axes, setting in zip("ab", panels, shown, strict=False):
            _panel(axes, setting)
            style.panel_title(axes, letter, f"alignment {plain(setting['alignment'], 2)}")
        panels[0].set_ylabel("update length / own moments'")
        style.legend_above(figure, panels[0].get_legend_handles_labels()[0], 3)
        caption = _caption(data, shown)
    style.save(
        figure,
        out,
        NAME,
        title="What becomes of Adam's moments at the untie",
        caption=caption,
        alt="Length of the updates after the untie relative to an optimiser with moments of its "
        "own: near one for copied and rescaled moments, above for reset ones, far below for "
        "moments copied under the sum convention.",
        sources=[SOURCE],
    )
    return True


def _panel(axes: Any, setting: dict[str, Any]) -> None:
    for arm, (colour, dash) in LOOKS.items():
        curve = 2.0 ** np.array(setting["lengths"][arm]["curve over own"])
        axes.plot(np.arange(1, len(curve) + 1), curve, dash, color=colour, label=arm)
    axes.axhline(1.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="updates after the untie")
    axes.set_yticks([0.125, 0.25, 0.5, 1, 2, 4, 8], ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.minorticks_off()


def _caption(data: dict[str, Any], shown: list[dict[str, Any]]) -> str:
    def ends(arm: str, reference: str) -> str:
        return listing(
            f"{interval(s['best_rate_end'][reference][arm]['difference'], 3)} ({letter})"
            for letter, s in zip("ab", shown, strict=False)
        )

    first = shown[0]
    return (
        f"{data['depth']} residual blocks of width {data['width']}, AdamW (β₂ = "
        f"{data['betas'][1]:g}), tied for {count(first['tau'])} of {count(first['steps'])} "
        "updates; "
        f"n = {data['networks']} networks. Root mean square of an update over that of layers whose "
        "moments are of their own gradients throughout, at the rate "
        f"{first['middle_rate']:g}, geometric mean. Panels by the alignment of the layers' "
        "gradients at the untie (1: all equal). Log10 of the final loss, each arm at its own best "
        "rate, minus that of copied moments, 95 % intervals over half of the networks: rescaled "
        f"{ends('rescale', 'copy')}; reset {ends('reset', 'copy')}; sum convention, copied "
        f"{ends('sum copy', 'copy')}; own moments {ends('own', 'copy')}. A reset without any "
        f"untie, in a run that never was tied, changes it by {ends('untied reset', 'untied')}."
    )
