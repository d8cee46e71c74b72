"""Reasons to stop: time that is up ends a run with a checkpoint, and the same call goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from swe.base.errors import ConfigError
from swe.base.interrupt import Deadline, Interrupted, either, never, polite_stop
from swe.run.loop import train
from tests.swe.run import crash


class Clock:
    """Seconds that pass by one a look, so that a deadline is a number of looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_deadline_counts_from_its_making() -> None:
    clock = Clock()
    late = Deadline(2 / 60, clock=clock)  # made at 1, ends at 3
    assert [late() for _ in range(3)] == [False, True, True]
    assert late.left() == 3.0 - clock.now


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 1e9, True])
def test_impossible_times_are_refused_by_name(minutes: float) -> None:
    with pytest.raises(ConfigError, match=r"--max-minutes = .*: must be in \(0, "):
        Deadline(minutes, name="--max-minutes")


def test_reasons_join() -> None:
    assert not either(never, never)()
    assert either(never, lambda: True)()
    assert not either()()


def test_a_run_in_pieces_of_any_length_ends_as_the_whole_one(tmp_path: Path) -> None:
    """Five updates a piece: each ends with a checkpoint of its last update, none is repeated."""
    train(crash.TASK, crash.SPLITTING, tmp_path / "whole")
    pieces, stopped = tmp_path / "pieces", []
    while not (pieces / "summary.json").exists():
        try:
            late = Deadline(6 / 60, clock=Clock())
            train(crash.TASK, crash.SPLITTING, pieces, stop=late)
        except Interrupted as reason:
            stopped.append(str(reason).rsplit(" ", 1)[1])
            step = int(stopped[-1])
            assert (pieces / "checkpoints" / f"step-{step:08d}" / "state.json").exists()
    assert stopped == ["5", "10", "15", "20"]
    assert not crash.differences(crash.outcome(pieces), crash.outcome(tmp_path / "whole"))


def test_signals_are_noted_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with polite_stop() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before
