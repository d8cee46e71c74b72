"""Correlation of adjacent layers' gradients over training: what SWE-A and SWE-M decide from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evidence.results import reading
from figures.base import style
from figures.base.results import Run, Study
from figures.base.wording import fixed, listing

NAME, TITLE = "bert_correlations", "Correlation of adjacent layers' gradients"


@style.styled
def draw(out: Path, study: Study, path: Path, name: str, title: str) -> bool:
    """Draw one heat map an arm; False without probes."""
    with reading(path):
        maps = {arm: mean_map(runs) for arm, runs in study.runs.items()}
        maps = {arm: table for arm, table in maps.items() if table.size}
        if not maps:
            return False
        figure, caption = _panels(study, maps), _caption(study, maps)
    style.save(
        figure,
        out,
        name,
        title=title,
        caption=caption,
        alt="One heat map an arm: updates across, layer boundaries down, colour for the cosine "
        "between the two layers' gradients; black edges around values below the threshold and "
        "dashed lines where layers were untied.",
        sources=[study.source],
    )
    return True


def mean_map(runs: list[Run]) -> pd.DataFrame:
    """Return the mean over seeds: a row a probed update, a column a boundary between repeats.

    Only updates that every seed probed: an adaptive run probes more often, each seed for as long as
    it is tied, and a mean over changing seeds would show steps that no run has.
    """
    tables = [
        pd.DataFrame(run.correlations, index=run.probe["step"].to_numpy(int))
        for run in runs
        if len(run.probe)
    ]
    if len(tables) < len(runs):
        return pd.DataFrame()
    steps = sorted(set.intersection(*(set(table.index) for table in tables)))
    tables = [table[~table.index.duplicated()].loc[steps] for table in tables]
    return pd.concat(tables).groupby(level=0).mean()


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return cell edges half-way between centres."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _outline(x: np.ndarray, y: np.ndarray, low: np.ndarray) -> list[list[tuple[float, float]]]:
    """Return the edges around low cells; an interpolated contour would cut through cells.

    ``x``, ``y``: cell edges; ``low``: (rows, columns) of truth values.
    """
    framed = np.pad(low, 1)
    upright = np.argwhere(framed[1:-1, 1:] != framed[1:-1, :-1])
    level = np.argwhere(framed[1:, 1:-1] != framed[:-1, 1:-1])
    return [[(x[j], y[i]), (x[j], y[i + 1])] for i, j in upright] + [
        [(x[j], y[i]), (x[j + 1], y[i])] for i, j in level
    ]


def _panels(study: Study, maps: dict[str, pd.DataFrame]) -> Figure:
    figure = style.new_figure(1.2 + 1.18 * len(maps))
    panels = figure.subplots(len(maps), 1, sharex=True, squeeze=False)[:, 0]
    lowest = pd.concat(maps.values()).min().min()  # NaN when every gradient was zero
    bottom = np.floor(10 * lowest) / 10 if lowest < 0 else 0.0
    for axes, (arm, table) in zip(panels, maps.items(), strict=True):
        steps, values = table.index.to_numpy(float), table.to_numpy().T
        rows = np.arange(1, len(values) + 1)
        image = axes.pcolormesh(
            _edges(steps),
            _edges(rows.astype(float)),
            values,
            cmap="cividis",
            vmin=bottom,
            vmax=1,
            edgecolors="face",
            linewidth=0.2,
        )
        for width, colour in ((2.2, "white"), (1.0, "black")):
            outline = _outline(_edges(steps), _edges(rows.astype(float)), values < study.rho)
            axes.add_collection(
                LineCollection(outline, colors=colour, linewidths=width, capstyle="projecting")
            )
        for run in study.runs[arm]:
            for step in run.untied:
                axes.axvline(step, color="#D55E00", linewidth=1.1, linestyle=(0, (3, 1.5)))
        axes.set_title(style.arm_look(arm).label)
        axes.grid(visible=False)
        every = -(-len(rows) // 6)  # six labels at most: more would touch
        axes.set_yticks(rows[::every], [f"{row}|{row + 1}" for row in rows[::every]])
        axes.invert_yaxis()
        axes.spines[:].set_visible(False)
    panels[-1].set_xlabel("updates")
    figure.supylabel("boundary between layers", fontsize=9)
    bar = figure.colorbar(image, ax=list(panels), location="bottom", aspect=40, pad=0.02)
    bar.set_label("cosine of adjacent gradients")
    bar.outline.set_visible(False)
    bar.ax.axvline(study.rho, color="white", linewidth=2.6)
    bar.ax.axvline(study.rho, color="black", linewidth=1.2)
    handles = [
        Line2D([], [], color="#D55E00", linestyle=(0, (3, 1.5)), label="layers untied"),
        Line2D([], [], color="black", linewidth=1.2, label=f"below ρ = {study.rho:g}"),
    ]
    style.legend_above(figure, handles)
    return figure


def _caption(study: Study, maps: dict[str, pd.DataFrame]) -> str:
    ends = listing(
        f"{style.arm_look(arm).label} {fixed(float(table.iloc[0].mean()), 2)} → "
        f"{fixed(float(table.iloc[-1].mean()), 2)}"
        for arm, table in maps.items()
    )
    seeds = max(len(runs) for runs in study.runs.values())
    return (
        "Cosine between the gradients of neighbouring repeats of the sharing unit, measured for "
        f"each layer on its own also while it is tied; mean over n = {seeds} "
        f"seed{'s' if seeds > 1 else ''} at the updates that all of them probed. Black edges: "
        f"below the threshold ρ = {study.rho:g} of SWE-A and SWE-M; dashes: layers untied. Mean "
        f"over boundaries, first → last probe: {ends}."
    )
