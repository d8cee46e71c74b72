"""Final validation loss of every arm minus the reference's, seed by seed, with its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evidence.plateau import verdict_of
from evidence.results import comparison_source, read_comparison
from figures.base import forest, style
from figures.base.drawing import Drawing, Found
from figures.base.results import arm_order
from figures.base.wording import count, ended, interval, listing


def _read(out: Path) -> Found[dict[str, Any]] | None:
    comparison = read_comparison(out)
    source = str(comparison_source(out))
    return None if comparison is None else Found(comparison, out / source, (source,))


def _others(comparison: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {a: comparison["arms"][a] for a in arm_order(comparison) if a != comparison["reference"]}


def _panels(comparison: dict[str, Any]) -> Figure:
    arms = _others(comparison)
    base = comparison["arms"][comparison["reference"]]["values"]
    figure = style.new_figure(1.1 + 0.55 * len(arms))
    axes = figure.subplots()
    for row, (arm, entry) in enumerate(arms.items()):
        look, gap = style.arm_look(arm), entry["difference"]
        seeds = [entry["values"][seed] - base[seed] for seed in entry["values"] if seed in base]
        forest.seeds(axes, row, seeds, look)
        forest.bar(axes, row, gap, look)
        forest.word(axes, row, verdict_of(comparison, arm))
    axes.axvline(0.0, color=style.arm_look(comparison["reference"]).colour, linewidth=1.0)
    forest.name_rows(axes, [style.arm_look(arm).label for arm in arms])
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(f"validation loss minus {style.arm_look(comparison['reference']).label} (nats)")
    for words, side, shift in (("← better", "right", -6), ("worse →", "left", 6)):
        axes.annotate(
            words,
            (0.0, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(shift, 2),
            ha=side,
            textcoords="offset points",
            color="#555555",
        )
    return figure


def _caption(comparison: dict[str, Any]) -> str:
    arms, study = _others(comparison), comparison["study"]
    pairs = sorted({entry["difference"]["n"] for entry in arms.values()})
    found = "; ".join(
        f"{style.arm_look(arm).label} {interval(entry['difference'])}, "
        f"{verdict_of(comparison, arm)}"
        for arm, entry in arms.items()
    )
    reference = style.arm_look(comparison["reference"]).label
    steps = comparison["arms"][comparison["reference"]]["steps"]
    return (
        f"Final validation loss minus the {reference}'s with the same seed and batches, n = "
        f"{listing(pairs)} paired seed{'s' if pairs[-1:] != [1] else ''}, BERT {study['size']}, "
        f"{count(steps)} updates. Small circles: seeds; marker and bar: mean and 95 % paired t "
        "interval. Decided beforehand: the whole interval below zero helps, above zero hurts, "
        f"else no gain. In nats: {found}.{ended(comparison)}"
    )


FIGURE = Drawing(
    name="bert_comparison",
    title="Final validation loss of every arm",
    alt="One row an arm: dots for seeds, a marker with a bar for the mean difference of the final "
    "validation loss to the reference and its interval, a line at zero, and the verdict in words.",
    read=_read,
    panels=_panels,
    caption=_caption,
    command="python paper_repro.py bert",
)
