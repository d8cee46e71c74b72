"""Precision "auto": settled before update 0, written down, kept on resume, shared by runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from swe.base.errors import CheckpointError, ConfigError
from swe.base.files import read_json
from swe.base.interrupt import Interrupted
from swe.run import precision
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.precision import measure, settled
from swe.run.speed import SpeedConfig
from tests.swe.run.test_cpu_kernels import CONFIG, CPU, TASK

AUTO = replace(CONFIG, precision="auto")


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the clock is to find; "asked" counts how often it was looked at."""
    found = {"float32": 100.0, "bfloat16": 90.0, "asked": 0.0}

    def look(*given: Any) -> dict[str, float]:
        found["asked"] += 1
        return {name: found[name] for name in ("float32", "bfloat16")}

    monkeypatch.setattr(precision, "measure", look)
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda: True)
    return found


def stored(folder: Path) -> str:
    return str(read_json(folder / "config.json")["train"]["precision"])


def test_bfloat16_must_be_worth_it(times: dict[str, float], tmp_path: Path) -> None:
    """A tenth off is; less is not; what is not auto is left alone and nothing is measured."""
    speed = SpeedConfig()
    assert settled(AUTO, TASK, tmp_path, CPU, speed).precision == "bfloat16"
    times["bfloat16"] = 90.1
    assert settled(AUTO, TASK, tmp_path, CPU, speed).precision == "float32"
    assert settled(CONFIG, TASK, tmp_path, CPU, speed) is CONFIG
    assert times["asked"] == 2


def test_no_units_no_bfloat16(times: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda: False)
    assert settled(AUTO, TASK, Path("none"), CPU, SpeedConfig()).precision == "float32"
    assert times["asked"] == 0


def test_a_run_keeps_what_it_began_with(times: dict[str, float], tmp_path: Path) -> None:
    """On resume nothing is measured; the finished run is the one that named its precision."""
    folder = tmp_path / "auto"
    with pytest.raises(Interrupted):
        train(TASK, AUTO, folder, stop=iter([False, False, True]).__next__)
    assert stored(folder) == "bfloat16"
    times["bfloat16"] = 1000.0
    summary = train(TASK, AUTO, folder)
    assert times["asked"] == 1
    kernel = SpeedConfig(attention=read_json(folder / "environment.json")["speed"]["attention"])
    named = train(TASK, CONFIG, tmp_path / "named", speed=kernel)
    assert named["valid"] == summary["valid"]
    assert train(TASK, CONFIG, folder) == summary, "its configuration names what was found"


@pytest.mark.parametrize(("begun", "asked"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_no_run_changes_its_precision(begun: Any, asked: Any, tmp_path: Path) -> None:
    """Neither by its configuration nor by a checkpoint put under another; and it can go on."""
    of = {name: replace(CONFIG, precision=name) for name in ("float32", "bfloat16")}
    for name in of:
        with pytest.raises(Interrupted):
            train(TASK, of[name], tmp_path / name, stop=iter([False, True]).__next__)
    before = {path: path.read_bytes() for path in (tmp_path / begun).rglob("*") if path.is_file()}
    told = rf"\(train.precision: '{begun}' there, '{asked}' here\)"
    with pytest.raises(ConfigError, match=told):
        train(TASK, of[asked], tmp_path / begun)
    assert before == {path: path.read_bytes() for path in before}
    shutil.copytree(tmp_path / asked / "checkpoints", tmp_path / "moved" / "checkpoints")
    shutil.copy(tmp_path / begun / "config.json", tmp_path / "moved" / "config.json")
    with pytest.raises(CheckpointError, match="of another run"):
        train(TASK, of[begun], tmp_path / "moved")
    assert train(TASK, of[begun], tmp_path / begun)["steps"] == CONFIG.steps


def test_runs_of_a_comparison_share_it(times: dict[str, float], tmp_path: Path) -> None:
    speed = SpeedConfig(measured_in=tmp_path)
    for arm in ("one", "two"):
        train(TASK, replace(AUTO, steps=4), tmp_path / arm, speed=speed)
        times["bfloat16"] = 1000.0
    assert [stored(tmp_path / arm) for arm in ("one", "two")] == ["bfloat16", "bfloat16"]
    assert times["asked"] == 1


def test_measuring_leaves_no_trace() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    found = measure(TASK, 0, SpeedConfig(), repeats=1)
    assert sorted(found) == ["bfloat16", "float32"]
    assert min(found.values()) > 0
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_engine_takes_no_auto() -> None:
    with pytest.raises(ConfigError, match=r"precision = 'auto': must be settled"):
        Engine(TASK, AUTO, CPU, "test")
