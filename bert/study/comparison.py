"""Run a study: prepare the data once, train every (arm, seed) in worker processes, compare.

Each run uses one thread on the CPU, whatever ``jobs`` is, so results do not depend on how many run
at a time. Everything is resumable: finished runs are kept, interrupted ones continue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bert.data.harvest import harvest
from bert.data.store import MANIFEST_NAME, VOCABULARY_NAME, TokenStore, build_store
from bert.data.text import DataError, Reading, TextFiles
from bert.data.tokenizer_files import open_vocabulary
from bert.data.vocab import SPECIALS, Vocabulary, read_vocabulary, train_vocabulary
from bert.model.start import Start
from bert.pretraining.causal import CausalLanguageTask
from bert.pretraining.next_sentence import NextSentenceTask
from bert.pretraining.task import MaskedLanguageTask, TextTask
from bert.study.arms import REFERENCE, StudyConfig
from bert.study.begun_run import BegunRun
from bert.study.plateau import blind_in, stated
from evidence.comparison import compare
from evidence.plateau import state
from swe.base.config import to_dict
from swe.base.files import json_digest, read_json, read_lines, write_json
from swe.base.interrupt import Stop, attentively, never, stop_if, until
from swe.run.loop import train
from swe.run.pool import Job, Report, run_jobs
from swe.run.record import commits_of
from swe.run.speed import SpeedConfig


@dataclass(frozen=True)
class StudyData:
    """Where the prepared data of a study lies."""

    vocabulary_file: Path
    store: Path
    cased: bool = False


def prepare_data(
    study: StudyConfig,
    folder: Path,
    *,
    text: Iterable[Path] = (),
    vocabulary_file: Path | None = None,
    reading: Reading = Reading(),  # noqa: B008 - frozen
    valid: Sequence[Path] = (),
    cased: bool = False,
    jobs: int = 1,
    report: Report = lambda what, done, total: None,
    say: Callable[[str], None] = lambda line: None,
    stop: Stop = never,
    begun: BegunRun | None = None,
) -> StudyData:
    """Harvest (when no text is given), train or load the vocabulary, build the token store.

    Everything lies in ``folder`` and is reused when it was made from the same inputs. A ``text``
    that is the folder of a finished store (see bert.data) is used as it is, with its vocabulary.
    ``reading`` says how text is read, ``valid`` names a validation text, ``cased`` keeps capital
    letters; ``say`` hears what was passed over, and of rows that were left out. Raises DataError in
    one line for text, stores or vocabularies that cannot be used, Interrupted soon after ``stop()``
    turned true, and ConfigError where a run that was ``begun`` is of another text or vocabulary,
    before a store is built.
    """
    report = _stopping(report, stop)
    sources = list(text)
    if len(sources) == 1 and (sources[0] / MANIFEST_NAME).is_file():
        if valid:
            raise DataError(f"{sources[0]}: a token store has its own validation part; no --valid")
        return _stored(study, sources[0], vocabulary_file, cased)
    if not sources:
        sources = [
            harvest(folder / "docs", jobs=jobs, progress=lambda d, n: report("harvest", d, n))
        ]
    # One for all: its files are hashed once.
    source = TextFiles(sources, reading=reading, vocabulary=vocabulary_file)
    held_out = TextFiles(valid, reading=reading, vocabulary=vocabulary_file) if valid else None
    if source.note:
        say(source.note)
    if begun is not None:
        hashing = partial(report, "hash")
        valid_text = None if held_out is None else held_out.describe(hashing)
        begun.check_text(source.describe(hashing), valid_text)
    vocabulary = _vocabulary(study, folder, source, vocabulary_file, cased, report, stop)
    if begun is not None:
        begun.check_vocabulary(vocabulary)
    saved = folder / f"vocab-{vocabulary.sha256[:12]}.txt"
    if not saved.exists():
        vocabulary.save(saved)
    apart = "-apart" if study.documents == "apart" else ""
    store = folder / f"tokens-{study.length}{apart}"
    built = build_store(
        source,
        vocabulary,
        store,
        length=study.length,
        documents=study.documents,
        valid=held_out,
        hashing=lambda done, total: report("hash", done, total),
        progress=lambda progress: report("tokens", progress.tokens, 0),
    )
    if built.left_out:
        say(built.left_out)
    return StudyData(saved, store, vocabulary.cased)


def _stored(
    study: StudyConfig, folder: Path, vocabulary_file: Path | None, cased: bool
) -> StudyData:
    """Check that a finished store is what the study asks for."""
    given = vocabulary_file or folder / VOCABULARY_NAME
    held = TokenStore.open(folder).manifest.get("cased", False)
    if cased and not held:
        raise DataError(f"{folder}: the store was built of uncased text; leave --cased out")
    manifest = TokenStore.open(folder, read_vocabulary(given, cased=held)).manifest
    for name, wanted in (("length", study.length), ("documents", study.documents)):
        if manifest[name] != wanted:
            raise DataError(f"{folder}: the store has {name} {manifest[name]}, asked for {wanted}")
    return StudyData(given, folder, held)


def _stopping(report: Report, stop: Stop) -> Report:
    """Return ``report`` that then raises Interrupted if there is a reason."""

    def report_or_stop(what: str, done: int, total: int) -> None:
        report(what, done, total)
        stop_if(stop)

    return report_or_stop


def _vocabulary(
    study: StudyConfig,
    folder: Path,
    source: TextFiles,
    given: Path | None,
    cased: bool,
    report: Report,
    stop: Stop,
) -> Vocabulary:
    if given is not None:
        return open_vocabulary(given, cased=cased)
    described = source.describe(lambda done, total: report("hash", done, total))
    of_text = described["fingerprint"]
    how = {name: value for name, value in described.items() if name not in ("files", "fingerprint")}
    if cased or how != Reading().describe():  # read otherwise, it is another text
        of_text = json_digest([described, cased])
    cached = folder / f"trained-{of_text[:12]}-{study.vocabulary}.txt"
    if not cached.exists():
        report("vocabulary", 0, 1)

        def trained(left: Stop) -> Vocabulary:
            return train_vocabulary(until(source.documents(), left), study.vocabulary, cased=cased)

        attentively(trained, stop).save(cached)
        report("vocabulary", 1, 1)
    return read_vocabulary(cached, cased=cased)


def build_task(study: StudyConfig, data: StudyData, start: Start | None = None) -> TextTask:
    """Open the prepared data as a task of the training core; ``start`` also says the shape."""
    vocabulary = read_vocabulary(data.vocabulary_file, cased=data.cased)
    return task_of(study, vocabulary, TokenStore.open(data.store, vocabulary), start)


def planned_task(study: StudyConfig) -> TextTask:
    """Return the task of a study on a text that is not there: its shape, its costs, and one row of
    unknown words. Its vocabulary is as large as the study asks for."""
    words = (f"word{number}" for number in range(study.vocabulary - len(SPECIALS)))
    vocabulary = Vocabulary([*SPECIALS, *words])
    row = np.full((1, study.length), len(SPECIALS), vocabulary.dtype)
    return task_of(study, vocabulary, TokenStore(Path(), row, row, {"length": study.length}))


def task_of(
    study: StudyConfig, vocabulary: Vocabulary, store: TokenStore, start: Start | None = None
) -> TextTask:
    """Return a study's task on the rows of a store."""
    common: dict[str, Any] = {
        "config": study.shape(vocabulary.size) if start is None else start.config,
        "vocabulary": vocabulary,
        "store": store,
        "rows": study.rows,
        "validation_rows": study.validation_rows,
        "start": start,
    }
    if study.objective == "causal":
        return CausalLanguageTask(**common)
    kind = NextSentenceTask if study.pairs == "next-sentence" else MaskedLanguageTask
    return kind(**common, whole_word=study.whole_word)


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Return the folder of one run within a study's folder."""
    return out / f"{arm}-s{seed}"


def run_study(
    study: StudyConfig,
    data: StudyData,
    out: Path,
    *,
    device: str = "cpu",
    jobs: int = 1,
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    report: Report = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train all runs (``jobs`` at a time), write ``comparison.json``, return its content.

    The caller has built the task, so that what is wrong with the data fails in one line and not in
    every worker. ``report("train", updates done, updates in all)`` is called as they go on. When
    ``stop()`` turns true all workers save and end, and Interrupted is raised. A failed run raises
    its own error after the others were asked to stop.
    """
    stated(out, build_task(study, data))
    run_jobs(
        build_task,
        (study, data),
        [
            Job(run_folder(out, arm, seed), study.train_config(arm, seed))
            for seed in range(study.first_seed, study.first_seed + study.seeds)
            for arm in study.arms
        ],
        device=device,
        processes=jobs,
        report=report,
        stop=stop,
        warn=warn,
        run=partial(train, speed=speed.shared_in(out)),
    )
    return write_comparison(study, out)


def write_comparison(study: StudyConfig, out: Path) -> dict[str, Any]:
    """Compare the finished runs of a study and write ``comparison.json`` beside them."""
    seeds = range(study.first_seed, study.first_seed + study.seeds)
    summaries = {
        arm: {seed: read_json(run_folder(out, arm, seed) / "summary.json") for seed in seeds}
        for arm in study.arms
    }
    losses = {
        arm: {seed: summary["valid"]["loss"] for seed, summary in runs.items()}
        for arm, runs in summaries.items()
    }
    arms = compare(losses, REFERENCE)
    for arm, runs in summaries.items():
        events = {
            str(seed): [e["step"] for e in read_lines(run_folder(out, arm, seed) / "events.jsonl")]
            for seed in seeds
        }
        first = runs[study.first_seed]
        arms[arm] |= {
            "accuracy": {str(seed): s["valid"]["accuracy"] for seed, s in runs.items()},
            "seconds": {str(seed): s["seconds"] for seed, s in runs.items()},
            "untied_at": events,
            "steps": first["steps"],
            "tokens": first["tokens"],
            "flops": first["flops"],
            "parameters_at_start": first["parameters_at_start"],
            "parameters_at_end": first["parameters_at_end"],
        }
    environment = read_json(run_folder(out, study.arms[0], study.first_seed) / "environment.json")
    comparison = {
        "study": to_dict(study),
        "reference": REFERENCE,
        "environment": environment,
        "commits": {
            f"{arm}-s{seed}": commits_of(run_folder(out, arm, seed))
            for arm in study.arms
            for seed in seeds
        },
        "arms": arms,
    }
    state(comparison, blind_in(out))
    write_json(out / "comparison.json", comparison)
    return comparison
