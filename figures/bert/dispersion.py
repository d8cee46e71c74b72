"""How far the layers pull together (gradient alignment) and how far apart they are (dispersion)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.results import reading
from figures.base import style
from figures.base.results import Run, Study
from figures.base.wording import listing, plain

NAME, TITLE = "bert_dispersion", "Alignment of the gradients, dispersion of the weights"


@style.styled
def draw(out: Path, study: Study, path: Path, name: str, title: str) -> bool:
    """Draw alignment and dispersion against updates; False without probes."""
    if not all(len(run.probe) for runs in study.runs.values() for run in runs):
        return False
    with reading(path):
        figure, caption = _panels(study), _caption(study)
    style.save(
        figure,
        out,
        name,
        title=title,
        caption=caption,
        alt="Two panels over updates, one colour and marker an arm. Above: the share of the "
        "gradients' energy that all layers have in common. Below, logarithmic: the share of the "
        "weights' energy in the layers' differences, absent while layers are tied.",
        sources=[study.source],
    )
    return True


def _panels(study: Study) -> Figure:
    figure = style.new_figure(5.6)
    above, below = figure.subplots(2, 1, sharex=True)
    for arm, runs in study.runs.items():
        _lines(above, arm, runs, "alignment")
        _lines(below, arm, runs, "dispersion")
    floor = 1 / _repeats(study)
    above.axhline(floor, color=style.FAINT, linestyle="--", linewidth=1.0)
    above.annotate(
        "uncorrelated gradients",
        (1.0, floor),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        color="#555555",
        fontsize=8.5,
    )
    above.set(ylim=(0, 1.03), ylabel="alignment $A$ (fraction)")
    below.set(yscale="log", ylabel="dispersion (fraction)", xlabel="updates")
    below.set_xlim(left=0)
    style.panel_title(above, "a", "gradients: common share of the energy")
    style.panel_title(below, "b", "weights: energy in the layers' differences")
    style.legend_above(figure, style.arm_handles(list(study.runs)))
    return figure


def _repeats(study: Study) -> int:
    return int(study.runs[study.reference][0].correlations.shape[1]) + 1


def _lines(axes: Axes, arm: str, runs: list[Run], column: str) -> None:
    look = style.arm_look(arm)
    series = [run.probe.groupby("step")[column].mean() for run in runs]
    # A tied stack has dispersion 0, which a logarithmic axis cannot show: the line begins at the
    # untie. (The mean is over the seeds that are untied by then.)
    series = [one.where(one > 0) for one in series]
    mean = pd.concat(series, axis=1).mean(axis=1).sort_index()
    if len(series) > 1:
        for one in series:
            axes.plot(one.index, one.to_numpy(), color=look.colour, linewidth=0.6, alpha=0.45)
    if mean.notna().any():
        axes.plot(
            mean.index,
            mean.to_numpy(),
            color=look.colour,
            linestyle=look.dash,
            marker=look.marker,
            markersize=3.5,
            linewidth=1.4,
            markevery=max(1, len(mean) // 12),
        )


def _caption(study: Study) -> str:
    ends = listing(
        f"{style.arm_look(arm).label} "
        f"{plain(float(np.mean([run.probe['alignment'].iloc[-1] for run in runs])), 2)} and "
        f"{plain(float(np.mean([run.dispersion for run in runs])), 2)}"
        for arm, runs in study.runs.items()
    )
    seeds, repeats = max(len(runs) for runs in study.runs.values()), _repeats(study)
    return (
        "(a) Alignment A = ‖Σ g‖² / (B Σ ‖g‖²) of the gradients g of the "
        f"B = {repeats} repeats: the share of their energy that tied layers can use; 1 when all "
        f"are equal, 1/B = {plain(1 / repeats, 2)} when uncorrelated and of equal norm. (b) "
        "Dispersion: the energy of the weights' deviations from the layers' mean over the whole; "
        f"0, hence not drawn, while tied. Mean (strong) and each (thin) of n = {seeds} "
        f"seed{'s' if seeds > 1 else ''}. Last alignment and final dispersion: {ends}."
    )
