"""Draw everything and write the report: one page that stands alone, on a phone as on a desk.

Everything comes from the result files below ``out``; what is not there is listed with the command
that makes it, and nothing is left over from an earlier build.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from evidence.results import (
    Table,
    comparison_source,
    own_scores,
    own_tables,
    read_claims,
    read_comparison,
    read_json,
    reading,
    recorded_scores,
    recorded_tables,
)
from figures.base import tables
from figures.base.results import arm_order, read_study
from figures.base.style import arm_look
from figures.base.wording import count, plain
from figures.bert import comparison as bert_comparison
from figures.bert import correlations as bert_correlations
from figures.bert import dispersion as bert_dispersion
from figures.bert import finetune
from figures.bert import finetuned_arms as bert_finetune
from figures.bert import loss as bert_loss
from figures.bert.table_figures import draw_tables
from figures.bert.table_results import TITLES
from figures.theory import (
    admissible,
    alignment,
    common_component,
    controls,
    descent_bounds,
    flow_curves,
    gradient_noise,
    odd_targets,
    quadratic,
    sign_descent,
    speedup,
    steps,
    theorem_bounds,
)
from figures.toys import adam_quadratic, adam_unshare, moments
from figures.toys import deep_linear as toy_deep_linear
from figures.toys import predictions as toy_predictions
from figures.toys import teacher_student as toy_teacher_student
from swe.base.files import write_text


@dataclass(frozen=True)
class Entry:
    """A figure of the report: how it is drawn and the verb whose results it needs."""

    name: str
    draw: Callable[[Path], bool]
    verb: str
    other: str = ""
    """The command, where it is not paper_repro.py with that verb."""

    @property
    def command(self) -> str:
        """The command whose results it needs."""
        return self.other or f"python paper_repro.py {self.verb}"


def _of_runs(module: Any) -> Callable[[Path], bool]:
    """Return what draws a module's figure from the runs of the default comparison."""

    def draw(out: Path) -> bool:
        study = read_study(out)
        return study is not None and bool(
            module.draw(out, study, out / study.source, module.NAME, module.TITLE)
        )

    return draw


FIGURES = (
    Entry(flow_curves.NAME, flow_curves.draw, "theory"),
    Entry(theorem_bounds.NAME, theorem_bounds.draw, "theory"),
    Entry(descent_bounds.NAME, descent_bounds.draw, "theory"),
    Entry(speedup.NAME, speedup.draw, "theory"),
    Entry(steps.NAME, steps.draw, "theory"),
    Entry(admissible.NAME, admissible.draw, "theory"),
    Entry(controls.NAME, controls.draw, "theory"),
    Entry(gradient_noise.NAME, gradient_noise.draw, "theory"),
    Entry(alignment.NAME, alignment.draw, "theory"),
    Entry(common_component.NAME, common_component.draw, "theory"),
    Entry(odd_targets.NAME, odd_targets.draw, "theory"),
    Entry(quadratic.NAME, quadratic.draw, "theory"),
    Entry(sign_descent.NAME, sign_descent.draw, "theory"),
    Entry(toy_deep_linear.NAME, toy_deep_linear.draw, "toy"),
    Entry(toy_teacher_student.NAME, toy_teacher_student.draw, "toy"),
    Entry(toy_predictions.NAME, toy_predictions.draw, "toy"),
    Entry(adam_quadratic.NAME, adam_quadratic.draw, "toy"),
    Entry(adam_unshare.NAME, adam_unshare.draw, "toy"),
    Entry(moments.NAME, moments.draw, "toy"),
    Entry(bert_comparison.NAME, bert_comparison.draw, "bert"),
    *(
        Entry(module.NAME, _of_runs(module), "bert")
        for module in (bert_loss, bert_correlations, bert_dispersion)
    ),
    Entry(finetune.NAME, finetune.draw_for_report, "bert", finetune.COMMAND),
)
SECTIONS = ("theory", "toy", "bert")
"""Sections of the page with figures of FIGURES: the verbs that make them."""
RUN_HEADINGS = {
    "run": "Run",
    "steps": "Updates",
    "tokens": "Tokens",
    "flops": "FLOP",
    "seconds": "Seconds",
    "device": "Device",
    "versions": "Versions",
    "commit": "Commit",
    "command": "Command",
}


def build(out: Path, studies: Path | None = None) -> Path:
    """Draw all figures, write the tables, and write ``out/report/index.html``; return its path.

    ``studies``: folder of the studies on record, which stand in a section of their own. Raises
    ResultError, naming the file, for results that are there but malformed.
    """
    claims, comparison = read_claims(out), read_comparison(out)
    drawn = {entry.name: entry.draw(out) for entry in FIGURES}
    own, recorded = own_tables(out), recorded_tables(studies)
    _remove_tables(out)
    tables_drawn = draw_tables(out, own)
    scores = own_scores(out)
    tables_drawn += bert_finetune.draw_scores(out, scores)
    studies_drawn = [
        *draw_tables(out, recorded),
        *bert_finetune.draw_scores(out, recorded_scores(studies)),
    ]
    present = {name for name, there in drawn.items() if there} | {*tables_drawn, *studies_drawn}
    for stem in {path.stem for path in (out / "figures").glob("*.json")} - present:
        if stem in drawn or stem.startswith(("bert_", "study_")):
            for kind in ("png", "svg", "json"):
                (out / "figures" / f"{stem}.{kind}").unlink(missing_ok=True)
    rows = []
    if comparison is not None:
        with reading(out / str(comparison_source(out))):
            rows = tables.comparison_rows(comparison)
            cells = tables.comparison_cells(rows)
    _write_table(out / "tables" / "comparison.csv", rows)
    _write_table(out / "tables" / "claims.csv", claims or [])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        claims=claims or [],
        counts=tables.verdict_counts(claims or []),
        claim_headings=tables.CLAIM_HEADINGS,
        figures={
            verb: [_embedded(out, e.name) for e in FIGURES if e.verb == verb and drawn[e.name]]
            for verb in SECTIONS
        }
        | {"tables": [_embedded(out, name) for name in tables_drawn]}
        | {"studies": [_embedded(out, name) for name in studies_drawn]},
        drawn=sorted(present),
        comparison_headings=tables.COMPARISON_HEADINGS,
        comparison=cells if rows else [],
        reference=arm_look(comparison["reference"]).label if comparison else "",
        run_headings=RUN_HEADINGS,
        runs=[
            *(_runs(out, comparison) if comparison else []),
            *map(_table_runs, [*own, *recorded]),
        ],
        missing=_missing(drawn, {result.table for result in own}, bool(scores), claims),
    )
    path = out / "report" / "index.html"
    write_text(path, page)
    return path


def _remove_tables(out: Path) -> None:
    """Remove the CSV files of tables, so that none is left of a study that is gone."""
    for pattern in (*(f"{table}*.csv" for table in TITLES), "study-*.csv", "*-finetune.csv"):
        for path in (out / "tables").glob(pattern):
            path.unlink()


def _write_table(path: Path, rows: list[Any]) -> None:
    if rows:
        tables.write_csv(path, rows)
    else:
        path.unlink(missing_ok=True)


def _embedded(out: Path, name: str) -> dict[str, str]:
    """Return a figure's words and its SVG as a data address: sharp at any size, no second file."""
    words: dict[str, str] = read_json(out / "figures" / f"{name}.json")
    picture = base64.b64encode((out / "figures" / f"{name}.svg").read_bytes()).decode("ascii")
    return words | {"picture": f"data:image/svg+xml;base64,{picture}"}


def _missing(
    drawn: dict[str, bool],
    tables_there: set[str],
    scores_there: bool,
    claims: list[dict[str, str]] | None,
) -> list[dict[str, str]]:
    """Return what is not there and the command that makes it."""
    commands = {entry.name: entry.command for entry in FIGURES}
    missing = [
        {"what": f"figure {name}", "command": commands[name]}
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


def _runs(out: Path, comparison: dict[str, Any]) -> list[dict[str, str]]:
    """Return the record of every run that has a summary, in words."""
    folder = (out / str(comparison_source(out))).parent
    records = []
    for arm in arm_order(comparison):
        for seed in comparison["arms"][arm]["values"]:
            path = folder / f"{arm}-s{seed}" / "summary.json"
            summary = read_json(path)
            if summary is None:
                continue
            with reading(path):
                record = {
                    "run": f"{arm_look(arm).label}, seed {seed}",
                    "steps": count(summary["steps"]),
                    "tokens": count(summary["tokens"]),
                    "flops": plain(summary["flops"], 3),
                    "seconds": f"{summary['seconds']:.0f}",
                }
            environment = path.with_name("environment.json")
            records.append(record | _origin(read_json(environment) or {}, environment))
    return records


def _table_runs(result: Table) -> dict[str, str]:
    """Return one row for the headline runs of a table, all together."""
    with reading(result.path):
        arms = [arm for arm in result.data["arms"].values() if "values" in arm]
        runs = [(arm, seed) for arm in arms for seed in arm["values"]]
        record = {
            "run": f"{result.study or 'own'} {result.table}: {len(runs)} runs, tuning apart",
            "steps": count(sum(arm["steps"] for arm, _ in runs)),
            "tokens": count(sum(arm["tokens"] for arm, _ in runs)),
            "flops": plain(sum(arm["flops"][seed] for arm, seed in runs), 3),
            "seconds": f"{sum(arm['seconds'][seed] for arm, seed in runs):.0f}",
        }
    return record | _origin(result.data.get("environment") or {}, result.path)


def _origin(where: dict[str, Any], path: Path) -> dict[str, str]:
    """Return device, versions, commit and command of a run, in words."""
    with reading(path):
        versions = [
            f"{name} {where[name]}"
            for name in ("python", "torch", "numpy", "cuda")
            if where.get(name)
        ]
        threads = f", {where['threads']} thread(s)" if where.get("threads") else ""
        changed = {True: ", with changes", False: "", None: ""}[where.get("dirty")]
        return {
            "device": f"{where.get('device') or 'unknown'}{threads}",
            "versions": ", ".join(versions) or "unknown",
            "commit": f"{where['commit'][:10]}{changed}" if where.get("commit") else "unknown",
            "command": where.get("command") or "unknown",
        }
