"""What all commands share: statuses, one line for an error, options that add up."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert import export
from bert.data import __main__ as data
from bert.data.reading import DataError
from bert.finetune import __main__ as finetune
from bert.finetune import arms
from bert.study import run_parser
from evidence.commands import add_several, ended, joined, settings_of
from swe.base.errors import CheckpointError, ConfigError, SweError
from swe.base.interrupt import ENDING, Interrupted, never, polite_stop, stop_if

ROOT = Path(paper_repro.__file__).parent
STORE = ["text.txt", "--vocab", "v", "--out", "o"]
TUNE = ["--task", "sst-2", "--data", "glue"]

SEVERAL: dict[str, tuple[Callable[[list[str]], Any], list[str], list[str]]] = {
    "paper_repro": (lambda a: paper_repro.parser().parse_args(a), [], ["--text", "--set"]),
    "bert.pretrain": (run_parser.parser().parse_args, ["--arm", "swe-f", "--out", "o"],
                      ["--text", "--set"]),
    "bert.data": (data.parse, STORE, ["--valid"]),
    "bert.finetune": (finetune.parse, ["run", "--data", "g"], ["--task", "--train", "--rates"]),
    "bert.finetune.arms": (arms.parse, ["table1", "--data", "g"], ["--task", "--rates", "--arms"]),
}  # fmt: skip
VALUES = {"--rates": ("1e-3", "2e-3"), "--task": ("sst-2", "rte"), "--set": ("tau=0.2", "unit=2")}


@pytest.mark.parametrize(
    ("command", "option"), [(name, o) for name, (_, _, several) in SEVERAL.items() for o in several]
)
def test_an_option_given_again_adds_up(command: str, option: str) -> None:
    parse, needed, options = SEVERAL[command]
    if option != "--task" and "--task" in options:
        needed = [*needed, "--task", "sst-2"]
    one, other = VALUES.get(option, ("a", "b"))
    given = vars(parse([*needed, option, one, option, other]))[option.strip("-")]
    assert [str(value) for value in given] == [str(v) for v in (
        (float(one), float(other)) if option == "--rates" else (one, other)
    )]  # fmt: skip
    together = vars(parse([*needed, option, one, other]))[option.strip("-")]
    assert together == given


def test_no_option_takes_several_values_and_forgets_some() -> None:
    """Of every parser of the project: one that takes a list must extend it."""
    found = 0
    for path in [ROOT / "paper_repro.py", *(ROOT / "bert").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        for part in text.split("add_argument(")[1:]:
            call = part[: part.find(")\n")]
            if 'nargs="+"' in call:
                found += 1
                raise AssertionError(f"{path}: {call.split(',')[0].strip()}: use add_several")
    assert found == 0


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (None, 0, ""),
        (ConfigError("x = 1: must be 2"), 2, "name: x = 1: must be 2\n"),
        (CheckpointError("torn"), 1, "name: torn\n"),
        (DataError("no words"), 1, "name: no words\n"),
        (OSError(28, "No space left"), 1, "name: [Errno 28] No space left\n"),
        (KeyboardInterrupt(), 130, "\nname: stopped; the same command goes on from here\n"),
        (Interrupted("x"), 130, "\nname: stopped; the same command goes on from here\n"),
    ],
)
def test_status_and_line_of_an_error(
    error: BaseException | None, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(late: object) -> None:
        if error is not None:
            raise error

    assert ended("name", work) == status
    assert capsys.readouterr().err == told


def test_time_is_up(capsys: pytest.CaptureFixture[str]) -> None:
    def work(late: Callable[[], bool]) -> None:
        while not late():
            pass
        raise Interrupted("x")

    assert ended("name", work, minutes=1e-6) == 75
    assert capsys.readouterr().err == "\nname: time is up; the same command goes on from here\n"
    assert ended("name", work, minutes=-1.0) == 2
    assert "--max-minutes = -1.0: must be in (0, " in capsys.readouterr().err


@pytest.mark.parametrize("number", [*ENDING, signal.SIGINT])
@pytest.mark.parametrize("polled", [True, False])
def test_a_signal_ends_it_to_be_gone_on_with(
    number: signal.Signals, polled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resumable but for Ctrl-C, whether something asks for signals at the time or nothing does."""

    def work(late: object) -> None:
        with polite_stop() if polled else nullcontext(never) as asked:
            os.kill(os.getpid(), number)
            stop_if(asked)
        raise AssertionError("went on")

    ctrl_c = number == signal.SIGINT
    assert ended("name", work) == (130 if ctrl_c else 75)
    why = "stopped" if ctrl_c else f"stopped by {number.name}"
    assert capsys.readouterr().err == f"\nname: {why}; the same command goes on from here\n"


def test_a_bug_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        ended("name", lambda late: 1 // 0)


@pytest.mark.parametrize(
    "command", [("paper_repro.py", "--help"), ("-m", "bert.data", "--help"), ("-c", "")]
)
def test_output_that_nobody_reads_ends_quietly(command: tuple[str, ...]) -> None:
    if command[0] == "-c":
        lines = "[print('x' * 999) for _ in range(9999)]"
        program = (
            f"from evidence.commands import ended; exit(ended('n', lambda late: {lines} and 0))"
        )
        command = ("-c", program)
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == (141 if command[0] == "-c" else 0)


def test_settings() -> None:
    pairs = ["tau=0.2", "unit=2", "arms=baseline,swe-f", "size=2x16", "probe=true", "tau=0.2"]
    assert settings_of(pairs, lists=("arms",)) == {
        "tau": 0.2, "unit": 2, "arms": ["baseline", "swe-f"], "size": "2x16", "probe": True,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="--set tau: must be of the form NAME=VALUE"):
        settings_of(["tau"])
    with pytest.raises(ConfigError, match=r"--set tau: is given two values, 0.2 and 0.3"):
        settings_of(["tau=0.2", "tau=0.3"])


def test_an_option_and_a_setting_of_one_name() -> None:
    assert joined({"steps": 5, "size": None}, {"tau": 0.2, "steps": 5}) == {"steps": 5, "tau": 0.2}
    assert joined({"size": None}, {"size": "2x16"}) == {"size": "2x16"}
    with pytest.raises(ConfigError, match=r"--steps 5 and --set steps=6: leave one of them out"):
        joined({"steps": 5}, {"steps": 6})


def test_several_of_another_type() -> None:
    parser = argparse.ArgumentParser()
    add_several(parser, "--rates", type=float)
    assert parser.parse_args([]).rates == []
    assert parser.parse_args(["--rates", "1", "2", "--rates", "3"]).rates == [1.0, 2.0, 3.0]
    assert parser.parse_args([]).rates == []


def test_every_error_of_ours_has_a_status() -> None:
    def below(kind: type[SweError]) -> set[type[SweError]]:
        return {kind, *(k for child in kind.__subclasses__() for k in below(child))}

    assert {kind.status for kind in below(SweError)} == {1, 2}


def test_export_refuses_its_own_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main([str(tmp_path), str(tmp_path)]) == 2
    assert "is the run itself" in capsys.readouterr().err
