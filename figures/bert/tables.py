"""The paper's tables as pictures: every arm against the baseline, beside the paper's own gain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.comparison import is_tuned
from evidence.plateau import verdict_of
from evidence.results import Table, reading
from figures.base import forest, style
from figures.base.wording import count, ended, fixed, interval, is_causal, listing, plain, size_of
from figures.bert.table_results import LANGUAGE_TITLES, TITLES, titled


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw every arm of a table against its baseline."""
    table = result.data
    with reading(result.path):
        figure, caption = _panels(table), _caption(table)
    style.save(
        figure,
        out,
        result.figure(),
        title=titled(result, (TITLES | LANGUAGE_TITLES)[result.table]),
        caption=caption,
        alt="Two panels with a row an arm. Left to right: difference of the final validation "
        "loss to the baseline, dots for seeds, marker and bar for mean and interval; and "
        f"difference of the {_predicted(table)} accuracy in points, ours with its interval and "
        "the paper's as an open diamond where it has one.",
        sources=[result.source],
    )
    return True


def _predicted(table: dict[str, Any]) -> str:
    return "next-token" if is_causal(table["study"]) else "masked"


def finished(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the arms, in order, that can be compared with the reference."""
    return {n: table["arms"][n] for n in table["order"] if "difference" in table["arms"][n]}


def _panels(table: dict[str, Any]) -> Figure:
    arms = finished(table)
    figure = style.new_figure(2.0 + 0.62 * len(arms))
    loss, accuracy = figure.subplots(2, 1)
    base = table["arms"][table["reference"]]["values"]
    for row, (arm, entry) in enumerate(arms.items()):
        look, gap = style.arm_look(arm), entry["difference"]
        seeds = [v - base[s] for s, v in entry["values"].items() if s in base]
        forest.seeds(loss, row, seeds, look)
        forest.bar(loss, row, gap, look)
        forest.word(loss, row, verdict_of(table, arm))
        forest.bar(accuracy, row, entry["accuracy_percent"]["difference"], look)
    gains = [paper_gain(table, arm) for arm in arms]
    for row, gain in enumerate(gains):
        forest.paper(accuracy, row, gain)
    labels = [style.arm_look(arm).label for arm in arms]
    for axes, letter, title, label in (
        (loss, "a", "validation loss", "nats minus baseline (left is better)"),
        (accuracy, "b", f"{_predicted(table)} accuracy", "points minus baseline (right is better)"),
    ):
        style.panel_title(axes, letter, title)
        axes.axvline(0.0, color=style.INK, linewidth=1.0)
        forest.name_rows(axes, labels)
        axes.margins(x=0.08)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(label)
    words = "" if set(gains) == {None} else "paper, BERT-large, one run"
    style.legend_above(figure, forest.handles(words), columns=2)
    return figure


def paper_gain(table: dict[str, Any], arm: str) -> float | None:
    """Return the paper's masked accuracy of the arm minus its baseline's, in points."""
    printed = table["paper"]["accuracy"]
    if arm not in printed or arm == table["reference"]:
        return None
    return float(printed[arm] - printed[table["reference"]])


def rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row an arm, raw values, the paper's accuracy (percent) last; None: not there."""
    out = []
    for name in table["order"]:
        entry = table["arms"][name]
        loss, gap = entry.get("loss", {}), entry.get("difference", {})
        accuracy = entry.get("accuracy_percent", {})
        out.append(
            {
                "arm": name,
                "n": loss.get("n", 0),
                "rate": entry.get("rate"),
                "steps": entry.get("steps"),
                "tokens": entry.get("tokens"),
                "loss": loss.get("mean"),
                "difference": gap.get("mean"),
                "difference_low": gap.get("low"),
                "difference_high": gap.get("high"),
                "verdict": verdict_of(table, name) if "verdict" in entry else None,
                "accuracy_percent": accuracy.get("mean", {}).get("mean"),
                "paper_accuracy_percent": table["paper"]["accuracy"].get(name),
            }
        )
    return out


def _caption(table: dict[str, Any]) -> str:
    arms, study = finished(table), table["study"]
    base = table["arms"][table["reference"]]
    found = "; ".join(
        f"{style.arm_look(arm).label} {interval(entry['difference'])} (rate {plain(entry['rate'])}"
        f"{', end of the grid' if entry['rate_at_edge'] else ''}, n = {entry['difference']['n']}), "
        f"{verdict_of(table, arm)}"
        for arm, entry in arms.items()
    )
    paper = [
        f"{style.arm_look(arm).label} {fixed(gain, 2, sign=True)}"
        for arm in arms
        if (gain := paper_gain(table, arm)) is not None
    ]
    unfinished = [style.arm_look(n).label for n in table["order"] if "loss" not in table["arms"][n]]
    rates = listing(plain(rate) for rate in study["rates"])
    tuned = f"peak rate of every arm tuned on {rates} with other seeds"
    if not is_tuned(study):
        tuned = f"peak rate {rates} for every arm, not tuned"
    return (
        f"BERT {size_of(study)}, {study['placement'].capitalize()}-LN, {count(base['steps'])} "
        f"updates ({count(base['tokens'])} tokens; arms named x2 twice that), {tuned}. "
        "Final validation loss minus the baseline's with "
        f"the same seed and batches, mean and 95 % paired t interval, in nats: {found}. The "
        f"intervals are each arm's own, not corrected for their number.{ended(table)}"
        + (f" Paper, points of accuracy over its baseline: {'; '.join(paper)}." if paper else "")
        + (f" Not finished: {listing(unfinished)}." if unfinished else "")
    )
