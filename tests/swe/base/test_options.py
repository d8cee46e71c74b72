"""No value of an option replaces another in silence; what is wrong takes one line."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import pytest

from swe.base.options import Parser

ROOT = Path(__file__).resolve().parents[3]


def parser() -> argparse.ArgumentParser:
    line = Parser(prog="command")
    line.add_argument("verbs", nargs="*", default=["all"])
    line.add_argument("--steps", type=int)
    group = line.add_argument_group("more")
    group.add_argument("-s", "--scale", action="store", choices=("small", "large"), dest="size")
    group.add_argument("--anew", action="store_true")
    exclusive = line.add_mutually_exclusive_group()
    exclusive.add_argument("--pages", nargs="+")
    exclusive.add_argument("--none", action="store_const", const=1)
    return line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--steps 1 --steps 2", "argument --steps: given twice, 1 and 2: leave one of them out"),
        ("--steps=1 --ste 2", "argument --steps: given twice, 1 and 2"),
        ("--scale small -s large", "argument -s/--scale: given twice, small and large"),
        ("--pages a b --pages a c", "argument --pages: given twice, ['a', 'b'] and ['a', 'c']"),
        ("--steps x", "argument --steps: invalid int value: 'x'"),
        ("--what", "unrecognized arguments: --what"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(words.split())
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"command: {told}")
    assert line.endswith("(--help tells what there is)")


def test_the_same_value_twice_is_one() -> None:
    line = parser()
    for _ in range(2):  # a parser may be used again, for other words
        found = line.parse_args(
            ["a", "b", "--steps", "1", "--steps", "1", "--anew", "--anew", "-s", "small"]
        )
        assert vars(found) == {
            "verbs": ["a", "b"], "steps": 1, "size": "small", "anew": True, "pages": None,
            "none": None,
        }  # fmt: skip
        assert line.parse_args(["--steps", "2"]).steps == 2
    assert vars(line.parse_args([]))["verbs"] == ["all"]


def test_what_is_not_itself_is_given_once() -> None:
    line = Parser()
    line.add_argument("--minutes", type=float)
    assert math.isnan(line.parse_args(["--minutes", "nan"]).minutes)


def test_every_command_has_such_a_line() -> None:
    """Of the project's own files, by their text: one that argparse alone parses forgets values."""
    files = [
        ROOT / "paper_repro.py",
        *(
            path
            for top in ("bert", "benchmarks", "evidence", "figures", "swe", "theory")
            for path in (ROOT / top).rglob("*.py")
        ),
    ]
    plain = [
        str(path.relative_to(ROOT))
        for path in files
        if path != ROOT / "swe/base/options.py"
        and re.search(r"ArgumentParser\(", path.read_text(encoding="utf-8"))
    ]
    assert plain == []
    used = [path for path in files if " Parser(" in path.read_text(encoding="utf-8")]
    assert len(used) >= 20
