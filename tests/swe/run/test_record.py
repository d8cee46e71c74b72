"""The record of a run names every commit that worked on it, and from which update on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swe.base import environment
from swe.base.files import read_json, write_json
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.record import RunFolder, commits_of
from tests.swe.run.test_loop import CONFIG, TASK, Killed, StopAt, kill_at


def entry(step: int, commit: str | None, dirty: bool | None = False) -> dict[str, Any]:
    return {"step": step, "commit": commit, "dirty": dirty}


def test_a_run_taken_over_names_both_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def under(commit: str, dirty: bool = False) -> None:
        revision = {"commit": commit, "dirty": dirty}
        monkeypatch.setattr(environment, "revision", lambda: revision)

    under("a")
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(4))
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(3))
    assert commits_of(tmp_path) == [entry(0, "a")], "the same commit is named once"
    under("b")
    with pytest.raises(Killed):  # after update 8, of which nothing was saved
        train(TASK, CONFIG, tmp_path, progress=kill_at(8))
    under("b", dirty=True)
    summary = train(TASK, CONFIG, tmp_path)
    assert summary["commits"] == [entry(0, "a"), entry(7, "b", dirty=True)]
    assert read_json(tmp_path / "environment.json")["commits"] == summary["commits"]


def test_a_commit_whose_updates_were_lost_is_not_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    for step, commit in ((0, "a"), (10, "b"), (20, "c"), (10, "d"), (15, "d")):
        folder.describe({"commit": commit, "dirty": False, "time": "now"}, step)
    assert commits_of(tmp_path) == [entry(0, "a"), entry(10, "d")]
    assert read_json(tmp_path / "environment.json")["time"] == "now"
    folder.describe({"commit": None, "dirty": None}, 0)
    assert commits_of(tmp_path) == [entry(0, None, None)]


def test_a_record_from_before_the_list_names_its_commit(tmp_path: Path) -> None:
    assert commits_of(tmp_path) == []
    write_json(tmp_path / "environment.json", {"commit": "a", "dirty": True})
    assert commits_of(tmp_path) == [entry(0, "a", dirty=True)]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"commits": [1]}', '{"commits": [{"step": 1}]}']
)
def test_a_damaged_record_stops_no_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(text)
    assert commits_of(tmp_path) == []
    RunFolder(tmp_path, {}).describe({"commit": "b", "dirty": False}, 5)
    assert commits_of(tmp_path) == [entry(5, "b")]
