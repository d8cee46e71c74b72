"""Where a study lies: by configuration, data and device, and by the code of its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bert.study.commands import Place
from bert.study.comparison import build_task
from bert.study.table_study import table_study
from bert.study.tables import is_done
from evidence.closure import code_digest
from swe.base.config import to_dict
from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.run.task import Task


def task(checksum: str = "1") -> Task:
    return cast(Task, SimpleNamespace(describe=lambda: {"data": {"sha256": checksum}}))


def test_the_folder_names_configuration_data_device_and_code(tmp_path: Path) -> None:
    place = Place(out=tmp_path, scale="smoke", device="cpu", jobs=1)

    def name(place: Place, study: dict[str, Any], task: Task) -> str:
        return place.folder(tmp_path, study, task, lambda folder: True).name

    first = name(place, {"steps": 1}, task())
    scale, _, code = first.split("-")
    assert (scale, code) == ("smoke", code_digest([build_task.__module__])[:10])
    assert name(place, {"steps": 1}, task()) == first
    others = [
        name(place, {"steps": 2}, task()),
        name(place, {"steps": 1}, task("2")),
        name(replace(place, device="cuda"), {"steps": 1}, task()),
    ]
    assert len({first, *others}) == 4


def test_a_study_of_other_code_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(out=tmp_path, scale="smoke", device="cpu", jobs=1)
    old = place.folder(tmp_path, {}, task(), lambda folder: True)
    monkeypatch.setattr("evidence.begun.code_digest", lambda modules: "c" * 64)
    with pytest.raises(ConfigError, match=r"half done by .* --other-code continue"):
        place.folder(tmp_path, {}, task(), lambda folder: True)
    assert place.folder(tmp_path, {}, task(), lambda folder: False) != old, "finished: anew"
    going_on = replace(place, out=tmp_path / "b", other_code="continue")
    assert going_on.folder(tmp_path, {"x": 1}, task(), lambda folder: True).name.endswith("c" * 10)


def test_a_table_is_done_when_it_holds_all_that_is_asked_for(tmp_path: Path) -> None:
    study = table_study("table1", "smoke")
    path = tmp_path / "table1.json"
    assert not is_done("table1", study, tmp_path)
    write_json(path, {"complete": True, "study": to_dict(study)})
    assert is_done("table1", study, tmp_path)
    assert not is_done("table2", study, tmp_path)
    assert not is_done("table1", replace(study, seeds=study.seeds + 1), tmp_path)
    write_json(path, {"complete": False, "study": to_dict(study)})
    assert not is_done("table1", study, tmp_path)
    for text in ("{", "[1]"):
        path.write_text(text)
        assert not is_done("table1", study, tmp_path)
