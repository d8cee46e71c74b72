"""Draw everything and write the report: one page that stands alone, on a phone as on a desk.

The answer comes first, then a section a question (figures.pages.questions), the rest folded.
Everything comes from the result files below ``out``; what is not there is listed with the command
that makes it, and nothing is left over from an earlier build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

import figures.bert
import figures.theory
import figures.toys
from evidence.claim import Verdict
from evidence.results import (
    LANGUAGES,
    comparison_source,
    own_languages,
    own_rivals,
    own_scores,
    own_tables,
    read_claims,
    read_comparison,
    read_data,
    read_json,
    reading,
    recorded_languages,
    recorded_rivals,
    recorded_scores,
    recorded_tables,
)
from figures.base import tables
from figures.base.drawing import collect
from figures.base.style import arm_look
from figures.bert import factors as bert_factors
from figures.bert import finetuned_arms as bert_finetune
from figures.bert import rivals as bert_rivals
from figures.bert.table_figures import draw_tables
from figures.bert.table_results import TITLES
from figures.pages import run_records
from figures.pages.answer import answer
from figures.pages.pictures import Pictures
from figures.pages.questions import QUESTIONS, Claims, allotted, grouped
from figures.pages.words import SIGNS, classes
from swe.base.files import write_text

FIGURES = collect(figures.theory, figures.toys, figures.bert)
"""The figures of a results folder; those of tables and scores are named by what there is."""
WINS = {"adam_unshare": "Where sharing wins, in a model", "flow_curves": "What the theory compares"}
"""The first screen's left picture, with its words: no network on record wins, but a model of one
does, where its claim (``IN_A_MODEL``) holds; else the two flows, which decide nothing."""
IN_A_MODEL = "ADAM-TAU"
LOSES = ("study_*_sweep_tau", "bert_sweep_tau", "bert_comparison")
"""The right picture: the first that was drawn."""


def build(out: Path, studies: Path | None = None) -> Path:
    """Draw all figures, write the tables, and write ``out/report/index.html``; return its path.

    ``studies``: folder of the studies on record. Raises ResultError, naming the file, for results
    that are there but malformed.
    """
    claims, comparison = read_claims(out) or [], read_comparison(out)
    drawn = {name: figure.draw(out) for name, figure in FIGURES.items()}
    results = [*own_tables(out), *recorded_tables(studies)]
    languages = [*own_languages(out), *recorded_languages(studies)]
    every = [*results, *languages]
    compared = [*own_rivals(out), *recorded_rivals(studies)]
    scores = own_scores(out)
    _remove_tables(out)
    others = [
        *draw_tables(out, every),
        *bert_finetune.draw_scores(out, [*scores, *recorded_scores(studies)]),
    ]
    others += bert_rivals.draw_recorded(out, studies)
    if studies is not None and bert_factors.draw(out, studies.parent / "factors"):
        others.append(bert_factors.NAME)
    present = sorted({name for name, there in drawn.items() if there} | set(others))
    _remove_figures(out, {*drawn} - {*present}, present)
    rows = []
    if comparison is not None:
        with reading(out / str(comparison_source(out))):
            rows = tables.comparison_rows(comparison)
    _write_table(out / "tables" / "comparison.csv", rows)
    _write_table(out / "tables" / "claims.csv", claims)
    theory = read_data(out, "theory/speedup.json")
    groups = grouped(claims)
    wins_there = any(c["id"] == IN_A_MODEL and c["verdict"] == Verdict.HOLDS for c in claims)
    wins, loses = _first(present, list(WINS)[not wins_there :]), _first(present, LOSES)
    pictures = Pictures()
    shown = {name: _set(out, name, pictures) for name in present}
    page = _template().render(
        answer=answer(comparison, results, claims, theory, languages),
        wins=shown.get(wins),
        wins_words=WINS.get(wins, ""),
        loses=shown.get(loses),
        counts=tables.verdict_counts(claims),
        sections=_sections(groups, {n: f for n, f in shown.items() if n not in (wins, loses)}),
        drawn=present,
        comparison_headings=tables.COMPARISON_HEADINGS,
        comparison=tables.comparison_cells(rows),
        reference=arm_look(comparison["reference"]).label if comparison else "",
        run_headings=run_records.RUN_HEADINGS,
        runs=[
            *(run_records.of_comparison(out, comparison) if comparison else []),
            *map(run_records.of_table, [*every, *compared]),
        ],
        missing=_missing(drawn, {r.table for r in results if not r.study}, bool(scores), claims),
        letters=Markup(pictures.letters()),
        rules=Markup(pictures.rules()),
    )
    path = out / "report" / "index.html"
    write_text(path, page)
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"sign": SIGNS.__getitem__, "classes": classes}
    return environment.get_template("report.html")


def _first(names: Sequence[str], wanted: Sequence[str]) -> str:
    """The first name that is wanted; "" when none is."""
    return next((n for pattern in wanted for n in names if Path(n).match(pattern)), "")


def _sections(groups: Mapping[str, Claims], shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page shows under each question that has anything to show, and what is left over."""
    allotment = allotted(shown, groups)
    sections = [
        {
            "question": question,
            "claims": groups[question.id],
            "sentence": question.answer(groups[question.id]),
            "figures": [shown[name] for name in allotment[question.id]],
        }
        for question in QUESTIONS
    ]
    rest = {"question": None, "figures": [shown[name] for name in allotment[""]]}
    return [*(s for s in sections if s["claims"] or s["figures"]), rest]


def _set(out: Path, name: str, pictures: Pictures) -> dict[str, Any]:
    """A figure's words, and its picture as markup for the page."""
    words: dict[str, Any] = read_json(out / "figures" / f"{name}.json")
    svg = out / "figures" / f"{name}.svg"
    return words | {"picture": Markup(pictures.put(svg, str(escape(words["alt"]))))}


def _remove_figures(out: Path, absent: set[str], present: Sequence[str]) -> None:
    """Remove what an earlier build drew from results that are gone."""
    for stem in {path.stem for path in (out / "figures").glob("*.json")} - {*present}:
        if stem in absent or stem.startswith(("bert_", "study_")):
            for kind in ("png", "svg", "json"):
                (out / "figures" / f"{stem}.{kind}").unlink(missing_ok=True)


def _remove_tables(out: Path) -> None:
    """Remove the CSV files of tables, so that none is left of a study that is gone."""
    for pattern in (
        *(f"{table}*.csv" for table in (*TITLES, *LANGUAGES)),
        "study-*.csv",
        "*-finetune.csv",
    ):
        for path in (out / "tables").glob(pattern):
            path.unlink()


def _write_table(path: Path, rows: list[Any]) -> None:
    if rows:
        tables.write_csv(path, rows)
    else:
        path.unlink(missing_ok=True)


def _missing(
    drawn: Mapping[str, bool], tables_there: set[str], scores_there: bool, claims: Claims
) -> list[dict[str, str]]:
    """Return what is not there and the command that makes it."""
    missing = [
        {"what": f"figure {name}", "command": FIGURES[name].command}
        for name, present in drawn.items()
        if not present
    ]
    missing += [
        {"what": title, "command": f"python paper_repro.py {table}"}
        for table, title in TITLES.items()
        if table not in tables_there
    ]
    if not scores_there:
        missing.append({"what": "fine-tuned scores", "command": bert_finetune.COMMAND})
    if not claims:
        missing.append({"what": "the claim ledger", "command": "python paper_repro.py claims"})
    return missing
