"""Checkpoints by the clock: when they are due, and that they change no bit of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swe.base.errors import ConfigError
from swe.base.interrupt import Interrupted
from swe.run.due import MINUTES, SHARE, Due
from swe.run.loop import train
from swe.run.speed import SpeedConfig
from tests.swe.run import crash

ALWAYS = SpeedConfig(checkpoint_minutes=1e-9)
"""Due before every update."""


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def due_after(due: Due, clock: Clock) -> float:
    """Seconds from now until it is due, to a tenth."""
    begun, waited = clock.now, 0.0
    while not due():
        waited += 0.1
        clock.now = begun + waited
    return round(waited, 1)


def save(due: Due, clock: Clock, seconds: float) -> None:
    with due.saving():
        clock.now += seconds


@pytest.mark.parametrize(
    ("minutes", "took", "seconds"),
    [
        (None, 1.0, 60 * MINUTES),
        (None, 26.0, 26.0 / SHARE),  # BERT-large on a slow disk: 2 % of the time, not 4
        (2.0, 26.0, 120.0),  # asked for is asked for
        (0.01, 26.0, 0.6),
    ],
)
def test_due_counts_from_the_last_checkpoint(
    minutes: float | None, took: float, seconds: float
) -> None:
    clock = Clock()
    due = Due(minutes, clock=clock)
    first = 60 * MINUTES if minutes is None else 60 * minutes
    assert due_after(due, clock) == pytest.approx(first, abs=0.2)
    save(due, clock, took)
    assert not due()
    assert due_after(due, clock) == pytest.approx(seconds, abs=0.2)


def test_saving_at_every_update_changes_no_bit(tmp_path: Path) -> None:
    """SWE-M with splits, probes and dropout; and what a kill leaves is the update before it."""
    rare = replace(crash.SPLITTING, checkpoint_interval=1000)
    train(crash.TASK, rare, tmp_path / "rare")
    train(crash.TASK, rare, tmp_path / "often", speed=ALWAYS)
    expected = crash.outcome(tmp_path / "rare")
    assert not crash.differences(crash.outcome(tmp_path / "often"), expected)
    killed = tmp_path / "killed"

    def kill(step: int, row: object) -> None:
        if step >= 14:
            raise KeyboardInterrupt  # nothing of the loop gets to run after it

    with pytest.raises(KeyboardInterrupt):
        train(crash.TASK, rare, killed, speed=ALWAYS, progress=kill)
    saved = sorted(path.name for path in (killed / "checkpoints").glob("step-*"))
    assert saved == ["step-00000012", "step-00000013"]
    train(crash.TASK, rare, killed)
    assert not crash.differences(crash.outcome(killed), expected)


def test_nothing_is_due_in_a_short_run(tmp_path: Path) -> None:
    """The default changes no folder of a run of minutes: share and unties alone save."""
    asked = iter([False] * 9 + [True])
    config = replace(crash.SPLITTING, checkpoint_interval=4)
    with pytest.raises(Interrupted):
        train(crash.TASK, config, tmp_path / "run", stop=lambda: next(asked))
    saved = {path.name for path in (tmp_path / "run/checkpoints").glob("step-*")}
    assert saved == {"step-00000008", "step-00000009"}


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_minutes_are_refused_by_name(minutes: float) -> None:
    with pytest.raises(ConfigError, match=r"checkpoint-minutes = .*: must be in \(0, "):
        SpeedConfig(checkpoint_minutes=minutes)
