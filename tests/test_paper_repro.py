"""The command: bad arguments in one line, skipping, interruption, the same numbers twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import paper_repro
from swe.base.files import read_json

ROOT = Path(paper_repro.__file__).parent
SMOKE = ("--scale", "smoke", "--jobs", "2")


def run(*arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "paper_repro.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
    )


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The error output, which must be exactly one line with the program's name."""
    text = capsys.readouterr().err.strip().splitlines()
    text = [line for line in text if not line.startswith("usage:") and "|" not in line]
    named = [line for line in text if line.startswith("paper_repro.py: ")]
    assert len(named) == 1, text
    return named[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tehory"], "verb 'tehory': must be one of theory, toy, bert"),
        (["clean", "theory"], "clean: stands alone"),
        (["--seed", "-1"], "--seed = -1: must be an integer, at least 0"),
        (["--jobs", "-3"], "--jobs = -3"),
        (["--scale", "huge"], "invalid choice: 'huge'"),
        (["--set", "tau"], "--set tau: must be of the form NAME=VALUE"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--prefetch", "-1"], "--prefetch = -1: must be"),
        (["--max-minutes", "0"], "--max-minutes = 0.0: must be in (0, "),
        (["--max-minutes", "-3"], "--max-minutes = -3.0: must be in (0, "),
        (["--max-minutes", "nan"], "--max-minutes = nan: must be in (0, "),
        (["theory", "table1", "--scale", "gpu"], "--scale gpu: only for table1"),
        (["--scale", "gpu"], "--scale gpu: only for table1"),
        (["--scale", "demo"], "--scale demo: only for languages, not for all"),
        (["languages", "toy", "--scale", "demo"], "demo: only for languages, not for toy"),
    ],
)
def test_bad_arguments_end_with_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Argparse's own refusals exit; ours return."""
    try:
        status: object = paper_repro.main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bert", "--size", "huge"], "size = 'huge': must be one of tiny"),
        (["bert", "--steps", "0"], "steps = 0: must be an integer, at least 1"),
        (["bert", "--seeds", "0"], "seeds = 0"),
        (["bert", "--set", "unit=4"], "unit = 4: must be a divisor of depth 6"),
        (["bert", "--set", "tau=1.5"], "until = 1.5: must be in (0, 1)"),
        (["bert", "--set", "taux=1.5"], "taux = 1.5: must be absent; known: ["),
        (["bert", "--set", "rows=eight"], "rows = 'eight': must be of type int"),
        (["bert", "--set", "arms=baseline,sharing"], "arms = 'sharing': must be one of baseline"),
        (["bert", "--scale", "full"], "--text = nothing: must be given at scale full"),
        (["table1", "--scale", "full"], "--text = nothing: must be given at scale full"),
        (["table3", "--set", "rates=2e-3,1e-3"], "must be ascending"),
        (["table4", "--set", "tuning_seeds=0"], "tuning_seeds = 0"),
        (["speedup", "--size", "6x30x2"], "size = '6x30x2'"),
    ],
)
def test_impossible_values_end_with_status_2_and_write_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert paper_repro.main([*arguments, "--out", str(out)]) == 2
    assert message in one_line(capsys)
    assert not out.exists()


def test_an_output_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert paper_repro.main(["claims", "--out", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be written" in one_line(capsys)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "text.txt"),
        (b"", "text.txt"),
        (b"\x00\x01binary\x00", "text.txt"),
        ("caf\xe9 au lait".encode("latin-1"), "text.txt"),
    ],
)
def test_text_that_cannot_be_used(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    if content is not None:
        text.write_bytes(content)
    arguments = ["bert", "--scale", "smoke", "--text", str(text), "--out", str(tmp_path / "out")]
    assert paper_repro.main(arguments) == 1
    assert message in one_line(capsys)
    assert not list((tmp_path / "out").rglob("summary.json"))


def test_a_vocabulary_without_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("some words\n\nmore words\n")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nword\n")
    status = paper_repro.main(
        [
            "bert",
            "--scale",
            "smoke",
            "--text",
            str(tmp_path / "text.txt"),
            "--vocab",
            str(tmp_path / "vocab.txt"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert status == 1
    assert "[MASK]" in one_line(capsys)


def test_clean_removes_only_what_the_program_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results in a project's folder: the project stays, byte for byte, and is named."""
    project = tmp_path / "project"
    (project / "theory").mkdir(parents=True)
    (project / "thesis.txt").write_text("years of work")
    (project / "theory" / "notes.txt").write_text("more years")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.txt").write_text("not here")
    (project / "linked").symlink_to(elsewhere)
    assert paper_repro.main(["clean", "--out", str(project)]) == 2
    assert "not a results folder" in capsys.readouterr().err
    assert paper_repro.main(["claims", "--out", str(project)]) == 0
    assert (project / "claims.json").exists()
    (project / "later.txt").write_text("added after")
    assert paper_repro.main(["clean", "--out", str(project)]) == 0
    assert "left: later.txt, linked, theory, thesis.txt" in capsys.readouterr().out
    assert {path.name for path in project.iterdir()} == {
        "later.txt", "linked", "theory", "thesis.txt",
    }  # fmt: skip
    assert (project / "theory" / "notes.txt").read_text() == "more years"
    assert (elsewhere / "data.txt").read_text() == "not here"
    mine = tmp_path / "mine"
    assert paper_repro.main(["claims", "--out", str(mine)]) == 0
    assert paper_repro.main(["clean", "--out", str(mine)]) == 0
    assert not mine.exists()
    assert paper_repro.main(["clean", "--out", str(mine)]) == 0


@pytest.mark.parametrize("where", [".", "theory", "records/mine", "tests/../bert"])
def test_an_output_among_the_sources_is_refused(
    where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert paper_repro.main(["claims", "--out", str(ROOT / where)]) == 2
    assert "belongs to the program itself" in one_line(capsys)


def test_an_output_inside_the_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("some words")
    for out in ("text", "text/results"):
        status = paper_repro.main(
            ["bert", "--text", str(tmp_path / "text"), "--out", str(tmp_path / out)]
        )
        assert status == 2
        told = one_line(capsys)
        assert "which is read" in told or "is also read" in told
    assert [path.name for path in (tmp_path / "text").iterdir()] == ["a.txt"]


def numbers(out: Path) -> dict[str, object]:
    """All results that must not depend on when, or how often interrupted, they were made."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*.json")):
        name = str(path.relative_to(out))
        if name.startswith(("theory/", "toy/")):
            found[name] = read_json(path)["data"]
        elif name.endswith("summary.json"):
            clock = ("seconds", "peak_memory_bytes")
            found[name] = {k: v for k, v in read_json(path).items() if k not in clock}
    if (out / "claims.json").exists():
        found["claims"] = read_json(out / "claims.json")
    return found


def wait_for(pattern: str, out: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a result file is there, so that the interruption falls into the work."""
    for _ in range(1200):
        if list(out.glob(pattern)):
            return
        assert process.poll() is None, "ended before it could be interrupted"
        time.sleep(0.1)
    raise AssertionError(f"{pattern} never came")


@pytest.fixture
def text(tmp_path: Path) -> tuple[str, ...]:
    """Options that name a small text: reading the default one takes as long as all the training."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(300)]
    documents = [" ".join(rng.choice(words, size=60)) for _ in range(1500)]
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "text.txt").write_text("\n\n".join(documents))
    return ("--text", str(tmp_path / "words"))


def summaries(out: Path) -> list[Path]:
    """Of all runs on text."""
    return list(out.glob("bert/*/*/summary.json"))


@pytest.mark.slow
def test_runs_are_skipped_and_an_interrupted_one_ends_the_same(
    text: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    asked = (*SMOKE, *text, "--set", "arms=baseline,swe-f")
    first = run("bert", "claims", *asked, "--out", str(one))
    assert first.returncode == 0, first.stderr
    assert "\nTAB1-F " in first.stdout
    before = {p: p.stat().st_mtime_ns for p in summaries(one)}
    assert len(before) == 4
    assert paper_repro.main(["bert", *asked, "--out", str(one)]) == 0
    assert {p: p.stat().st_mtime_ns for p in summaries(one)} == before

    process = subprocess.Popen(
        [sys.executable, "paper_repro.py", "bert", *asked, "--out", str(two)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for("bert/*/*/metrics.jsonl", two, process)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal's Ctrl-C does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert len(summaries(two)) < 4
    for options in (("bert", *asked), ("theory", *SMOKE)):
        capsys.readouterr()
        late = [*options, "--out", str(two), "--max-minutes", "0.02"]
        assert paper_repro.main(late) == 75
        told = "paper_repro.py: time is up; the same command goes on from here"
        assert told in capsys.readouterr().err
    final = run("bert", *asked, "--out", str(two))
    assert final.returncode == 0, final.stderr
    names = {str(path.relative_to(one)) for path in summaries(one)}
    ends = [{k: v for k, v in numbers(out).items() if k in names} for out in (one, two)]
    assert len(ends[0]) == 4
    assert json.dumps(ends[0], sort_keys=True) == json.dumps(ends[1], sort_keys=True)


@pytest.mark.slow
def test_a_whole_smoke_run_is_complete(tmp_path: Path) -> None:
    """The default verbs and the default text, from nothing to the report."""
    out = tmp_path / "out"
    first = run(*SMOKE, "--out", str(out))
    assert first.returncode == 0, first.stderr
    assert (out / "report" / "index.html").exists()
    assert str(out / "report" / "index.html") in first.stdout
    for identity in ("LEM1", "THM1", "THM2", "THM3", "THM4", "REM1", "TAB1-F"):
        assert f"\n{identity} " in first.stdout
    assert len(summaries(out)) == 10
    assert len(list(out.glob("bert/languages/*/runs/*/summary.json"))) == 12
    words = {claim["id"]: claim for claim in read_json(out / "claims.json")}
    for kind in ("composition", "hierarchy"):
        assert f"{kind}: 3 arms, each 0 tuning runs and 2 paired seeds" in first.stdout
        claim = words[f"LANG-{kind.upper()}"]
        assert "demonstration, 2 seeds" in claim["evidence"] + claim["qualifier"]
        assert read_json(out / "figures" / f"bert_{kind}.json")["title"].startswith("The main arms")
    assert {"composition", "hierarchy"} <= read_json(out / "times.json")["steps"].keys()
    again = run("theory", "toy", "bert", *SMOKE, "--out", str(out))
    assert again.returncode == 0, again.stderr
    assert "all results are there already" in again.stdout


@pytest.mark.slow
def test_theory_and_toys_are_the_same_elsewhere(tmp_path: Path) -> None:
    for name in ("one", "two"):
        done = run("theory", "toy", "claims", *SMOKE, "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    one, two = (numbers(tmp_path / name) for name in ("one", "two"))
    assert len(one) > 20
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
