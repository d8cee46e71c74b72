"""The BERT verbs of the command line: prepare the data, say what it costs, train, print.

What a verb leaves behind: ``bert/<scale>-<configuration>-<code>/`` or
``bert/tables/<scale>-<configuration>-<code>/`` below the results folder, and a pointer to the
newest of its kind (``bert/current.json``, ``bert/tables/<table>.json``); a language's lie in
``bert/languages``, ``<language>.json`` for ``<table>.json``; the comparison of all methods in
``bert/rivals``, ``rivals-<language>.json``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert.data.text import Reading
from bert.model.prediction import TokenPrediction
from bert.study.arms import StudyConfig
from bert.study.asked import shared_settings
from bert.study.comparison import StudyData, build_task, prepare_data, run_study
from bert.study.language_study import LanguageStudy, build_language_task
from bert.study.rivals import PREFIX, MethodsStudy, best, build_rivals_task
from bert.study.table_study import TableStudy, chosen_arms
from bert.study.tables import Work, is_done, run_table
from bert.study.text_rivals import TextRivals, build_text_rivals
from evidence.begun import OtherCode, keyed_folder
from evidence.plateau import told, verdict_of
from swe.base.config import to_dict
from swe.base.files import json_digest, write_json
from swe.base.interrupt import Stop, either, never, polite_stop
from swe.base.lock import in_turn
from swe.base.progress import Bars
from swe.run import loop
from swe.run.speed import SpeedConfig
from swe.run.task import Task

UNITS = {
    "train": "updates",
    "tune": "updates",
    "tokens": "tokens",
    "harvest": "files",
    "hash": "B",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a verb reads and writes, and on what it runs."""

    out: Path
    scale: str
    """Name of the scale; part of the folder's name."""
    device: str
    jobs: int
    """Runs at a time."""
    text: tuple[Path, ...] = ()
    vocab: Path | None = None
    reading: Reading = Reading()  # noqa: RUF009 - frozen
    valid: tuple[Path, ...] = ()
    cased: bool = False
    speed: SpeedConfig = SpeedConfig()  # noqa: RUF009 - frozen
    late: Stop = never
    """Whether the time is up, beside what the signals say."""
    other_code: OtherCode = "refuse"
    """What to do with a study that other code left half done."""

    def folder(
        self,
        parent: Path,
        study: dict[str, Any],
        task: Task,
        half_done: Callable[[Path], bool],
        build: Callable[..., Task] = build_task,
    ) -> Path:
        """Return the folder of a study: by scale, configuration with data and device, code.

        The code is all that a run depends on: the loop, and the module whose function ``build``
        every worker calls.
        What is made of finished runs (a table, a comparison) is made anew by every command.
        """
        config = {"study": study, "data": task.describe()["data"], "on": self.device}
        name = f"{self.scale}-{json_digest(config)[:10]}"
        return keyed_folder(
            parent, name, build.__module__, self.other_code, half_done, loop.__name__
        )


def study_command(study: StudyConfig, place: Place) -> dict[str, float]:
    """Prepare the data, train every run, compare; returns seconds by stage."""
    started = time.perf_counter()
    with Bars(UNITS) as bars, polite_stop() as asked:
        stop = either(asked, place.late)
        data = _prepare(study, place, bars, stop)
        task = build_task(study, data)
        prepared = time.perf_counter() - started
        runs = study.seeds * len(study.arms)
        print_budget(
            f"bert: {runs} runs ({len(study.arms)} arms x {study.seeds} seeds) of {study.steps} "
            "updates",
            task,
            runs * study.steps * study.accumulation,
        )
        out = place.folder(
            place.out / "bert",
            to_dict(study),
            task,
            lambda folder: not (folder / "comparison.json").exists(),
        )
        comparison = run_study(
            study,
            data,
            out,
            device=place.device,
            jobs=place.jobs,
            speed=place.speed,
            report=bars,
            stop=stop,
            warn=bars.say,
        )
    write_json(place.out / "bert" / "current.json", {"folder": out.name})
    print_comparison(comparison)
    return {"data": prepared, "bert": time.perf_counter() - started - prepared}


def table_command(table: str, study: TableStudy, place: Place) -> dict[str, float]:
    """Tune and train the arms of one of the paper's tables; returns seconds by stage."""
    started = time.perf_counter()
    arms_command(
        table,
        study,
        place,
        place.out / "bert" / "tables",
        lambda bars, stop: (build_task, (study, _prepare(study, place, bars, stop))),
    )
    return {table: time.perf_counter() - started}


def language_command(study: LanguageStudy, place: Place) -> dict[str, float]:
    """Tune and train the arms on a language of known truth; returns seconds by stage."""
    started = time.perf_counter()
    arms_command(
        study.language.kind,
        study,
        place,
        place.out / "bert" / "languages",
        lambda bars, stop: (build_language_task, (study,)),
    )
    return {study.language.kind: time.perf_counter() - started}


def rivals_command(study: MethodsStudy, place: Place) -> dict[str, float]:
    """Run all methods at one budget, then the best of them at the others; seconds by stage."""
    started = time.perf_counter()
    table = f"{PREFIX}{study.subject}"

    def run(study: MethodsStudy) -> dict[str, Any]:
        def prepare(bars: Bars, stop: Stop) -> Work:
            if isinstance(study, TextRivals):
                return build_text_rivals, (study, _prepare(study, place, bars, stop))
            return build_rivals_task, (study,)

        return arms_command(table, study, place, place.out / "bert" / "rivals", prepare)

    found = run(replace(study, budgets=(1.0,), best=()))
    if len(study.budgets) > 1:
        run(replace(study, best=study.best or best(found)))
    return {table: time.perf_counter() - started}


def arms_command(
    table: str,
    study: TableStudy,
    place: Place,
    parent: Path,
    prepare: Callable[[Bars, Stop], Work],
) -> dict[str, Any]:
    """Do a table's work in a folder of ``parent``, on what ``prepare`` makes; returns the table."""
    with Bars(UNITS) as bars, polite_stop() as asked:
        stop = either(asked, place.late)
        work = prepare(bars, stop)
        build, given = work
        task = build(*given)
        arms = chosen_arms(table, study)
        updates = (study.trials + study.seeds) * sum(arm.worth(study) for arm in arms)
        print_budget(
            f"{table}: {len(arms)} arms, each {study.trials} tuning runs and {study.seeds} paired "
            f"seeds of {study.steps} updates times its budget",
            task,
            updates * study.accumulation,
        )
        out = place.folder(
            parent,
            shared_settings(study),
            task,
            lambda folder: not is_done(table, study, folder),
            build,
        )
        write_json(parent / f"{table}.json", {"folder": out.name, "scale": place.scale})
        found = run_table(
            table,
            study,
            work,
            out,
            device=place.device,
            jobs=place.jobs,
            speed=place.speed,
            report=bars,
            stop=stop,
            warn=bars.say,
        )
    arms_found = {name: found["arms"][name] for name in found["order"]}
    print_comparison(found | {"arms": {n: a for n, a in arms_found.items() if "loss" in a}})
    return found


def _prepare(study: StudyConfig, place: Place, bars: Bars, stop: Stop) -> StudyData:
    folder = place.out / "data"
    with in_turn(folder, bars.say, stop):
        return prepare_data(
            study,
            folder,
            text=place.text,
            vocabulary_file=place.vocab,
            reading=place.reading,
            valid=place.valid,
            cased=place.cased,
            jobs=place.jobs,
            report=bars,
            say=bars.say,
            stop=stop,
        )


def print_budget(what: str, task: TokenPrediction, batches: float) -> None:
    """Say what is about to be computed, and how long that is at a stated speed."""
    flops = batches * task.flops_per_batch
    print(
        f"{what}, {task.config.parameters / 1e6:.2f} M parameters, {flops:.2e} FLOP in all "
        f"({flops / 4e14 / 3600:.3g} GPU-hours if it sustains 400 TFLOP/s)"
    )


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print every arm's final validation loss and its paired difference to the reference."""
    reference = comparison["reference"]
    print(f"\n{'arm':<14} {'n':>2} {'loss':>8} {'minus ' + reference:>15}  95 % interval, verdict")
    for arm, entry in comparison["arms"].items():
        line = f"{arm:<14} {entry['loss']['n']:>2} {entry['loss']['mean']:>8.4f}"
        gap = entry.get("difference")
        if gap is not None:
            known = gap["low"] is not None
            interval = f"[{gap['low']:+.4f}, {gap['high']:+.4f}]" if known else "none"
            line += f" {gap['mean']:>+15.4f}  {interval}, {verdict_of(comparison, arm)}"
        print(line)
    if words := told(comparison):
        print(words)
