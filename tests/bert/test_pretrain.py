"""The command that trains one run: on one process, on two ranks, and from one to the other."""

from __future__ import annotations

import argparse
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert.data.__main__ import main as build_data
from bert.pretrain import main, pretrain
from bert.study.options import add_speed_options, speed_of
from bert.study.run_parser import parse
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted, never
from swe.base.lock import in_turn
from swe.base.progress import Bars
from swe.run.checkpoint import latest
from tests.command_lines import instead
from tests.processes import interrupt
from tests.swe.ranks.rank_runs import StopAfter
from tests.swe.ranks.ranks import LIMIT, run_ranks

# Float32, and Adam's first steps divide small gradients by themselves: an order of sums that
# differs by 1e-7 of a gradient moved single weights by up to the step size, and the loss by 1e-6.
CLOSE = 1e-4
SETTINGS = [
    "--scale",
    "smoke",
    "--size",
    "3x16",
    "--steps",
    "12",
    "--device",
    "cpu",
    "--arm",
    "swe-f",
    "--set",
    "vocabulary=200",
    "length=16",
    "rows=4",
    "validation_rows=20",
    "tau=0.5",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 300 documents of made-up words."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(150)]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(" ".join(rng.choice(words, size=60)) for _ in range(300)))
    return path


def arguments(text: Path, out: Path, *more: str) -> list[str]:
    return [*SETTINGS, "--jobs", "1", "--text", str(text), "--out", str(out), *more]


def begun(text: Path, out: Path) -> None:
    """Two ranks: four updates, sharded."""
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(text, out, "--parallel", "fsdp")), StopAfter(4))


def continued(text: Path, out: Path) -> None:
    """Two ranks: to the end, replicated.

    In processes of their own, as torchrun would: a second group in one process may read the first
    one's addresses, if that is still referred to, and then waits for ever.
    """
    assert main(arguments(text, out, "--parallel", "ddp", "--prefetch", "1")) == 0


def rows(out: Path, kind: str) -> list[dict[str, Any]]:
    found = read_lines(out / "swe-f-s0" / "metrics.jsonl")
    return [row for row in found if row["kind"] == kind]


@pytest.mark.slow
def test_a_run_may_go_on_on_other_ranks(
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, many = tmp_path / "one", tmp_path / "many"
    assert main(arguments(text, one)) == 0
    said = capsys.readouterr().out
    assert "finished after 12 updates: loss" in said
    assert "\nplateau: best loss blind to context " in said
    assert main(arguments(text, many, "--max-minutes", "1e-9")) == 75
    assert "time is up; the same command goes on" in capsys.readouterr().err
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(text, many)), StopAfter(3))
    run_ranks(2, begun, text, many)
    run_ranks(2, continued, text, many)
    for kind, names in (("train", ("loss", "gradient_norm")), ("valid", ("loss", "accuracy"))):
        pairs = list(zip(rows(one, kind), rows(many, kind), strict=True))
        assert pairs, kind
        for mine, theirs in pairs:
            assert mine["step"] == theirs["step"]
            for name in names:
                assert theirs[name] == pytest.approx(mine[name], rel=CLOSE), (kind, name)
    assert read_json(many / "swe-f-s0" / "environment.json")["parallel"] == "ddp"
    assert read_json(many / "swe-f-s0" / "environment.json")["speed"]["prefetch"] == 1
    assert read_json(one / "swe-f-s0" / "environment.json")["speed"]["compile"] == "none"
    assert main(arguments(text, many)) == 0, "a finished run is not run again"
    blind, theirs = (
        read_json(out / "swe-f-s0" / "summary.json")["plateau"]["blind"] for out in (one, many)
    )
    assert blind == theirs


def test_other_code_continues_a_run_only_when_told_to(
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(text, tmp_path)), (tmp_path / "swe-f-s0/metrics.jsonl").exists)
    folder = tmp_path / "swe-f-s0"
    assert (folder / "config.json").exists()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr("bert.pretrain.code_digest", lambda modules: "c" * 64)
    assert main(arguments(text, tmp_path)) == 2
    [line] = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith(f"bert.pretrain: {folder}: half done by commit ")
    assert "--other-code continue goes on with it, another --out begins again" in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert main(arguments(text, tmp_path, "--other-code", "continue")) == 0
    first, second = read_json(folder / "code.json")["workers"]
    assert first["code"] != second["code"] == "c" * 64
    assert first["commit"] == second["commit"]
    monkeypatch.setattr("bert.pretrain.code_digest", lambda modules: "d" * 64)
    assert main(arguments(text, tmp_path)) == 0, "a finished run is nobody's to continue"


def test_a_signal_while_the_data_are_made_stops_them(text: Path, tmp_path: Path) -> None:
    """While the text is hashed, before a vocabulary; after it; and while the text is encoded."""
    out = tmp_path / "out"
    for until in ("", "data/vocab-*.txt", "data/tokens-16/building.json"):
        with pytest.raises(Interrupted, match="the same command continues"):
            pretrain(parse(arguments(text, out)), lambda: not until or any(out.glob(until)))  # noqa: B023
        assert not (out / "data/tokens-16/store.json").exists()
    assert not (out / "swe-f-s0").exists()
    assert main(arguments(text, out)) == 0


def test_another_vocabulary_does_not_continue_a_run(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        pretrain(parse(arguments(text, out)), (out / "swe-f-s0/metrics.jsonl").exists)
    [trained] = (out / "data").glob("trained-*.txt")
    other = tmp_path / "other.txt"
    other.write_text(trained.read_text("utf-8") + "more\n", "utf-8")
    before = {path: path.read_bytes() for path in (out / "swe-f-s0").rglob("*") if path.is_file()}
    assert main(arguments(text, out, "--vocab", str(other))) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "swe-f-s0: was begun with another --vocab: --vocab as it was goes on with it" in line
    assert {path: path.read_bytes() for path in before} == before
    assert main(arguments(text, out)) == 0


def test_blocks_are_compiled_on_cuda_and_not_on_the_cpu() -> None:
    parser = argparse.ArgumentParser()
    add_speed_options(parser)
    for given, device, mode, prefetch in (
        ([], "cpu", "none", None),
        ([], "cuda", "blocks", None),
        (["--compile", "none"], "cuda", "none", None),
        (["--compile", "model", "--prefetch", "3"], "cpu", "model", 3),
    ):
        speed = speed_of(parser.parse_args(given), device)
        assert (speed.compile, speed.prefetch) == (mode, prefetch)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--size", "0x3"), "size = '0x3': must be one of"),
        (("--set", "no=1"), "no = 1: must be absent; known:"),
        (("--max-minutes", "-1"), "--max-minutes = -1.0: must be in (0"),
        (("--prefetch", "-1"), "prefetch = -1: must be"),
        (("--checkpoint-minutes", "0"), "--checkpoint-minutes = 0.0: must be in (0"),
        (("--parallel", "ddp", "--compile", "model"), "compile = 'model': must be none or blocks"),
        (("--layer-drop", "1"), "--layer-drop: rate = 1.0: must be in [0, 1)"),
        (
            ("--layer-drop", "0.2", "--compile", "model"),
            "compile = 'model': must be none or blocks",
        ),
        (
            ("--layer-drop", "0.2", "--progressive-layer-drop", "0.5"),
            "--layer-drop, --progressive-layer-drop, --sub-models: give one of them alone",
        ),
        (("--sub-models", "1.5"), "--sub-models: layers = 1.5: must be an integer"),
        (("--sub-models", "2"), "layers = 2: must be a divisor of the 3"),
        (("--similarity", "0"), "--similarity: strength = 0.0: must be in (0"),
        (("--parallel", "ddp"), "not set; start with torchrun"),
        (("--set", "steps=1"), "--steps 12 and --set steps=1: leave one of them out"),
        (("--objective", "causal", "--set", "whole_word=true"), "whole_word = True: must be false"),
        (("--set", "first_seed=1"), "--set first_seed=1: is said by --seed; leave it out"),
        (("--set", "arms=swe-a"), "--set arms=swe-a: is said by --arm; leave it out"),
    ],
)
def test_bad_arguments_are_one_clear_line(
    wrong: tuple[str, ...],
    words: str,
    text: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(instead(arguments(text, tmp_path / "out"), wrong)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def long_run(text: Path, out: Path, *more: str) -> list[str]:
    return instead(arguments(text, out, *more), ["--steps", "100000"])


def saved_step(out: Path) -> int:
    found = latest(out / "swe-f-s0/checkpoints", pytest.fail)
    assert found is not None
    return found.step


def test_arms_begun_at_once_wait_for_the_data(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another process is at the data; when it is done, they are there and not made again."""
    out = tmp_path / "out"
    assert main(arguments(text, out)) == 0
    data = {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.*")}
    held, said = threading.Event(), threading.Event()

    def other() -> None:
        with in_turn(out / "data", lambda line: None, never):
            held.set()
            said.wait(LIMIT)

    class Told(Bars):
        def say(self, text: str) -> None:
            super().say(text)
            said.set()

    monkeypatch.setattr("bert.pretrain.Bars", Told)
    thread = threading.Thread(target=other)
    thread.start()
    held.wait(LIMIT)
    assert main(arguments(text, out, "--seed", "1")) == 0
    thread.join()
    assert f"{out}/data: is being made by process " in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (out / "data").rglob("*.*")} == data


def test_one_update_is_too_few_before_any_data(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(instead(arguments(text, tmp_path / "out"), ["--steps", "1"])) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "steps = 1: must be at least 2: swe-f unties after an update" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("RANK", "1", "RANK = 1: is no"), ("RANK", "abc", "'abc'"), ("WORLD_SIZE", "2", "= 2: with")],
)
def test_a_launchers_variable_alone_is_refused(
    name: str,
    value: str,
    told: str,
    text: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert main(arguments(text, tmp_path / "out")) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("per_mille", "part"), [(0, "validation"), (1000, "training")])
def test_a_store_without_a_part_is_refused(
    per_mille: int, part: str, text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    built = ["--vocab-size", "200", "--length", "16", "--per-mille", str(per_mille)]
    assert build_data([str(text), *built, "--out", str(store)]) == 0
    short = {"training": "train", "validation": "valid"}[part]
    assert f"no {short} rows: pre-training refuses this store" in capsys.readouterr().out
    assert main(arguments(store, out)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"store: the store has no {part} rows (--per-mille {per_mille}); build one" in line
    assert not (out / "swe-f-s0").exists()


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGUSR1", marks=pytest.mark.slow)])
def test_a_schedulers_signal_saves_the_run(name: str, text: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def send(group: int) -> None:
        os.killpg(group, signal.Signals[name])

    rows = (out / "swe-f-s0/metrics.jsonl").exists
    ended = interrupt(["-m", "bert.pretrain", *long_run(text, out)], rows, send)
    assert ended.status == 75
    assert f"stopped by {name}; the same command goes on" in ended.errors
    assert "Traceback" not in ended.errors
    assert saved_step(out) > 0


@pytest.mark.slow
def test_a_closed_terminal_saves_the_run(text: Path, tmp_path: Path) -> None:
    """The kernel's own SIGHUP, after which every word to the terminal is an error."""
    out = tmp_path / "out"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        os.execv(sys.executable, [sys.executable, "-m", "bert.pretrain", *long_run(text, out)])
    until = time.monotonic() + LIMIT
    while not (out / "swe-f-s0/metrics.jsonl").exists() and time.monotonic() < until:
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 1 << 16)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    assert saved_step(out) > 0


def test_a_signal_while_a_vocabulary_is_trained(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the one long call of a library that asks for no reason to stop."""
    out, release = tmp_path / "out", threading.Event()

    def endless(documents: object, size: int, *, cased: bool) -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        release.wait(LIMIT)
        raise AssertionError("waited for")

    with monkeypatch.context() as patch:
        patch.setattr("bert.study.comparison.train_vocabulary", endless)
        assert main(arguments(text, out)) == 75
    release.set()
    assert "stopped by SIGUSR2; the same command goes on" in capsys.readouterr().err
    assert not list((out / "data").glob("*.txt"))
    assert main(arguments(text, out)) == 0


@pytest.mark.slow
def test_torchrun_runs_the_command(text: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "bert.pretrain",
        *arguments(text, tmp_path / "out", "--parallel", "fsdp"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished after 12 updates") == 1, "rank 0 alone speaks"
    timed = subprocess.run(
        [*command, "--seed", "1", "--max-minutes", "1e-9"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert timed.returncode == 0, timed.stderr
    assert "time is up" in timed.stderr
