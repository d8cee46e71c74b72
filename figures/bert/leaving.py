"""When SWE-F leaves the plateau by tau, between the equal start and always-shared, as foretold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.results import Table, reading
from figures.base import style
from figures.base.wording import interval, plain
from figures.bert.table_results import titled

PART = "leaving"
ALWAYS = "always-shared"


@style.styled
def draw(out: Path, result: Table) -> bool:
    """Draw the delay over the equal start against tau; False unless two taus were foretold."""
    with reading(result.path):
        rows = points(result.data)
        if len(rows) < 3:
            return False
        figure, caption = _panel(rows), _caption(result.data, rows)
    style.save(
        figure,
        out,
        result.figure(PART),
        title=titled(result, "When the plateau is left, by tau"),
        caption=caption,
        alt="Delay over the equal start in e-folds over the share of the run that is tied, a point "
        "with an interval for each, and a band: what the gap between the two ends foretells.",
        sources=[result.source],
    )
    return True


def points(table: dict[str, Any]) -> list[tuple[float, dict[str, Any]]]:
    """Return (tau, row of ``bert.study.leaving``) of SWE-F's arms that were told from the ends,
    ascending, and of always-shared at 1 behind them; [] without."""
    rows = {row["arm"]: row for row in table.get("leaving", {}).get("arms", [])}
    found = [
        (float(table["arms"][name]["schedule"]["until"]), row)
        for name, row in rows.items()
        if "over_equal" in row.get("foretold", {})
    ]
    if not found or ALWAYS not in rows:
        return []
    return [*sorted(found, key=lambda pair: pair[0]), (1.0, rows[ALWAYS])]


def _panel(rows: list[tuple[float, dict[str, Any]]]) -> Figure:
    figure = style.new_figure(3.2)
    axes = figure.subplots()
    told = [(tau, *row["foretold"]["over_equal"]) for tau, row in rows[:-1]]
    end = rows[-1][1]["over_equal"]["mean"]
    taus, low, high = zip((0.0, 0.0, 0.0), *told, (1.0, end, end), strict=True)
    look = style.arm_look("swe-f")
    axes.fill_between(taus, low, high, color=look.colour, alpha=0.2, linewidth=0.8)
    for tau, row in rows:
        look = style.arm_look("swe-f" if tau < 1.0 else ALWAYS)
        gap = row["over_equal"]
        axes.plot([tau, tau], [gap["low"], gap["high"]], color=look.colour, linewidth=1.5)
        axes.plot(tau, gap["mean"], look.marker, color=look.colour)
    axes.axhline(0.0, color=style.arm_look("equal-start").colour, linewidth=1.0)
    axes.set_xlim(left=0.0)
    axes.set_xticks([tau for tau, _ in rows], [f"{100 * tau:g}" for tau, _ in rows])
    axes.set_xlabel("shared part of the run, tau (% of the updates)")
    axes.set_ylabel("later than equal start (e-folds)")
    style.legend_above(figure, style.arm_handles(["equal-start", "swe-f", ALWAYS]), columns=3)
    return figure


def _caption(table: dict[str, Any], rows: list[tuple[float, dict[str, Any]]]) -> str:
    words = "; ".join(
        f"{100 * tau:g} % {interval(row['over_equal'], 2)}"
        + (
            f", foretold {' to '.join(plain(end) for end in row['foretold']['over_equal'])}"
            if tau < 1.0
            else ""
        )
        for tau, row in rows
    )
    return (
        f"BERT {table['study']['size']}: how much later than the equal start a run leaves the "
        f"plateau, in e-folds of the baseline's gain, mean and 95 % paired t interval, n = "
        f"{rows[0][1]['over_equal']['n']}. Band: the noisy model (theory/models/noisy_draws.py), "
        f"with as much noise as the gap of always-shared says. By tau: {words}."
    )
