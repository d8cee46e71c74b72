"""The comparison with the shipped records: equal passes, what moved is named, nothing half-read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert.study.asked import study_of
from evidence.check import CheckError, Tolerance, check, figure_data, numbers_in, thinned
from swe.base.config import to_dict

SHIPPED = paper_repro.RECORDS / "default"


def result(data: Any, scale: str = "small") -> dict[str, Any]:
    return {"config": {"scale": scale, "seed": 0}, "data": data}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results that agree with the records: made of them, with figures of their own."""
    out = tmp_path / "results"
    shutil.copytree(SHIPPED, out / "shipped")
    shutil.copy(SHIPPED / "claims.json", out / "claims.json")
    shutil.copy(SHIPPED / "comparison.json", out / "c.json")
    (out / "bert" / "small-1").mkdir(parents=True)
    (out / "c.json").rename(out / "bert" / "small-1" / "comparison.json")
    write(out / "bert" / "current.json", {"folder": "small-1"})
    write(
        out / "theory" / "flow.json", result({"caption_numbers": {"a": 1.0}, "rows": [0.5, 0.25]})
    )
    write(out / "toy" / "moments.json", result({"loss": [1.0, None, "x", True]}))
    write(out / "theory" / "claims.json", result([]))
    write(out / "shipped" / "figures.json", figure_data(out))
    return out


def rows(results: Path) -> tuple[int, list[str]]:
    lines: list[str] = []
    return check(results, results / "shipped", lines.append), lines


def test_equal_results_agree(results: Path) -> None:
    status, lines = rows(results)
    assert status == 0
    assert lines[-1] == f"\n{results}: agrees with the records"
    assert not [line for line in lines if "DIFFERS" in line]
    for what in ("theory/flow", "toy/moments", "bert: swe-f, difference", "claims, words of all"):
        assert any(line.startswith(what) and line.endswith("ok") for line in lines), what


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("file", "change", "row"),
    [
        ("claims.json", lambda c: c[0].update(verdict="fails"), "LEM1"),
        ("claims.json", lambda c: c.pop(3), "REM1"),
        ("claims.json", lambda c: c[1].update(id="NEW"), "NEW"),
        ("theory/flow.json", lambda r: r["data"]["rows"].__setitem__(1, 0.2501), "theory/flow: r"),
        ("theory/flow.json", lambda r: r["data"].pop("rows"), "theory/flow: rows[0]"),
        ("toy/moments.json", lambda r: r["data"]["loss"].__setitem__(0, 1.1), "toy/moments: loss"),
        ("toy/moments.json", lambda r: r["data"].update(loss=["nan"]), "toy/moments: loss"),
        (
            "bert/small-1/comparison.json",
            lambda c: c["arms"]["swe-f"]["difference"].update(low=0.5, high=0.6),
            "bert: swe-f, difference",
        ),
        ("bert/small-1/comparison.json", lambda c: c["arms"].pop("swe-m"), "bert: swe-m, loss"),
    ],
)  # fmt: skip
def test_what_moved_is_named(results: Path, file: str, change: Any, row: str) -> None:
    edit(results / file, change)
    status, lines = rows(results)
    assert status == 1
    assert any(line.startswith(row) and line.endswith("DIFFERS") for line in lines), lines


@pytest.mark.parametrize("file", ["claims.json", "theory/flow.json", "bert/current.json"])
def test_what_is_missing_is_a_row(results: Path, file: str) -> None:
    (results / file).unlink()
    status, lines = rows(results)
    assert status == 1
    assert sum("missing" in line and line.endswith("DIFFERS") for line in lines) == 1


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("claims.json", "{", "cannot be read"),
        ("claims.json", "[1]", "no ledger"),
        ("theory/flow.json", "{}", "no result of this program"),
        ("theory/flow.json", json.dumps(result({}, "smoke")), "is of scale smoke"),
        ("bert/current.json", '{"folder": "../x"}', "names no folder"),
        ("bert/small-1/comparison.json", "[]", "no comparison"),
        ("bert/small-1/comparison.json", '{"study": {}, "arms": {}}', "another study"),
        ("shipped/figures.json", "{}", "is no share-then-unshare figure data"),
        ("shipped/figures.json", '{"format": "share-then-unshare figure data"}', "version None"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    results: Path, file: str, content: str, message: str
) -> None:
    (results / file).write_text(content)
    with pytest.raises(CheckError, match=message):
        rows(results)


def test_tolerances() -> None:
    room = Tolerance(0.01, 0.5)
    assert room.holds(100.0, 101.0)
    assert not room.holds(100.0, 101.1)
    assert room.holds(0.0, -0.5)
    assert room.holds(float("inf"), float("inf"))
    assert room.holds(float("nan"), float("nan"))
    assert not room.holds(float("inf"), 1.0)


def test_numbers_and_their_sample() -> None:
    data = {"b": [1, {"c": 2.5}], "a": True, "caption_numbers": {"n": 3}, "mean_by_rate": [9.0]}
    assert dict(numbers_in(data)) == {
        "b[0]": 1.0, "b[1].c": 2.5, "caption_numbers.n": 3.0, "mean_by_rate[0]": 9.0,
    }  # fmt: skip
    assert thinned(data) == {"b[0]": 1.0, "b[1].c": 2.5, "caption_numbers.n": 3.0}
    assert len(thinned({"x": list(range(1000))})) == 59


def test_the_command(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper_repro.main(["check", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == (
        f"paper_repro.py: {tmp_path / 'none'}: is no folder of results\n"
    )
    assert paper_repro.main(["check", str(results)]) == 1
    told = capsys.readouterr().out
    assert "theory/speedup" in told
    assert "claims, words of all others" in told
    assert paper_repro.main(["check"]) == 2


def test_the_default_record_is_of_the_study_that_is_asked_for() -> None:
    """Word for word, as a fresh run's is compared with it."""
    record = json.loads((SHIPPED / "comparison.json").read_text())
    assert record["study"] == to_dict(study_of("small", 0, {}))
