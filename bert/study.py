"""Run a study: prepare the data once, train every (arm, seed) in worker processes, compare.

Each run uses one thread on the CPU, whatever ``jobs`` is, so results do not depend on how many run
at a time. Everything is resumable: finished runs are kept, interrupted ones continue.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bert.arms import REFERENCE, StudyConfig
from bert.harvest import harvest
from bert.store import TokenStore, build_store
from bert.task import MaskedLanguageTask
from bert.text import documents, fingerprint
from bert.vocab import Vocabulary, load_vocabulary, train_vocabulary
from training.comparison import compare
from training.config import to_dict
from training.files import read_json, read_lines, write_json
from training.loop import Interrupted, train

Report = Callable[[str, int, int], None]
"""Called as report(what, done, total)."""


@dataclass(frozen=True)
class StudyData:
    """Where the prepared data of a study lies."""

    vocabulary_file: Path
    store: Path


def prepare_data(
    study: StudyConfig,
    folder: Path,
    *,
    text: Iterable[Path] = (),
    vocabulary_file: Path | None = None,
    jobs: int = 1,
    report: Report = lambda what, done, total: None,
) -> StudyData:
    """Harvest (when no text is given), train or load the vocabulary, build the token store.

    Everything lies in ``folder`` and is reused when it was made from the same inputs. Raises
    DataError in one line for text or vocabularies that cannot be used.
    """
    sources = list(text)
    if not sources:
        sources = [
            harvest(folder / "docs", jobs=jobs, progress=lambda d, n: report("harvest", d, n))
        ]
    vocabulary = _vocabulary(study, folder, sources, vocabulary_file, report)
    saved = folder / f"vocab-{vocabulary.sha256[:12]}.txt"
    if not saved.exists():
        vocabulary.save(saved)
    store = folder / f"tokens-{study.length}"
    build_store(
        sources, vocabulary, store, length=study.length,
        progress=lambda found, tokens: report("tokens", tokens, 0),
    )  # fmt: skip
    return StudyData(saved, store)


def _vocabulary(
    study: StudyConfig, folder: Path, sources: list[Path], given: Path | None, report: Report
) -> Vocabulary:
    if given is not None:
        return load_vocabulary(given)
    key = f"{fingerprint(sources)[:12]}-{study.vocabulary}"
    cached = folder / f"trained-{key}.txt"
    if not cached.exists():
        report("vocabulary", 0, 1)
        train_vocabulary(documents(sources), study.vocabulary).save(cached)
        report("vocabulary", 1, 1)
    return load_vocabulary(cached)


def build_task(study: StudyConfig, data: StudyData) -> MaskedLanguageTask:
    """Open the prepared data as a task of the training core."""
    vocabulary = load_vocabulary(data.vocabulary_file)
    return MaskedLanguageTask(
        study.shape(vocabulary.size), vocabulary, TokenStore.open(data.store, vocabulary),
        study.rows, study.whole_word, study.validation_rows,
    )  # fmt: skip


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
    report: Report = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train all runs (``jobs`` at a time), write ``comparison.json``, return its content.

    ``report("train", updates done, updates in all)`` is called as the workers go on. When
    ``stop()`` turns true all workers save and end, and Interrupted is raised. A failed run raises
    its own error after the others were asked to stop.
    """
    build_task(study, data)  # fail here, in one line, rather than in every worker
    pending = [
        (arm, seed)
        for seed in range(study.first_seed, study.first_seed + study.seeds)
        for arm in study.arms
    ]
    total = len(pending) * study.steps
    steps = dict.fromkeys(pending, 0)
    context = multiprocessing.get_context("spawn")
    halt, news = context.Event(), context.Queue()
    with ProcessPoolExecutor(
        min(jobs, len(pending)), context, _start_worker, (halt, news, os.getpid())
    ) as pool:
        futures = {
            pool.submit(_train_one, study, data, run_folder(out, arm, seed), arm, seed, device)
            for arm, seed in pending
        }
        failure: BaseException | None = None
        while futures:
            done, futures = wait(futures, timeout=0.2)
            while True:
                try:
                    kind, key, value = news.get_nowait()
                except queue.Empty:
                    break
                if kind == "warning":
                    warn(value)
                else:
                    steps[key] = value
            report("train", sum(steps.values()), total)
            for future in done:
                error = None if future.cancelled() else future.exception()
                if error is not None and not isinstance(error, Interrupted):
                    failure = failure or error
            if (stop() or failure) and not halt.is_set():
                halt.set()
                for future in futures:
                    future.cancel()
    if failure is not None:
        raise failure
    if halt.is_set():
        raise Interrupted(f"{out}: stopped; the same command continues it")
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
        "arms": arms,
    }
    write_json(out / "comparison.json", comparison)
    return comparison


_worker: dict[str, Any] = {}


def _start_worker(halt: Any, news: Any, parent: int) -> None:
    """Set up a worker: one thread, and no SIGINT of its own: the parent says when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker.update(halt=halt, news=news, parent=parent)


def _train_one(
    study: StudyConfig, data: StudyData, folder: Path, arm: str, seed: int, device: str
) -> None:
    key = (arm, seed)
    news = _worker["news"]

    def orphaned_or_halted() -> bool:
        return bool(_worker["halt"].is_set()) or os.getppid() != _worker["parent"]

    train(
        build_task(study, data), study.train_config(arm, seed), folder,
        device=device, stop=orphaned_or_halted,
        progress=lambda step, row: news.put(("step", key, step)),
        warn=lambda message: news.put(("warning", key, message)),
    )  # fmt: skip
    news.put(("step", key, study.steps))
