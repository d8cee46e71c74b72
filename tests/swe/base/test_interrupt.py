"""Reasons to stop: time that is up ends a run with a checkpoint, and the same call goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from swe.base.errors import ConfigError
from swe.base.interrupt import (
    ENDING,
    Deadline,
    Interrupted,
    Stop,
    Told,
    attentively,
    either,
    last_signal,
    never,
    polite_stop,
    told_at_once,
    until,
)
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


@pytest.mark.parametrize("number", [signal.SIGINT, *ENDING])
def test_signals_are_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with polite_stop() as asked:
        assert not asked()
        os.kill(os.getpid(), number)
        assert asked()
        assert asked.signal == last_signal() == number
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with told_at_once(), polite_stop() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not asked()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", ENDING)
def test_where_nothing_polls_a_signal_is_told_at_once(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def work() -> None:
        with told_at_once():
            assert last_signal() is None
            with polite_stop() as asked:
                os.kill(os.getpid(), number)
                assert asked(), "noted where something polls"
            os.kill(os.getpid(), number)

    with pytest.raises(Told, match=number.name):
        work()
    assert last_signal() == number
    assert signal.getsignal(number) is before


def test_a_long_call_is_left_when_asked() -> None:
    ended = threading.Event()

    def work(left: Stop) -> None:
        while not left():
            time.sleep(0.001)
        ended.set()

    asked = iter((False, False, True))
    with pytest.raises(Interrupted):
        attentively(work, lambda: next(asked), every=0.001)
    assert ended.wait(10)
    assert attentively(lambda left: 7, never) == 7
    with pytest.raises(ZeroDivisionError):
        attentively(lambda left: 1 // 0, never)


def test_items_end_when_asked() -> None:
    asked = iter((False, False, True))
    items = until("abc", lambda: next(asked))
    assert [next(items), next(items)] == ["a", "b"]
    with pytest.raises(Interrupted):
        next(items)
