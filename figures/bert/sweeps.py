"""Final loss over tau and over rho: where the best one lies, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import ended, interval, plain
from figures.bert.table_results import titled

PART = "tau"


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw final loss over tau, and over rho where it was swept; False without a sweep."""
    table = result.data
    with reading(result.path):
        fixed, staged = points(table, "swe-f", "until"), points(table, "swe-m", "rho")
        if len(fixed) < 2:
            return False
        figure, caption = _panels(table, fixed, staged), _caption(table, fixed, staged)
    style.save(
        figure,
        out,
        result.figure(PART),
        title=titled(result, "How long to share"),
        caption=caption,
        alt="Final validation loss minus the baseline's over the fraction of the run that is "
        "shared, a point with an interval for each, horizontal bands for the equal start; and "
        "the same over SWE-M's threshold where it was swept.",
        sources=[result.source],
    )
    return True


def points(table: dict[str, Any], kind: str, field: str) -> list[tuple[float, dict[str, Any]]]:
    """Return (value of the swept field, arm's entry) for arms of ``kind`` and unit 1, ascending."""
    found = []
    for entry in table["arms"].values():
        plan = entry["schedule"]
        ordinary = (entry["moments"], entry["convention"], entry["budget"]) == ("copy", "mean", 1)
        same_unit = plan["unit"] == table["study"]["unit"]
        if plan["kind"] == kind and same_unit and ordinary and "difference" in entry:
            found.append((float(plan[field]), entry))
    return sorted(found, key=lambda pair: pair[0])


def _panels(
    table: dict[str, Any],
    fixed: list[tuple[float, dict[str, Any]]],
    staged: list[tuple[float, dict[str, Any]]],
) -> Figure:
    both = len(staged) > 1
    figure = style.new_figure(5.2 if both else 3.2)
    panels = figure.subplots(2 if both else 1, 1, squeeze=False)[:, 0]
    _sweep(panels[0], fixed, style.arm_look("swe-f"))
    panels[0].set_xscale("log")
    panels[0].set_xticks([tau for tau, _ in fixed], [f"{100 * tau:g}" for tau, _ in fixed])
    panels[0].minorticks_off()
    panels[0].set_xlabel("shared part of the run, tau (% of the updates)")
    if both:
        _sweep(panels[1], staged, style.arm_look("swe-m"))
        panels[1].set_xlabel("threshold rho of SWE-M (correlation)")
    equal = table["arms"].get("equal-start", {}).get("difference")
    for letter, axes in zip("ab", panels, strict=False):
        if equal is not None:
            look = style.arm_look("equal-start")
            axes.axhline(equal["mean"], color=look.colour, linestyle=look.dash)
            if equal["low"] is not None:
                axes.axhspan(equal["low"], equal["high"], color=look.colour, alpha=0.15)
        axes.axhline(0.0, color=style.arm_look("baseline").colour, linewidth=1.0)
        axes.set_ylabel("loss minus baseline (nats)")
        style.panel_title(axes, letter, {"a": "SWE-F", "b": "SWE-M"}[letter])
    arms = ["baseline", *(["equal-start"] if equal else []), "swe-f", *(["swe-m"] if both else [])]
    style.legend_above(figure, style.arm_handles(arms), columns=4)
    return figure


def _sweep(axes: Axes, pairs: list[tuple[float, dict[str, Any]]], look: style.Look) -> None:
    for value, entry in pairs:
        gap = entry["difference"]
        if gap["low"] is not None:
            axes.plot([value, value], [gap["low"], gap["high"]], color=look.colour, linewidth=2.0)
        axes.plot(value, gap["mean"], look.marker, color=look.colour)


def _caption(
    table: dict[str, Any],
    fixed: list[tuple[float, dict[str, Any]]],
    staged: list[tuple[float, dict[str, Any]]],
) -> str:
    words = "; ".join(f"{100 * t:g} % {interval(entry['difference'])}" for t, entry in fixed)
    text = (
        f"BERT {table['study']['size']}: final validation loss minus the baseline's, mean and 95 % "
        "paired t interval in nats; lines and band: baseline and equal start without tying. "
        f"SWE-F by tau: {words}."
    )
    if len(staged) > 1:
        words = "; ".join(
            f"{plain(rho, 1)} {interval(entry['difference'])}" for rho, entry in staged
        )
        text += f" SWE-M by rho: {words}."
    return text + ended(table)
