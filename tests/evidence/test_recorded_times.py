"""The time that paper_repro.py says a scale takes is the record's, and a bound is called one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from evidence.recorded_times import announced, note_times, time_on_record
from swe.base.files import read_json, write_json
from theory.studies.results import RESULTS

RESULT_TIMES: dict[str, dict[str, float]] = {
    "theory/a": {"seconds": 20.0}, "theory/b": {"seconds": 70.2}, "toy/c": {"longer_than": 300.0},
}  # fmt: skip


def say(path: Path, results: Any, **areas: str) -> str | None:
    write_json(path, {"results": results, "environment": {"device": "a machine"}})
    return time_on_record(path, areas)  # a text is its letters, which are the names here


def test_sums_and_bounds(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert time_on_record(path, {"theory": "a"}) is None
    assert say(path, RESULT_TIMES, theory="ab") == "90 s of processor time on a machine"
    assert say(path, RESULT_TIMES, theory="abd", toy="c") == (
        "more than 7 min of processor time on a machine (not to the end: toy/c; not measured: "
        "theory/d)"
    )
    more = RESULT_TIMES | {"theory/d": {"seconds": 7200.0}}
    assert say(path, more, theory="abd") == "2.0 h of processor time on a machine"
    assert say(path, {}, theory="a") is None
    malformed: list[Any] = [{"theory/a": 3}, {"theory/a": {}}, 3]
    for wrong in malformed:
        with pytest.raises(ValueError, match=r"record\.json: not a record of result times"):
            say(path, wrong, theory="a")


def test_the_plan_and_the_help_say_what_is_on_record(capsys: pytest.CaptureFixture[str]) -> None:
    path = paper_repro.TIMES_AT_FULL
    names = {f"{area}/{name}" for area in RESULTS for name in RESULTS[area]}
    assert read_json(path)["results"].keys() <= names
    known = time_on_record(path, RESULTS)
    assert known is not None
    assert known in announced(paper_repro.RECORDS, "full", RESULTS, whole=False)
    with pytest.raises(SystemExit, match="0"):
        paper_repro.main(["--help"])
    assert " ".join(known.split()) in " ".join(capsys.readouterr().out.split())
    assert announced(paper_repro.RECORDS, "smoke", RESULTS, whole=False) == ""
    told = announced(paper_repro.RECORDS, "small", RESULTS, whole=True)
    assert re.fullmatch(r"all verbs took, on .* with \d+ processes: .* s\n", told)


def test_some_verbs_alone_leave_the_times_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text("torn")
    note_times(path, {"theory": 20.04, "figures": 3.0}, 2, "a machine")
    whole = read_json(path)
    assert (whole["steps"], whole["total"]) == ({"theory": 20.0, "figures": 3.0}, 23.0)
    note_times(path, {"theory": 0.1, "figures": 4.0, "bert": 5.0}, 2, "a machine")
    assert read_json(path)["steps"] == {"theory": 20.0, "figures": 4.0, "bert": 5.0}
    assert read_json(path)["total"] == 29.0


@pytest.mark.parametrize("other", [{"jobs": 3}, {"device": "another"}, {"commit": "0" * 40}])
def test_times_of_elsewhere_are_no_part(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "times.json"
    note_times(path, {"theory": 20.0}, 2, "a machine")
    if "commit" in other:
        write_json(path, read_json(path) | other)
    jobs, device = other.get("jobs", 2), other.get("device", "a machine")
    note_times(path, {"figures": 1.0}, jobs, device)
    assert read_json(path)["steps"] == {"figures": 1.0}
    assert read_json(path)["cores"] == jobs
