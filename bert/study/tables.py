"""Run a table: tune every arm's rate, train the paired seeds, and write what came out.

Runs lie in ``runs/<arm>-lr<rate>-s<seed>`` of the study's folder and are shared by all tables of
that study; a table is ``<table>.json`` beside them, and its runs' curves (``bert.study.curves``),
written whenever the work stops, with what is finished by then (``complete`` says whether that is
all).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bert.model.prediction import TokenPrediction
from bert.study.carried import carried_table, gain_signs
from bert.study.curves import curves_file, table_curves
from bert.study.leaving import leaving
from bert.study.paper_numbers import FINE_TUNED, MASKED_ACCURACY
from bert.study.plateau import blind_in, stated
from bert.study.speedup import speed_up
from bert.study.table_arms import REFERENCE, Arm, is_baseline
from bert.study.table_study import TableStudy, best_rate, best_rates, chosen_arms
from evidence.cells import demonstration
from evidence.comparison import compare
from evidence.plateau import state
from swe.base.config import from_dict, to_dict
from swe.base.files import read_json, read_lines, write_json, write_lines
from swe.base.interrupt import Interrupted
from swe.run import loop
from swe.run.pool import Job, Report, run_jobs
from swe.run.record import commits_of
from swe.run.speed import SpeedConfig

DIVERGED = "diverged.json"
REACHED = 0.95
"""Held-out accuracy from which a part of a language counts as learnt."""
Work = tuple[Callable[..., TokenPrediction], tuple[Any, ...]]
"""A function of a module and its arguments: what every worker makes its task by."""


def run_folder(out: Path, arm: str, rate: float, seed: int) -> Path:
    """Return the folder of one run within a study's folder."""
    slug = re.sub(r"[^a-z0-9.]+", "-", arm.replace("%", "pc")).strip("-")
    return out / "runs" / f"{slug}-lr{rate:g}-s{seed}"


def final_loss(folder: Path) -> float | None:
    """Return a run's final validation loss, inf when it diverged, None when it is not finished."""
    if (folder / DIVERGED).exists():
        return math.inf
    summary = folder / "summary.json"
    return float(read_json(summary)["valid"]["loss"]) if summary.exists() else None


def run_table(
    table: str,
    study: TableStudy,
    work: Work,
    out: Path,
    *,
    device: str = "cpu",
    jobs: int = 1,
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    report: Report = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Do what is left of a table in ``out``; returns the content of ``<table>.json``.

    ``work`` makes the task of every run. ``report`` is called as ("tune", ...) and ("train", ...).
    When ``stop()`` turns true the running runs save, the table is written as far as it is, and
    Interrupted is raised.
    """
    arms = chosen_arms(table, study)
    build, given = work
    stated(out, build(*given))

    def train(pairs: Iterable[tuple[Arm, float, int]], what: str) -> None:
        todo = [
            Job(run_folder(out, arm.name, rate, seed), study.arm_config(arm, rate, seed))
            for arm, rate, seed in pairs
        ]
        run_jobs(
            *work,
            [job for job in todo if not (job.folder / DIVERGED).exists()],
            device=device,
            processes=jobs,
            report=report,
            stop=stop,
            warn=warn,
            what=what,
            diverged=lambda job, why: write_json(job.folder / DIVERGED, {"why": why}),
            run=partial(loop.train, speed=speed.shared_in(out)),
        )

    try:
        # Rates outermost: however early the work stops, no arm is ahead of the others by much.
        first, later = study.tuning[:1], study.tuning[1:]
        train(((a, r, s) for s in first for r in study.rates for a in arms), "tune")
        left = {arm: later_rates(study, out, arm) for arm in arms}
        train(((a, r, s) for s in later for r in study.rates for a in arms if r in left[a]), "tune")
        rates = {arm.name: tuned_rate(study, out, arm)[0] for arm in arms}
        train(((a, rates[a.name], s) for s in study.headline_seeds for a in arms), "train")
    except Interrupted:
        write_table(table, study, out)
        raise
    return write_table(table, study, out)


def later_rates(study: TableStudy, out: Path, arm: Arm) -> Sequence[float]:
    """Return the rates that the later tuning seeds try; all of them while the first is not done."""
    if not study.finalists or not study.tuning:
        return study.rates
    ends = {
        rate: final_loss(run_folder(out, arm.name, rate, study.tuning[0])) for rate in study.rates
    }
    known = {rate: loss for rate, loss in ends.items() if loss is not None}
    return best_rates(known)[: study.finalists] if len(known) == len(ends) else study.rates


def tuning_losses(study: TableStudy, out: Path, arm: Arm) -> dict[float, list[float | None]]:
    """Return {rate: final loss of every tuning seed that tries it, None while it is not there}."""
    later = later_rates(study, out, arm)
    return {
        rate: [
            final_loss(run_folder(out, arm.name, rate, seed))
            for seed in (study.tuning if rate in later else study.tuning[:1])
        ]
        for rate in study.rates
    }


def tuned_rate(study: TableStudy, out: Path, arm: Arm) -> tuple[float, bool]:
    """Return the arm's rate and whether it lies at the grid's end; tuning must be finished."""
    if not study.tuning:
        return study.rates[0], False
    losses = tuning_losses(study, out, arm)
    return best_rate({r: [math.nan if v is None else v for v in vs] for r, vs in losses.items()})


def write_table(table: str, study: TableStudy, out: Path) -> dict[str, Any]:
    """Gather a table's finished runs into ``out/<table>.json`` and return its content."""
    arms = chosen_arms(table, study)
    rows: dict[str, dict[str, Any]] = {}
    losses: dict[str, dict[int, float]] = {}
    for arm in arms:
        tried = tuning_losses(study, out, arm)
        row: dict[str, Any] = {
            "budget": arm.budget,
            "schedule": to_dict(arm.schedule),
            "moments": arm.moments,
            "convention": arm.convention,
            "tuning": {f"{rate:g}": [_json(v) for v in values] for rate, values in tried.items()},
        }
        rows[arm.name] = row
        if all(value is not None for values in tried.values() for value in values):
            row["rate"], row["rate_at_edge"] = tuned_rate(study, out, arm)
            folders = {
                seed: run_folder(out, arm.name, row["rate"], seed) for seed in study.headline_seeds
            }
            ends = {seed: final_loss(folder) for seed, folder in folders.items()}
            row["diverged"] = [seed for seed, end in ends.items() if end == math.inf]
            finished = {s: end for s, end in ends.items() if end is not None and end < math.inf}
            if finished:
                losses[arm.name] = finished
                row |= _measured([folders[seed] for seed in finished], list(finished))
    if REFERENCE in losses:
        shared = {a: v for a, v in losses.items() if a == REFERENCE or v.keys() & losses[REFERENCE]}
        accuracies = {
            a: {seed: 100 * rows[a]["accuracy"][str(seed)] for seed in v} for a, v in shared.items()
        }
        for name, entry in compare(shared, REFERENCE).items():
            rows[name] |= entry
            if "difference" in entry and entry["difference"]["n"] < study.judged_from:
                rows[name]["verdict"] = demonstration(entry["difference"]["n"])
        for name, entry in compare(accuracies, REFERENCE).items():
            rows[name]["accuracy_percent"] = {"mean": entry["loss"]} | (
                {"difference": entry["difference"]} if "difference" in entry else {}
            )
    names = [arm.name for arm in arms]
    begun = [
        folder
        for arm in arms
        for rate in study.rates
        for seed in (*study.tuning, *study.headline_seeds)
        if (folder := run_folder(out, arm.name, rate, seed)).is_dir()
    ]
    result = {
        "table": table,
        "study": to_dict(study),
        "reference": REFERENCE,
        "arms": rows,
        "order": names,
        "complete": all(
            len(losses.get(a.name, ())) + len(rows[a.name].get("diverged", ())) == study.seeds
            for a in arms
        ),
        "paper": _paper(table, study),
        "environment": _environment(begun),
        "commits": {folder.name: commits_of(folder) for folder in begun},
    }
    judged = study.seeds >= study.judged_from
    result["carried"] = carried_table(rows, out) if judged else []
    result["gains"] = gain_signs(rows, out) if judged else []
    result |= study.beside(arms, rows, out)
    if study.has_speedup(table):
        result["speedup"] = _speedups(arms, losses)
    state(result, blind_in(out))
    curves = table_curves(rows, names, out)
    if judged:
        known = {arm.name: study.beginning(arm) for arm in arms} if result.get("blind") else {}
        result["leaving"] = leaving(result, curves, known)
    write_json(out / f"{table}.json", result)
    write_lines(out / curves_file(table), curves)
    return result


def _paper(table: str, study: TableStudy) -> dict[str, Any]:
    """Return the paper's numbers of a table: of masked models, so none beside causal ones."""
    if study.objective != "masked":
        return {"accuracy": {}, "tasks": {}}
    return {"accuracy": MASKED_ACCURACY.get(table, {}), "tasks": FINE_TUNED.get(table, {})}


def is_done(table: str, study: TableStudy, out: Path) -> bool:
    """Whether ``out/<table>.json`` holds all that ``study`` asks for."""
    path = out / f"{table}.json"
    try:
        found = read_json(path) if path.exists() else {}
        return bool(found["complete"]) and from_dict(type(study), found["study"]) == study
    except (ValueError, LookupError, TypeError):
        return False


def parts_of(valid: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return {part: {"loss", "accuracy", "floor"}} of an evaluation on a language, else {}."""
    first = "accuracy_"
    return {
        part: {kind: valid[f"{kind}_{part}"] for kind in ("loss", "accuracy", "floor")}
        for part in (name.removeprefix(first) for name in valid if name.startswith(first))
    }


def _reached(parts: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, int]:
    """Return, by part, how many seeds ended with it learnt: a mean hides that it is all or none."""
    names = dict.fromkeys(name for found in parts.values() for name in found)
    return {
        name: sum(found[name]["accuracy"] >= REACHED for found in parts.values() if name in found)
        for name in names
    }


def _json(value: float | None) -> float | str | None:
    """JSON has no infinity: a diverged run says so."""
    return "diverged" if value == math.inf else value


def _measured(folders: Sequence[Path], seeds: Sequence[int]) -> dict[str, Any]:
    """Return what finished runs say beside their loss, by seed; ledgers from the first."""
    summaries = [read_json(folder / "summary.json") for folder in folders]
    unties = [
        [e["step"] for e in read_lines(folder / "events.jsonl") if e["kind"] == "unshare"]
        for folder in folders
    ]
    first = summaries[0]
    parts = {str(s): parts_of(m["valid"]) for s, m in zip(seeds, summaries, strict=True)}
    return {
        "accuracy": {str(s): m["valid"]["accuracy"] for s, m in zip(seeds, summaries, strict=True)},
        **({"parts": parts, "reached": _reached(parts)} if any(parts.values()) else {}),
        **({"floor": first["valid"]["floor"]} if "floor" in first["valid"] else {}),
        "seconds": {str(s): m["seconds"] for s, m in zip(seeds, summaries, strict=True)},
        "untied_at": {str(s): steps for s, steps in zip(seeds, unties, strict=True)},
        "layout_at_end": {
            str(s): m["layout_at_end"] for s, m in zip(seeds, summaries, strict=True)
        },
        "folders": {str(s): folder.name for s, folder in zip(seeds, folders, strict=True)},
        **{
            name: first[name]
            for name in ("steps", "tokens", "parameters_at_start", "parameters_at_end")
        },
        "flops": {str(s): m["flops"] for s, m in zip(seeds, summaries, strict=True)},
    }


def _speedups(arms: Sequence[Arm], losses: dict[str, dict[int, float]]) -> dict[str, Any]:
    """Return the speed-up of every arm over the baselines, as far as those are there."""
    baselines = {
        arm.budget: losses[arm.name] for arm in arms if is_baseline(arm.name) and arm.name in losses
    }
    out = {}
    for arm in arms:
        known = arm.name in losses and len(baselines) > 1
        shared = known and set(losses[arm.name]).intersection(*baselines.values())
        if shared and not is_baseline(arm.name):
            out[arm.name] = speed_up(baselines, losses[arm.name], arm.budget)
    return out


def _environment(folders: Sequence[Path]) -> dict[str, Any] | None:
    """Return the environment of the one of these runs that was begun last, None before there is
    one: other tables of the study have runs of their own beside them."""
    paths = [folder / "environment.json" for folder in folders]
    found: list[dict[str, Any]] = [read_json(path) for path in paths if path.exists()]
    return max(found, key=lambda environment: str(environment["time"]), default=None)
