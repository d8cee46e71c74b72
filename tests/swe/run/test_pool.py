"""Workers that are told to end, or are killed: nothing hangs, what was saved stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swe.base.interrupt import Interrupted, stop_if
from swe.run.pool import Job, WorkerKilledError, run_jobs
from swe.run.run_config import TrainConfig
from tests.swe.sharing.residual import RegressionTask


def until_told(
    task: Any, config: TrainConfig, folder: Path, *, stop: Callable[[], bool], **_: Any
) -> None:
    """A run that goes on until it is told to stop, and then saves."""
    folder.mkdir()
    (folder / "pid").write_text(str(os.getpid()))
    for _step in range(6000):
        if stop():
            (folder / "saved").touch()
            stop_if(stop)
        time.sleep(0.01)


def pids(folders: list[Path]) -> list[int]:
    """Return the processes of the runs that have begun, none before all have."""
    files = [folder / "pid" for folder in folders]
    if not all(file.exists() and file.read_text() for file in files):
        return []
    return [int(file.read_text()) for file in files]


def run_and_send(
    tmp_path: Path, number: signal.Signals, victims: slice, *, parent_too: bool
) -> None:
    """Run four jobs, two at a time; when two have begun, send their processes a signal."""
    jobs = [Job(tmp_path / name, TrainConfig(steps=1)) for name in "abcd"]
    sent: list[int] = []

    def stop() -> bool:
        if not sent and (found := pids([job.folder for job in jobs[:2]])):
            for pid in found[victims]:
                os.kill(pid, number)
                sent.append(pid)
        return parent_too and bool(sent)

    run_jobs(RegressionTask, (), jobs, processes=2, run=until_told, stop=stop)


def test_a_sigterm_to_every_process_stops_with_all_saved(
    tmp_path: Path,
) -> None:
    with pytest.raises(Interrupted, match="the same command continues"):
        run_and_send(tmp_path, signal.SIGTERM, slice(None), parent_too=True)
    assert {file.parent.name for file in tmp_path.glob("*/saved")} == {"a", "b"}
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_one_killed_worker_ends_the_call_and_the_other_saves(
    tmp_path: Path, number: signal.Signals
) -> None:
    with pytest.raises(WorkerKilledError, match="a worker process was killed"):
        run_and_send(tmp_path, number, slice(1), parent_too=False)
    saved = {file.parent.name for file in tmp_path.glob("*/saved")}
    assert saved == ({"b"} if number == signal.SIGKILL else {"a", "b"})
