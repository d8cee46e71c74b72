"""Final validation loss of every arm minus the reference's, seed by seed, with its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from evidence.results import comparison_source, read_comparison, reading
from figures.base import style
from figures.base.results import arm_order
from figures.base.wording import count, interval, listing

NAME = "bert_comparison"


@style.styled
def draw(out: Path) -> bool:
    """Draw the paired differences; False when there is no comparison yet."""
    comparison = read_comparison(out)
    if comparison is None:
        return False
    source = str(comparison_source(out))
    with reading(out / source):
        figure, caption = _panel(comparison), _caption(comparison)
        reference = style.arm_look(comparison["reference"]).label
    style.save(
        figure,
        out,
        NAME,
        title=f"Final validation loss against the {reference}",
        caption=caption,
        alt="One row an arm: dots for seeds, a marker with a bar for the mean difference of the "
        f"final validation loss to the {reference} and its interval, a line at zero, and the "
        "verdict in words.",
        sources=[source],
    )
    return True


def _others(comparison: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {a: comparison["arms"][a] for a in arm_order(comparison) if a != comparison["reference"]}


def _panel(comparison: dict[str, Any]) -> Figure:
    arms = _others(comparison)
    base = comparison["arms"][comparison["reference"]]["values"]
    figure = style.new_figure(1.1 + 0.55 * len(arms))
    axes = figure.subplots()
    for row, (arm, entry) in enumerate(arms.items()):
        look, gap = style.arm_look(arm), entry["difference"]
        seeds = [entry["values"][seed] - base[seed] for seed in entry["values"] if seed in base]
        axes.plot(
            seeds,
            [row + 0.2] * len(seeds),
            "o",
            color=look.colour,
            markersize=3.5,
            markerfacecolor="white",
        )
        if gap["low"] is not None:
            axes.plot([gap["low"], gap["high"]], [row, row], color=look.colour, linewidth=2.2)
        axes.plot(gap["mean"], row, look.marker, color=look.colour, markersize=7)
        axes.annotate(
            entry["verdict"].replace(": ", ":\n"),
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontweight="bold",
        )
    axes.axvline(0.0, color=style.arm_look(comparison["reference"]).colour, linewidth=1.0)
    axes.set_yticks(range(len(arms)), [style.arm_look(arm).label for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.6)
    axes.grid(visible=False, axis="y")
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
        f"{style.arm_look(arm).label} {interval(entry['difference'])}, {entry['verdict']}"
        for arm, entry in arms.items()
    )
    reference = style.arm_look(comparison["reference"]).label
    steps = comparison["arms"][comparison["reference"]]["steps"]
    return (
        f"Final validation loss minus the {reference}'s with the same seed and batches, n = "
        f"{listing(pairs)} paired seed{'s' if pairs[-1:] != [1] else ''}, BERT {study['size']}, "
        f"{count(steps)} updates. Small circles: seeds; marker and bar: mean and 95 % paired t "
        "interval. Decided beforehand: the whole interval below zero helps, above zero hurts, "
        f"else no gain. In nats: {found}."
    )
