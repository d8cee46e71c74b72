"""Train many runs of one task in worker processes, each resumable, each on one thread.

Results do not depend on how many run at a time. A worker saves and ends when its parent is gone or
when it gets a SIGTERM (a scheduler sends one to every process); killed, it fails the call at once.
One that cannot save in the minute after its parent's death ends without.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from swe.base.errors import NonFiniteLossError, WorkerDiedError
from swe.base.interrupt import Interrupted, stop_if
from swe.base.workers import Workers, tell
from swe.run.loop import train
from swe.run.run_config import TrainConfig

Report = Callable[[str, int, int], None]
"""Called as report(what, done, total)."""


_SECONDS_TO_SAVE = 60.0


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
    # No Event: its lock dies with a worker that is killed in is_set(), and all others hang.
    halt = multiprocessing.get_context("spawn").Value("b", 0, lock=False)
    failure: BaseException | None = None
    killed = stopped = False

    def look() -> None:
        nonlocal stopped
        while not workers.told.empty():
            kind, key, value = workers.told.get()
            if kind == "warning":
                warn(value)
            else:
                steps[key] = value
        report(what, sum(steps.values()), total)
        stopped = stopped or stop()
        if stopped:
            halt.value = 1

    one = partial(_train_one, run, build, arguments, device)
    count = min(processes, len(jobs))
    with Workers(count, _start_worker, one, halt, os.getpid(), grace=_SECONDS_TO_SAVE) as workers:
        for job, future in workers.outcomes(jobs, look):
            error = future.exception()
            if diverged is not None and isinstance(error, NonFiniteLossError):
                diverged(job, str(error))
                continue
            if isinstance(error, WorkerDiedError):
                killed = True
            elif isinstance(error, Interrupted):
                stopped = stopped or not (killed or failure)  # that worker alone was told to stop
            elif error is not None:
                failure = failure or error
            # The jobs that wait see the flag and return at once.
            if error is not None:
                halt.value = 1
        look()
    if failure is not None:
        raise failure
    if killed and not stopped:
        raise WorkerKilledError(
            f"{jobs[0].folder.parent}: a worker process was killed (out of memory?); what was "
            "saved is kept, and the same command continues it"
        )
    if stopped:
        raise Interrupted(f"{jobs[0].folder.parent}: stopped; the same command continues it")


class _Asked:
    """What a worker has been told by a SIGTERM of its own (a scheduler sends one to every process).

    An idle worker ends at it, a training one after it has saved.
    """

    def __init__(self) -> None:
        self.training = self.asked = False
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self.training:
            os._exit(128 + number)

    def __enter__(self) -> None:
        self.training = True

    def __exit__(self, *error: object) -> None:
        self.training = False
        if self.asked:
            os._exit(128 + signal.SIGTERM)


def _start_worker(one: Callable[..., None], halt: Any, parent: int) -> Callable[[Job], None]:
    """Set up a worker: one thread, and three ways to be told to stop."""
    torch.set_num_threads(1)
    own = _Asked()

    def told_to_stop() -> bool:
        return bool(halt.value) or own.asked or os.getppid() != parent

    def work(job: Job) -> None:
        with own:
            one(job, told_to_stop)

    return work


def _train_one(
    run: Callable[..., Any],
    build: Callable[..., Any],
    arguments: tuple[Any, ...],
    device: str,
    job: Job,
    told_to_stop: Callable[[], bool],
) -> None:
    key = str(job.folder)
    stop_if(told_to_stop)
    run(
        build(*arguments),
        job.config,
        job.folder,
        device=device,
        stop=told_to_stop,
        progress=lambda step, row: tell(("step", key, step)),
        warn=lambda message: tell(("warning", key, message)),
    )
    tell(("step", key, job.config.steps))
