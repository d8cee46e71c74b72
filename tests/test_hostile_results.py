"""Result files from a stranger, through the command: one clear line, and nothing outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paper_repro

HOSTILE: dict[str, Any] = {
    "empty": b"",
    "not JSON": b"{'data': os.system('x')}",
    "brackets": b"[" * 100_000,
    "binary": b"\x80\x04\x95pickle",
    "null": b"null",
    "a list": b"[1, 2]",
    "a number": b"1e999",
    "nested wrongly": b'{"data": {"data": []}}',
    "no table": b'{"data": 7, "arms": 7}',
    "infinite": b'{"data": [{"id": Infinity}]}',
    "a class": b'{"__class__": "os.system"}',
    "words": b'{"data": "words"}',
}
FILES = (
    "theory/claims.json",
    "toy/deep_linear.json",
    "toy/teacher_student.json",
    "toy/moments.json",
    "bert/current.json",
    "bert/x/comparison.json",
)


@pytest.mark.parametrize(
    ("file", "content"),
    [(f, c) for f in FILES for c in HOSTILE],
)
def test_a_hostile_result_file_is_one_line(
    file: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 1 and its place named."""
    out = tmp_path / "out"
    path = out / file
    path.parent.mkdir(parents=True)
    path.write_bytes(HOSTILE[content])
    if file.endswith("comparison.json"):
        (out / "bert" / "current.json").write_text(json.dumps({"folder": "x"}))
    status = paper_repro.main(["claims", "--out", str(out)])
    errors = capsys.readouterr().err.strip().splitlines()
    assert status == 1, "no file of these holds what it should"
    [line] = errors
    assert line.startswith("paper_repro.py: ")
    assert len(line) < 1000
    assert str(out / file.split("/")[0]) in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(
    "folder", ["../../secret", "/etc", "..", ".", "", "a/b", "x\0y", ["x"], None]
)
def test_a_pointer_leads_nowhere_outside(
    folder: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A comparison lies where the path points to; it is not looked at."""
    out = tmp_path / "a" / "out"
    for place in (
        tmp_path / "secret",
        out,
        out / "bert",
        tmp_path / "a" / "out" / "bert" / "a" / "b",
    ):
        place.mkdir(parents=True, exist_ok=True)
        (place / "comparison.json").write_text("{}")
    (out / "bert" / "current.json").write_text(json.dumps({"folder": folder}))
    assert paper_repro.main(["claims", "figures", "--out", str(out)]) == 1
    [line] = [x for x in capsys.readouterr().err.splitlines() if x.startswith("paper_repro.py")]
    assert "not the name of a file beside this one" in line


@pytest.mark.parametrize(
    "value",
    [
        "rows=1e400",
        "rows=" + "9" * 5000,
        "depth=../../x",
        "size=../x",
        "steps=" + "[" * 100_000,
        "steps=" + "9" * 400,
        "arms=__import__('os').system('x')",
        "kind=os.system",
        "tau=NaN",
        "peak_lr=Infinity",
        "size=99999999999x64",
        "__class__=os",
        "rows=true",
        "length=-1",
        "seeds={}",
        "warmup=1e-999",
        "vocabulary=" + "9" * 30,
    ],
)
def test_hostile_settings_are_one_line(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused before anything is written. (A number that is only large is a wish, not an error.)"""
    text = tmp_path / "text.txt"
    text.write_text("too little text\n")
    out = tmp_path / "out"
    arguments = ["bert", "--scale", "smoke", "--set", value, "--text", str(text), "--out", str(out)]
    assert paper_repro.main(arguments) in (1, 2)
    lines = capsys.readouterr().err.splitlines()
    [line] = [x for x in lines if x.startswith("paper_repro.py")]
    assert len(line) < 1000
    assert not any("Traceback" in x for x in lines)
