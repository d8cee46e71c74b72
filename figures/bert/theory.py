"""Does the theory hold at scale: signal-to-noise and the predicted worth of tying, beside the gain.

Above, along the run that starts equal and is never tied: what its gradients say. Below, by tau: the
gain that this predicts (a sign) and the gain that the runs had.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import interval, plain
from figures.bert.table_results import titled

PART, TITLE = "theory", "What the gradients predict, and what the runs gained"
ARM = "equal-start"
_PREDICTED = style.Look("predicted", "#0072B2", "o")
_MEASURED = style.Look("measured", "#D55E00", "s")


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw it; False when the table has no equal start with probes of halves."""
    with reading(result.path):
        lines = [line for line in result.curves if line["arm"] == ARM]
        lines = [line for line in lines if any(_known(line, "descent_ratio"))]
        if not lines:
            return False
        gains = result.data.get("gains", [])
        figure, caption = _panels(lines, gains), _caption(result.data, lines, gains)
    style.save(
        figure,
        out,
        result.figure(PART),
        title=titled(result, TITLE),
        caption=caption,
        alt="Panels over updates: root of signal over noise energy of the gradients, and the "
        "predicted descent of a tied over an untied step with a line at 1. Then, a row a tau: the "
        "predicted ratio minus 1 and the measured gain in nats, each with its interval.",
        sources=[result.source],
    )
    return True


def rows(carried: list[dict[str, Any]], gains: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return quantity, predicted, measured, their intervals, n and verdict, raw values; None: not
    to be had. A gain's prediction is a ratio minus 1, its measurement nats."""
    entries = [
        *carried,
        *(gain | {"quantity": f"gain over the equal start, tau {gain['tau']:g}"} for gain in gains),
    ]
    found = []
    for entry in entries:
        row: dict[str, Any] = {"quantity": entry["quantity"], "n": entry["n"]}
        for side in ("predicted", "measured"):
            ends = entry[side] or {}
            row |= {
                side: ends.get("mean"),
                f"{side}_low": ends.get("low"),
                f"{side}_high": ends.get("high"),
            }
        found.append(row | {"verdict": entry["verdict"]})
    return found


def _known(line: dict[str, Any], name: str) -> list[bool]:
    return [value is not None for value in line["probe"][name]]


def _series(line: dict[str, Any], name: str) -> pd.Series:
    """Return one probed quantity by update, without what could not be had."""
    probe = line["probe"]
    one = pd.Series(probe[name], index=probe["step"], dtype=float).dropna()
    return one[~one.index.duplicated()]


def _panels(lines: list[dict[str, Any]], gains: list[dict[str, Any]]) -> Figure:
    figure = style.new_figure(4.2 + (1.2 + 0.25 * len(gains) if gains else 0.0))
    ratio = [1.0, 1.0] + ([0.4 + 0.12 * len(gains)] if gains else [])
    panels = figure.subplots(len(ratio), 1, height_ratios=ratio)
    look = style.arm_look(ARM)
    for axes, name in zip(panels[:2], ("signal_to_noise", "descent_ratio"), strict=True):
        every = [_series(line, name) for line in lines]
        for one in every:
            axes.plot(one.index, one.to_numpy(), color=look.colour, linewidth=0.6, alpha=0.6)
        mean = pd.concat(every, axis=1).mean(axis=1).sort_index()
        axes.plot(mean.index, mean.to_numpy(), color=look.colour, marker=look.marker)
        axes.set_xlim(left=0)
        axes.set_xlabel("updates")
    panels[0].set_ylabel("signal / noise")
    panels[1].set_ylabel("tied / untied descent")
    panels[1].axhline(1.0, color=style.INK, linewidth=1.0)
    style.panel_title(panels[0], "a", "gradients of one batch, equal start")
    style.panel_title(panels[1], "b", "predicted descent ratio (above 1: a tied step pays)")
    if gains:
        _rows(panels[2], gains)
        style.panel_title(panels[2], "c", "SWE-F minus equal start: gain by tau")
        handles = [
            Line2D([], [], color=one.colour, marker=one.marker, label=one.label)
            for one in (_PREDICTED, _MEASURED)
        ]
        style.legend_above(figure, handles, columns=2)
    return figure


def _rows(axes: Axes, gains: list[dict[str, Any]]) -> None:
    for row, gain in enumerate(gains):
        for shift, look, side in ((-0.15, _PREDICTED, "predicted"), (0.15, _MEASURED, "measured")):
            ends = gain[side]
            if ends["low"] is not None:
                axes.plot([ends["low"], ends["high"]], [row + shift] * 2, color=look.colour)
            axes.plot(ends["mean"], row + shift, look.marker, color=look.colour)
        axes.annotate(
            gain["verdict"],
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold",
        )
    axes.axvline(0.0, color=style.INK, linewidth=1.0)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xticks([-1.0, -0.1, 0.0, 0.1, 1.0])  # those between would touch
    axes.set_yticks(range(len(gains)), [f"{100 * gain['tau']:g} %" for gain in gains])
    axes.set_ylim(len(gains) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("predicted: ratio - 1; measured: nats (right of 0: tying pays)")


def _caption(
    table: dict[str, Any], lines: list[dict[str, Any]], gains: list[dict[str, Any]]
) -> str:
    words = "; ".join(
        f"tau {100 * gain['tau']:g} %: predicted {interval(gain['predicted'])}, measured "
        f"{interval(gain['measured'])} nats, n = {gain['n']}, {gain['verdict']}"
        + ("" if gain["same_rate"] else " (rates differ)")
        for gain in gains
    )
    noise = [_series(line, "signal_to_noise") for line in lines]
    first = sum(float(one.iloc[0]) for one in noise) / len(noise)
    last = sum(float(one.iloc[-1]) for one in noise) / len(noise)
    return (
        f"BERT {table['study']['size']}. (a) Root of signal over noise energy, from two halves of "
        f"the probe batch, on the run that starts equal and is never tied, n = {len(lines)}: "
        f"{plain(first, 2)} at the first probe, {plain(last, 2)} at the last. (b) Adam's descent "
        "of a tied over an untied step, S = G² / sqrt(G² + N²), from the same halves. "
        + (
            f"(c) The sign that the mean of b up to tau predicts, and the gain of SWE-F over the "
            f"equal start with the same seed, 95 % t intervals: {words}."
            if gains
            else ""
        )
    )
