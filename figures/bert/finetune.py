"""Fine-tunes: every value over the learning rate, task by task, and the table of what was selected.

    python -m figures.bert.finetune OUT

reads the tables that ``bert.finetune`` left below OUT and writes OUT/figures/finetune.* and
OUT/tables/finetune.csv (every run), finetune.md (the selected rates). The report of paper_repro.py
shows what lies in ``finetune`` of its results folder, where ``bert.finetune`` writes by default.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from evidence.results import read_json, reading
from figures.base import style
from figures.base.drawing import Drawing, Found
from figures.base.tables import markdown, write_csv
from figures.base.wording import fixed, listing, plain
from swe.base.errors import ResultError
from swe.base.files import write_text
from swe.base.options import Parser

HEADINGS = {
    "task": "Task",
    "metric": "Score",
    "rate": "Peak rate",
    "n": "n",
    "mean": "Mean, 95 % interval",
    "values": "Every value",
    "degenerate": "Degenerate",
    "baseline": "Best constant answer",
}
FIELDS = ("task", "metric", "rate", "seed", "value", "degenerate", "reason", "selected")
_TASK = style.Look("one fine-tune", "#0072B2", "o")
_FLAGGED = style.Look("degenerate fine-tune", "#D55E00", "x")


def read_tables(out: Path) -> list[dict[str, Any]]:
    """Return the tables below ``out``, by task name. ResultError names one that is malformed."""
    found = [(path, read_json(path)) for path in sorted(out.glob("*/table.json"))]
    tables = []
    for path, table in found:
        with reading(path):
            if {"task", "rows", "rates", "selected", "rule"} - set(table):
                raise KeyError("task, rows, rates, selected or rule")
            tables.append(table)
    return tables


def run_rows(tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a fine-tune, with FIELDS; the value of a diverged one is empty."""
    return [
        {name: row.get(name) for name in FIELDS}
        | {"metric": table["metric"], "selected": row["rate"] == table["selected"]["rate"]}
        for table in tables
        for row in table["rows"]
    ]


def selected_cells(tables: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Return one row a task in words, keyed as HEADINGS: the selected rate, every seed."""
    cells = []
    for table in tables:
        chosen = table["selected"]
        mean = fixed(chosen["mean"], 2)
        if chosen["low"] is not None:
            mean += f" [{fixed(chosen['low'], 2)}, {fixed(chosen['high'], 2)}]"
        baseline = _baseline(table)
        cells.append(
            {
                "task": table["task"],
                "metric": str(table["metric"]),
                "rate": plain(chosen["rate"], 2),
                "n": str(chosen["n"]),
                "mean": mean,
                "values": ", ".join(fixed(value, 1) for value in chosen["values"]),
                "degenerate": f"{chosen['degenerate']} of {chosen['n']}",
                "baseline": "—" if baseline is None else fixed(baseline, 1),
            }
        )
    return cells


def _baseline(table: dict[str, Any]) -> float | None:
    return next((row["baseline"] for row in table["rows"] if "baseline" in row), None)


def _panels(tables: Sequence[dict[str, Any]]) -> Figure:
    figure = style.new_figure(0.9 + 1.5 * len(tables))
    panels = figure.subplots(len(tables), 1, squeeze=False)[:, 0]
    for axes, table in zip(panels, tables, strict=True):
        _panel(axes, table)
    panels[-1].set_xlabel("peak learning rate")
    style.legend_above(
        figure,
        [
            *(
                Line2D(
                    [], [], linestyle="", color=look.colour, marker=look.marker, label=look.label
                )
                for look in (_TASK, _FLAGGED)
            ),
            Line2D([], [], color=_TASK.colour, label="mean of the seeds"),
            Line2D([], [], color=style.FAINT, linestyle="--", label="best constant answer"),
        ],
        columns=2,
    )
    return figure


def _panel(axes: Axes, table: dict[str, Any]) -> None:
    for flagged, look in ((False, _TASK), (True, _FLAGGED)):
        rows = [
            row
            for row in table["rows"]
            if row["degenerate"] is flagged and row["value"] is not None
        ]
        axes.plot(
            [row["rate"] for row in rows],
            [row["value"] for row in rows],
            look.marker,
            color=look.colour,
            alpha=0.8,
        )
    rates = sorted(table["rates"], key=lambda entry: entry["rate"])
    axes.plot([r["rate"] for r in rates], [r["mean"] for r in rates], color=_TASK.colour)
    chosen = table["selected"]
    axes.plot(
        chosen["rate"],
        chosen["mean"],
        "o",
        markersize=11,
        markerfacecolor="none",
        color=style.INK,
    )
    baseline = _baseline(table)
    if baseline is not None:
        axes.axhline(baseline, color=style.FAINT, linestyle="--", linewidth=1.0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([r["rate"] for r in rates]))
    axes.xaxis.set_major_formatter(FixedFormatter([_short(r["rate"]) for r in rates]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(f"{table['task']}, {str(table['metric']).replace('_', ' ')}")
    axes.margins(x=0.06, y=0.15)


def _short(rate: float) -> str:
    """Return 1.5e-5 for 0.000015: nine of them must fit side by side."""
    exponent = math.floor(math.log10(rate) + 1e-9)
    return f"{rate / 10**exponent:.3g}e{exponent}"


def _caption(tables: Sequence[dict[str, Any]]) -> str:
    seeds = sorted({table["selected"]["n"] for table in tables})
    found = "; ".join(
        f"{cell['task']} {cell['mean']} at {cell['rate']}" for cell in selected_cells(tables)
    )
    return (
        f"Development scores in points, n = {listing(seeds)} seeds a rate; ring: the rate with the "
        "best mean, which is optimistic as it is the best of several on the same examples. "
        f"{tables[0]['rule']} Selected: {found}."
    )


def _found(folder: Path, prefix: str = "") -> Found[Sequence[dict[str, Any]]] | None:
    """The tables of a folder, if any; ``prefix``: of the paths that captions show."""
    tables = read_tables(folder)
    sources = tuple(f"{prefix}{table['task']}/table.json" for table in tables)
    return Found(tables, folder, sources) if tables else None


FIGURE = Drawing(
    name="finetune",
    title="Fine-tuning scores over the learning rate",
    alt="One panel a task: dots for fine-tunes over the peak learning rate, crosses for "
    "degenerate ones, a line through the means, a ring at the selected rate, and a dashed line "
    "at the best constant answer.",
    read=lambda out: _found(out / "finetune", "finetune/"),
    panels=_panels,
    caption=_caption,
    command="python -m bert.finetune MODEL --task TASK --data FOLDER",
)


def write(out: Path) -> list[Path]:
    """Draw, and write the two tables; returns what was written. ResultError without any table."""
    found = _found(out)
    if found is None:
        raise ResultError(f"{out}: holds no table of fine-tunes (*/table.json)")
    FIGURE.draw_found(out, found)
    name = FIGURE.name
    csv_file, page = out / "tables" / f"{name}.csv", out / "tables" / f"{name}.md"
    write_csv(csv_file, run_rows(found.data))
    write_text(page, markdown(HEADINGS, selected_cells(found.data)) + "\n")
    return [out / "figures" / f"{name}.png", csv_file, page]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write figure and tables of one results folder."""
    parser = Parser(
        prog="python -m figures.bert.finetune",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="the --out of bert.finetune")
    given = parser.parse_args(arguments)
    try:
        for path in write(given.out):
            print(path)
    except (ResultError, OSError) as error:
        parser.exit(1, f"figures.bert.finetune: {error}\n")
    return 0


if __name__ == "__main__":
    main()
