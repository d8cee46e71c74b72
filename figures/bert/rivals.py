"""All methods at equal compute: final loss against FLOPs, and every method against the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.results import Table, own_rivals, recorded_rivals
from evidence.rivals import language_of
from figures.base import forest, style
from figures.base.drawing import Drawing, Found
from figures.base.wording import interval, listing, size_of
from figures.bert import shift as bert_shift
from figures.bert.shift import UNCHARGED

SHIFT = 0.03
"""By how much of itself a method's compute is moved sideways at most, to tell apart those of equal
FLOPs: far less than a source takes."""


def _read(out: Path) -> Found[list[dict[str, Any]]] | None:
    return _found(own_rivals(out))


def _found(tables: Sequence[Table]) -> Found[list[dict[str, Any]]] | None:
    if not tables:
        return None
    sources = tuple(table.source for table in tables)
    return Found([table.data for table in tables], tables[0].path, sources)


def draw_recorded(out: Path, studies: Path | None) -> list[str]:
    """Draw the comparison of every study on record, and what a delay costs in it; return the names
    of the figures."""
    tables = recorded_rivals(studies)
    drawn = []
    for study in dict.fromkeys(table.study for table in tables):
        found = _found([table for table in tables if table.study == study])
        name = f"study_{study}_rivals"
        if found is not None and FIGURE.draw_found(out, found, name, f"{FIGURE.title}, on record"):
            drawn.append(name)
    drawn += [table.figure(bert_shift.PART) for table in tables if bert_shift.draw(out, table)]
    return drawn


def methods(table: dict[str, Any]) -> list[str]:
    """Return the arms at budget 1 that can be compared, the source charged where there is one."""
    return [
        name
        for name in table["order"]
        if "difference" in table["arms"][name]
        and table["arms"][name]["budget"] == 1
        and table["arms"][name]["charged"] is not False
    ]


def spent(entry: dict[str, Any], unit: float) -> float:
    """Return the mean FLOPs of an arm's runs, its source's too, in ``unit``."""
    return float(sum(entry["flops"].values()) / len(entry["flops"]) / unit)


def _panels(tables: list[dict[str, Any]]) -> Figure:
    rows = [len(methods(table)) for table in tables]
    figure = style.new_figure(1.2 + sum(3.4 + 0.42 * count for count in rows))
    axes = figure.subplots(
        2 * len(tables), 1, height_ratios=[h for n in rows for h in (2.8, 0.6 + 0.42 * n)]
    )
    for number, table in enumerate(tables):
        above, below = axes[2 * number : 2 * number + 2]
        letters = "abcdefgh"[2 * number : 2 * number + 2]
        _curve(above, table)
        style.panel_title(above, letters[0], f"{language_of(table)}: loss against compute")
        _forest(below, table)
        style.panel_title(below, letters[1], f"{language_of(table)}: at the baseline's FLOPs")
    shown = dict.fromkeys(name for table in tables for name in ("baseline", *methods(table)))
    handles = [
        *style.arm_handles(list(shown)),
        style.open_mark("o", "source not charged"),
    ]
    style.legend_above(figure, handles, columns=3)
    return figure


def _curve(axes: Axes, table: dict[str, Any]) -> None:
    arms = table["arms"]
    unit = arms[table["reference"]]["budget_flops"]
    names = [table["reference"], *methods(table)]
    for step, name in enumerate(names):
        look, shift = style.arm_look(name), 1 + SHIFT * (2 * step / len(names) - 1) * (step > 0)
        entries = [
            arms[other]
            for other in table["order"]
            if other.partition(" x")[0] == name and "loss" in arms[other]
        ]
        entries.sort(key=lambda entry: entry["budget"])
        at = [spent(entry, unit) * shift for entry in entries]
        axes.plot(
            at,
            [entry["loss"]["mean"] for entry in entries],
            look.marker,
            color=look.colour,
            linestyle=look.dash,
        )
        for x, entry in zip(at, entries, strict=True):
            if entry["loss"]["low"] is not None:
                ends = [entry["loss"]["low"], entry["loss"]["high"]]
                axes.plot([x, x], ends, color=look.colour, linewidth=0.7)
        free = arms.get(name + UNCHARGED, {})
        if "loss" in free:
            axes.plot(
                spent(free, unit) * shift,
                free["loss"]["mean"],
                look.marker,
                color=look.colour,
                markerfacecolor="white",
            )
    budgets = sorted({arms[name]["budget"] for name in table["order"] if "loss" in arms[name]})
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("FLOPs, source included (multiples of the baseline's)")
    axes.set_ylabel("final loss (nats)")


def _forest(axes: Axes, table: dict[str, Any]) -> None:
    arms = table["arms"]
    for row, name in enumerate(methods(table)):
        look = style.arm_look(name)
        forest.bar(axes, row, arms[name]["difference"], look)
        forest.word(axes, row, _word(arms[name]))
        free = arms.get(name + UNCHARGED, {})
        if "difference" in free:
            gap, at = free["difference"], row + forest.RISE
            if gap["low"] is not None:
                axes.plot([gap["low"], gap["high"]], [at, at], color=look.colour, linewidth=0.9)
            axes.plot(gap["mean"], at, look.marker, color=look.colour, markerfacecolor="white")
    axes.axvline(0.0, color=style.INK, linewidth=1.0)
    forest.name_rows(axes, [style.arm_look(name).label for name in methods(table)])
    axes.margins(x=0.08)
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("nats minus baseline (left is better)")


def _word(entry: dict[str, Any]) -> str:
    return "" if entry["verdict"].startswith("demonstration") else str(entry["verdict"])


def _caption(tables: list[dict[str, Any]]) -> str:
    return " ".join(_words(table) for table in tables) + (
        " Each arm has as many updates as fit the baseline's FLOPs times its budget, its source "
        "within them; open marks: the same source not charged, drawn at all that it took. Marks at "
        f"equal FLOPs are moved sideways, by {100 * SHIFT:g} % at most, to be told apart. Bars: "
        "95 % intervals, of final losses above, of paired differences below, each arm's own."
    )


def _words(table: dict[str, Any]) -> str:
    study, arms = table["study"], table["arms"]
    found = "; ".join(
        f"{style.arm_look(name).label} {interval(arms[name]['difference'])}, "
        f"{arms[name]['verdict']}"
        for name in methods(table)
    )
    n = sorted({arms[name]["difference"]["n"] for name in methods(table)})
    left = [style.arm_look(name).label for name in table["order"] if "loss" not in arms[name]]
    return (
        f"{language_of(table).capitalize()}, BERT {size_of(study)}, n = {listing(n)} paired seeds, "
        f"final held-out loss minus the baseline's at its FLOPs, in nats: {found}."
        + (f" Not finished: {listing(left)}." if left else "")
    )


FIGURE = Drawing(
    name="bert_rivals",
    title="All methods at equal compute",
    alt="For each language two panels: final loss over FLOPs, a line through the budgets of the "
    "baseline and of the best methods, a mark for every other; and a row a method with the "
    "difference of its final loss to the baseline's at equal FLOPs, interval, and verdict.",
    read=_read,
    panels=_panels,
    caption=_caption,
    command="python paper_repro.py rivals",
)
