"""Train many runs of one task in worker processes, each resumable, each on one thread.

Results do not depend on how many run at a time. A worker saves and ends when its parent is gone or
when it gets a SIGTERM (a scheduler sends one to every process); killed, it fails the call at once.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from swe.base.errors import NonFiniteLossError, WorkerDiedError
from swe.base.interrupt import Interrupted, stop_if
from swe.run.loop import train
from swe.run.run_config import TrainConfig

Report = Callable[[str, int, int], None]
"""Called as report(what, done, total)."""


class WorkerKilledError(WorkerDiedError):
    """A worker process died in the middle of a run; what it had saved is kept."""


@dataclass(frozen=True)
class Job:
    """One run: its folder and all that decides its outcome beside the task."""

    folder: Path
    config: TrainConfig


def run_jobs(
    build: Callable[..., Any],
    arguments: tuple[Any, ...],
    jobs: Sequence[Job],
    *,
    device: str = "cpu",
    processes: int = 1,
    report: Report = lambda what, done, total: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
    what: str = "train",
    diverged: Callable[[Job, str], None] | None = None,
    run: Callable[..., Any] = train,
) -> None:
    """Train all ``jobs``, ``processes`` at a time, each in a worker on ``build(*arguments)``.

    ``build`` must be importable (a function of a module). Finished runs return at once, so a study
    that was stopped goes on. ``report(what, updates done, updates in all)`` follows the workers.
    Raises Interrupted after ``stop()`` turned true and all workers saved, the first failed run's
    own error after the others were asked to stop, or WorkerKilledError if a process died. With
    ``diverged`` given, a run whose loss was not finite is reported there and the others go on: a
    rate that is too high is an answer. ``run`` is what a worker does, by default
    ``swe.run.loop.train``; another must take the same arguments.
    """
    if not jobs:
        return
    steps = {str(job.folder): 0 for job in jobs}
    total = sum(job.config.steps for job in jobs)
    context = multiprocessing.get_context("spawn")
    # No Event: its lock dies with a worker that is killed in is_set(), and all others hang.
    halt, news = context.Value("b", 0, lock=False), context.Queue()
    with ProcessPoolExecutor(
        min(processes, len(jobs)), context, _start_worker, (halt, news, os.getpid())
    ) as pool:
        job_of: dict[Future[None], Job] = {
            pool.submit(_train_one, run, build, arguments, job, device): job for job in jobs
        }
        waiting = set(job_of)
        failure: BaseException | None = None
        killed = False
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            while True:
                try:
                    kind, key, value = news.get_nowait()
                except queue.Empty:
                    break
                if kind == "warning":
                    warn(value)
                else:
                    steps[key] = value
            report(what, sum(steps.values()), total)
            for future in done:
                error = None if future.cancelled() else future.exception()
                if diverged is not None and isinstance(error, NonFiniteLossError):
                    diverged(job_of[future], str(error))
                elif isinstance(error, BrokenProcessPool):
                    killed = True
                elif isinstance(error, Interrupted):
                    halt.value = 1  # also when only that worker was told to stop
                elif error is not None:
                    failure = failure or error
            # Waiting jobs are not cancelled: a pool that breaks with cancelled futures never ends
            # (CPython 3.11). They see the flag and return at once.
            if stop() or failure:
                halt.value = 1
    if failure is not None:
        raise failure
    if killed and not halt.value:
        raise WorkerKilledError(
            f"{jobs[0].folder.parent}: a worker process was killed (out of memory?); what was "
            "saved is kept, and the same command continues it"
        )
    if halt.value:
        raise Interrupted(f"{jobs[0].folder.parent}: stopped; the same command continues it")


_worker: dict[str, Any] = {}


def _start_worker(halt: Any, news: Any, parent: int) -> None:
    """Set up a worker: one thread, no SIGINT of its own (the parent says when), a polite SIGTERM.

    An idle worker ends at a SIGTERM, a training one after it has saved: the executor too sends one
    when another worker died, and waits for this one to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_sigterm)
    torch.set_num_threads(1)
    _worker.update(halt=halt, news=news, parent=parent, training=False, asked=False)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _worker["asked"] = True
    if not _worker["training"]:
        os._exit(128 + number)


def _train_one(
    run: Callable[..., Any],
    build: Callable[..., Any],
    arguments: tuple[Any, ...],
    job: Job,
    device: str,
) -> None:
    news, key = _worker["news"], str(job.folder)

    def told_to_stop() -> bool:
        orphaned = os.getppid() != _worker["parent"]
        return bool(_worker["halt"].value) or _worker["asked"] or orphaned

    _worker["training"] = True
    try:
        stop_if(told_to_stop)
        run(
            build(*arguments),
            job.config,
            job.folder,
            device=device,
            stop=told_to_stop,
            progress=lambda step, row: news.put(("step", key, step)),
            warn=lambda message: news.put(("warning", key, message)),
        )
        news.put(("step", key, job.config.steps))
    finally:
        _worker["training"] = False
        if _worker["asked"]:
            os._exit(128 + signal.SIGTERM)
