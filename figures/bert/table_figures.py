"""Every figure and CSV file of the paper's tables, the results folder's own or on record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evidence.results import Table, reading
from figures.base.drawing import Found
from figures.base.tables import write_csv
from figures.bert import behind as bert_behind
from figures.bert import correlations as bert_correlations
from figures.bert import dispersion as bert_dispersion
from figures.bert import leaving as bert_leaving
from figures.bert import loss as bert_loss
from figures.bert import shift as bert_shift
from figures.bert import speedup as bert_speedup
from figures.bert import sweeps as bert_sweeps
from figures.bert import tables as bert_tables
from figures.bert import theory as bert_theory
from figures.bert.table_results import MAIN_ARMS, runs_of, titled

_OF_RUNS = {
    "loss": bert_loss.FIGURE,
    "correlations": bert_correlations.FIGURE,
    "dispersion": bert_dispersion.FIGURE,
}


def draw_tables(out: Path, results: Sequence[Table]) -> list[str]:
    """Draw the tables' figures and write their CSV files; return the names of what was drawn.

    Tables of one study share their runs: curves are drawn once a study, from the table with the
    most main arms.
    """
    drawn: list[str] = []
    fullest = {
        max((r for r in results if r.path.parent == folder), key=_arms).path
        for folder in {result.path.parent for result in results}
    }
    for result in results:
        main = bert_speedup.draw if result.table == "speedup" else bert_tables.draw
        if main(out, result):
            drawn.append(result.figure())
        if bert_sweeps.draw(out, result):
            drawn.append(result.figure(bert_sweeps.PART))
        if bert_leaving.draw(out, result):
            drawn.append(result.figure(bert_leaving.PART))
        if bert_shift.draw(out, result):
            drawn.append(result.figure(bert_shift.PART))
        if bert_behind.draw(out, result):
            drawn.append(result.figure(bert_behind.PART))
        if result.path in fullest:
            drawn += _curves(out, result)
        with reading(result.path):
            write_csv(out / "tables" / f"{result.name}.csv", bert_tables.rows(result.data))
            gains, carried = result.data.get("gains"), result.data.get("carried")
            if gains or carried:
                rows = bert_theory.rows(carried or [], gains or [])
                write_csv(out / "tables" / f"{result.name}-theory.csv", rows)
    return drawn


def _arms(result: Table) -> tuple[int, int]:
    """Return how many main arms and how many arms in all have run."""
    done = [name for name, arm in result.data["arms"].items() if "values" in arm]
    return sum(name in MAIN_ARMS for name in done), len(done)


def _curves(out: Path, result: Table) -> list[str]:
    drawn = [result.figure(bert_theory.PART)] if bert_theory.draw(out, result) else []
    study = runs_of(result)
    if study is None:
        return drawn
    found = Found(study, result.path, (study.source,))
    for part, figure in _OF_RUNS.items():
        name = result.figure(part)
        if figure.draw_found(out, found, name, titled(result, figure.title)):
            drawn.append(name)
    return drawn
