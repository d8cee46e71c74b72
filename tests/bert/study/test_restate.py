"""A study on record is given the blind loss of a store that repeats its losses, and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert.study.comparison import StudyData, build_task, prepare_data
from bert.study.curves import curves_file
from bert.study.plateau import blind_of, stated
from bert.study.restate import BY_LOSSES, BY_SHAPE, main, restate
from bert.study.table_study import TableStudy, chosen_arms
from bert.study.tables import run_folder, write_table
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines, write_json, write_lines
from swe.run.loop import train

STUDY = TableStudy(
    size="2x16",
    vocabulary=120,
    length=16,
    rows=4,
    steps=10,
    seeds=2,
    validation_rows=20,
    rates=(1e-3,),
    only=("equal-start",),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return made(tmp_path_factory.mktemp("data"), 0)


def made(folder: Path, seed: int) -> StudyData:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(1, 6))) for _ in range(80)]
    text = "\n\n".join(" ".join(rng.choice(words, size=40)) for _ in range(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return prepare_data(STUDY, folder, text=[folder / "text.txt"])


@pytest.fixture(scope="module")
def run(data: StudyData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    task = build_task(STUDY, data)
    for arm in chosen_arms("headline", STUDY):
        for seed in STUDY.headline_seeds:
            train(task, STUDY.arm_config(arm, 1e-3, seed), run_folder(out, arm.name, 1e-3, seed))
    stated(out, task)
    write_table("headline", STUDY, out)
    return out


@pytest.fixture
def record(run: Path, tmp_path: Path) -> Path:
    """The study as one from before the rule: no blind loss, and an interval's word."""
    folder = tmp_path / "studies" / "2x16"
    table: dict[str, Any] = read_json(run / "headline.json")
    del table["blind"]
    table["arms"]["equal-start"]["verdict"] = "no gain"
    write_json(folder / "headline.json", table)
    write_lines(folder / curves_file("headline"), read_lines(run / curves_file("headline")))
    return folder


@pytest.mark.parametrize(("verify", "checked"), [(True, BY_LOSSES), (False, BY_SHAPE)])
def test_a_store_that_repeats_the_losses_is_the_studys(
    record: Path, run: Path, data: StudyData, verify: bool, checked: str
) -> None:
    restate(record, data.store, verify=verify)
    found, own = read_json(record / "headline.json"), read_json(run / "headline.json")
    assert found["blind"] == own["blind"] | {"checked": checked}
    assert own["blind"] == blind_of(build_task(STUDY, data))
    assert found["arms"]["equal-start"]["verdict"] == "on the plateau"


def test_another_text_is_refused_and_nothing_written(record: Path, tmp_path: Path) -> None:
    before = (record / "headline.json").read_bytes()
    (tmp_path / "other").mkdir()
    other = made(tmp_path / "other", 1)
    with pytest.raises(ConfigError, match=r"recorded train loss .* the store is of another text"):
        restate(record, other.store, verify=True)
    table = read_json(record / "headline.json")
    table["arms"]["baseline"]["parameters_at_end"] += 1
    write_json(record / "headline.json", table)
    with pytest.raises(ConfigError, match="build the store with the study's vocabulary"):
        restate(record, other.store, verify=False)
    table["arms"]["baseline"]["parameters_at_end"] -= 1
    write_json(record / "headline.json", table)
    assert (record / "headline.json").read_bytes() == before


def test_a_folder_without_a_table_is_one_line(
    data: StudyData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none"), "--store", str(data.store)]) == 2
    assert "holds no table of a study; name a folder of records/studies" in capsys.readouterr().err
