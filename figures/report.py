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

from figures import (
    adam_quadratic,
    adam_unshare,
    admissible,
    alignment,
    bert_comparison,
    bert_correlations,
    bert_dispersion,
    bert_loss,
    bert_speedup,
    bert_sweeps,
    bert_tables,
    common_component,
    controls,
    descent_bounds,
    flow_curves,
    gradient_noise,
    moments,
    odd_targets,
    quadratic,
    sign_descent,
    speedup,
    steps,
    tables,
    theorem_bounds,
    toy_deep_linear,
    toy_predictions,
    toy_teacher_student,
)
from figures.results import (
    arm_order,
    comparison_source,
    read_claims,
    read_comparison,
    read_json,
    read_table,
    reading,
    table_source,
)
from figures.style import arm_look
from figures.wording import count, plain
from training.files import write_text


@dataclass(frozen=True)
class Entry:
    """A figure of the report: how it is drawn and the verb whose results it needs."""

    name: str
    draw: Callable[[Path], bool]
    verb: str


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
    Entry(bert_loss.NAME, bert_loss.draw, "bert"),
    Entry(bert_correlations.NAME, bert_correlations.draw, "bert"),
    Entry(bert_dispersion.NAME, bert_dispersion.draw, "bert"),
    *(Entry(bert_tables.name_of(t), bert_tables.drawer(t), t) for t in bert_tables.TITLES),
    Entry(bert_sweeps.NAME, bert_sweeps.draw, "table3"),
    Entry(bert_speedup.NAME, bert_speedup.draw, bert_speedup.TABLE),
)
SECTIONS: dict[str, tuple[str, ...]] = {
    "theory": ("theory",),
    "toy": ("toy",),
    "bert": ("bert", *bert_tables.TITLES, bert_speedup.TABLE),
}
"""Section of the page: the verbs whose figures stand in it."""
RUN_HEADINGS = {
    "run": "Run", "steps": "Updates", "tokens": "Tokens", "flops": "FLOP", "seconds": "Seconds",
    "device": "Device", "versions": "Versions", "commit": "Commit", "command": "Command",
}  # fmt: skip


def build(out: Path) -> Path:
    """Draw all figures, write the tables, and write ``out/report/index.html``; return its path.

    Raises ResultError, naming the file, for results that are there but malformed.
    """
    claims, comparison = read_claims(out), read_comparison(out)
    drawn = {entry.name: entry.draw(out) for entry in FIGURES}
    for name, present in drawn.items():
        for kind in ("png", "svg", "json"):
            if not present:
                (out / "figures" / f"{name}.{kind}").unlink(missing_ok=True)
    rows = []
    if comparison is not None:
        with reading(out / str(comparison_source(out))):
            rows = tables.comparison_rows(comparison)
            cells = tables.comparison_cells(rows)
    _write_table(out / "tables" / "comparison.csv", rows)
    _write_table(out / "tables" / "claims.csv", claims or [])
    for name in (*bert_tables.TITLES, bert_speedup.TABLE):
        table = read_table(out, name)
        with reading(out / str(table_source(out, name))):
            _write_table(out / "tables" / f"{name}.csv", bert_tables.rows(table) if table else [])
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
            section: [_embedded(out, e.name) for e in FIGURES if e.verb in verbs and drawn[e.name]]
            for section, verbs in SECTIONS.items()
        },
        drawn=[name for name, present in drawn.items() if present],
        comparison_headings=tables.COMPARISON_HEADINGS,
        comparison=cells if rows else [],
        reference=arm_look(comparison["reference"]).label if comparison else "",
        run_headings=RUN_HEADINGS,
        runs=_runs(out, comparison) if comparison else [],
        missing=_missing(drawn, claims),
    )
    path = out / "report" / "index.html"
    write_text(path, page)
    return path


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


def _missing(drawn: dict[str, bool], claims: list[dict[str, str]] | None) -> list[dict[str, str]]:
    """Return what is not there and the command that makes it."""
    verbs = {entry.name: entry.verb for entry in FIGURES}
    missing = [
        {"what": f"figure {name}", "command": f"python paper_repro.py {verbs[name]}"}
        for name, present in drawn.items()
        if not present
    ]
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
            records.append(record | _origin(path.with_name("environment.json")))
    return records


def _origin(path: Path) -> dict[str, str]:
    """Return device, versions, commit and command of a run, in words."""
    where = read_json(path) or {}
    with reading(path):
        versions = [f"{name} {where[name]}" for name in ("python", "torch", "numpy", "cuda")
                    if where.get(name)]  # fmt: skip
        threads = f", {where['threads']} thread(s)" if where.get("threads") else ""
        changed = {True: ", with changes", False: "", None: ""}[where.get("dirty")]
        return {
            "device": f"{where.get('device') or 'unknown'}{threads}",
            "versions": ", ".join(versions) or "unknown",
            "commit": f"{where['commit'][:10]}{changed}" if where.get("commit") else "unknown",
            "command": where.get("command") or "unknown",
        }
