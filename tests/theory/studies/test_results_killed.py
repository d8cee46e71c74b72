"""A worker that the system kills ends the results with one line; nothing hangs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from swe.base.errors import WorkerDiedError
from tests.processes import LIMIT, children
from theory.studies.results import compute_missing


def test_a_killed_worker_is_told_and_the_others_end(tmp_path: Path) -> None:
    before = set(children(os.getpid()))

    def kill() -> bool:
        for worker in set(children(os.getpid())) - before:
            os.kill(worker, signal.SIGKILL)
            break
        return False

    with pytest.raises(WorkerDiedError, match=r"a worker process was killed .* continues it"):
        compute_missing(tmp_path, ["theory"], 0, "smoke", 2, stop=kill)
    until = time.monotonic() + LIMIT
    while not set(children(os.getpid())) <= before:  # the executor ends them in the background
        assert time.monotonic() < until, "a worker is left over"
        time.sleep(0.05)
