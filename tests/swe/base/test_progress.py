"""Progress in a log: few lines, and each says how far and how long; on a terminal a bar."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from swe.base.progress import EVERY, Bars


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def log(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Bars({"train": "updates"}, terminal=False, clock=clock) as bars:
        for step in range(1001):
            bars("train", step, 1000)
            clock.now += 0.5
    lines = log(capsys)
    assert len(lines) == 1 + 500 // EVERY + 1
    assert lines[0] == "train: 0 of 1000, 0 % updates"
    assert lines[1] == "train: 60 of 1000, 6 % updates, about 8 min left"
    assert lines[-1] == "train: 1000 of 1000, 100 % updates"


def test_what_ends_between_two_lines_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Bars({"hash": "B", "tokens": "examples"}, terminal=False, clock=clock) as bars:
        bars("hash", 5, 2_500_000)
        bars("hash", 2_500_000, 2_500_000)
        bars("tokens", 3, 0)
        bars("tokens", 9, 0, "0.1 M tokens")
        bars("tokens", 2, 0)  # less than before: another one
    assert log(capsys) == [
        "hash: 0.0 MB of 2.5 MB, 0 %",
        "hash: 2.5 MB of 2.5 MB, 100 %",
        "tokens: 3 examples",
        "tokens: 9 examples (0.1 M tokens)",
        "tokens: 2 examples",
    ]


def test_earlier_work_is_no_part_of_the_speed(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Bars({}, terminal=False, clock=clock) as bars:
        bars("train", 900, 1000)
        clock.now = 50.0
        bars("train", 950, 1000)
    assert log(capsys)[1] == "train: 950 of 1000, 95 % steps, about 50 s left"


def test_quiet_says_nothing_and_a_log_needs_no_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with Bars({}, quiet=True) as bars:
        bars("train", 1, 2)
    assert log(capsys) == []
    with Bars({}, terminal=False) as bars:
        bars("train", 1, 2)
        bars.say("a warning")
    assert capsys.readouterr().out == "a warning\n"


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars({"train": "updates"}, terminal=True) as bars:
        bars("train", 0, 2)
        bars("train", 2, 2, "done")
    told = capsys.readouterr().err
    assert "train: 100%" in told
    assert "done" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_a_closed_terminal_ends_the_showing_alone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        tried = 0

        def write(self, text: str) -> int:
            Closed.tried += 1
            raise OSError(errno.EIO, "Input/output error")

    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Closed())
    with Bars({}, terminal=terminal) as bars:
        bars("train", 1, 2)
        tried = Closed.tried
        bars("train", 2, 2)
        bars.say("a warning")
    assert tried > 0


def test_who_reads_no_more_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with Bars({}, terminal=False) as bars, pytest.raises(BrokenPipeError):
        bars.say("a warning")
