"""Training and validation loss of the BERT arms against updates."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.comparison import is_tuned
from figures.base import style
from figures.base.results import Run, Study
from figures.base.wording import count, fixed, is_causal, listing
from figures.bert.default_runs import of_runs

WINDOW = 5
"""Logged rows in the running mean of the training loss."""


def smoothed(run: Run) -> pd.Series:
    """Return the running mean of the training loss, indexed by update."""
    return run.train.set_index("step")["loss"].rolling(WINDOW, min_periods=1).mean()


def validation(run: Run) -> pd.Series:
    """Return the validation loss, indexed by update."""
    return run.valid.set_index("step")["loss"]


def _panels(study: Study) -> Figure:
    figure = style.new_figure(7.4)
    training, valid, gap = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.15, 1))
    reference = {run.seed: validation(run) for run in study.runs[study.reference]}
    for arm, runs in study.runs.items():
        _lines(training, arm, [smoothed(run) for run in runs], runs, marked=False)
        _lines(valid, arm, [validation(run) for run in runs], runs)
        if arm != study.reference:
            pairs = [run for run in runs if run.seed in reference]
            _lines(gap, arm, [validation(r) - reference[r.seed] for r in pairs], pairs)
    gap.axhline(0.0, color=style.arm_look(study.reference).colour, linewidth=1.0)
    training.set_ylabel("loss (nats)")
    valid.set_ylabel("loss (nats)")
    gap.set_ylabel("difference (nats)")
    gap.set_xlabel("updates")
    gap.set_xlim(left=0)
    figure.align_ylabels()
    style.panel_title(training, "a", f"training, running mean of {WINDOW} rows")
    style.panel_title(valid, "b", "validation")
    style.panel_title(gap, "c", f"validation minus {style.arm_look(study.reference).label}")
    handles = style.arm_handles(list(study.runs))
    if any(run.untied for runs in study.runs.values() for run in runs):
        handles.append(valid.plot([], [], "x", color=style.INK, label="layers untied")[0])
    style.legend_above(figure, handles)
    return figure


def _lines(
    axes: Axes, arm: str, series: list[pd.Series], runs: list[Run], *, marked: bool = True
) -> None:
    """Draw each seed thin, their mean strong, and a cross on the mean at every untie."""
    look = style.arm_look(arm)
    mean = pd.concat(series, axis=1).mean(axis=1).sort_index().dropna()
    if len(series) > 1:
        for one in series:
            axes.plot(one.index, one.to_numpy(), color=look.colour, linewidth=0.6, alpha=0.45)
    axes.plot(
        mean.index,
        mean.to_numpy(),
        color=look.colour,
        linestyle=look.dash,
        marker=look.marker if marked else "",
        markersize=3.5,
        linewidth=1.4,
    )
    moments = sorted({step for run in runs for step in run.untied})
    inside = [step for step in moments if mean.index[0] <= step <= mean.index[-1]]
    if inside:
        heights = np.interp(inside, mean.index.to_numpy(float), mean.to_numpy(float))
        axes.plot(
            inside, heights, "x", color=style.INK, markersize=5, markeredgewidth=1.3, zorder=4
        )


def _caption(study: Study) -> str:
    finals = listing(
        f"{style.arm_look(arm).label} "
        + fixed(float(np.mean([validation(run).iloc[-1] for run in runs])))
        for arm, runs in study.runs.items()
    )
    entry, config = study.comparison["arms"][study.reference], study.comparison["study"]
    seeds = max(len(runs) for runs in study.runs.values())
    rate = "of each arm as tuned" if is_tuned(config) else f"{config['peak_lr']:g}"
    return (
        f"{'Next-token' if is_causal(config) else 'Masked-language-model'} loss of BERT "
        f"{config['size']}, {count(entry['steps'])} updates, "
        f"{count(entry['tokens'])} tokens a run, peak learning rate {rate}. Strong "
        f"lines: mean over n = {seeds} seed{'s' if seeds > 1 else ''}; thin lines: seeds; crosses: "
        f"layers untied. (a) Training, (b) fixed validation set, (c) its difference to the "
        f"{style.arm_look(study.reference).label} with the same seed. Mean final validation loss, "
        f"nats: {finals}."
    )


FIGURE = of_runs(
    "bert_loss",
    _panels,
    _caption,
    title="Loss of the BERT arms against updates",
    alt=lambda study: (
        "Three panels over updates: training loss, validation loss, and validation loss minus the "
        f"{study.reference}'s with the same seed, one colour and marker an arm. Crosses mark where "
        "layers were untied."
    ),
)
