"""Precision "auto": settled before update 0, written down, kept on resume, shared by runs."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch

from swe.base.errors import CheckpointError, ConfigError
from swe.base.files import read_json, write_first, write_json
from swe.base.interrupt import Interrupted
from swe.run import attention, beginning, precision
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.measured import first_written
from swe.run.precision import measure, settled
from swe.run.record import RunFolder
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


@pytest.mark.parametrize(
    ("units", "kept"), [([True, False], "bfloat16"), ([False, True], "float32")]
)
def test_machines_of_two_kinds_share_it(
    units: list[bool],
    kept: str,
    times: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The second has what the first could do, and says so where it lacks the units for it."""
    said: list[str] = []
    speed = SpeedConfig(measured_in=tmp_path)
    for arm, able in enumerate(units):
        for module in (precision, beginning):
            monkeypatch.setattr(module, "has_bfloat16_units", lambda able=able: able)
        train(TASK, replace(AUTO, steps=4), tmp_path / str(arm), speed=speed, warn=said.append)
    assert [stored(tmp_path / str(arm)) for arm in range(2)] == [kept, kept]
    assert [line for line in said if "no units" in line] == said
    assert len(said) == (kept == "bfloat16")


@pytest.mark.parametrize("written", ["now", "before", "by a GPU"])
def test_a_run_made_before_counts(
    written: str, times: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of this task: its precision, and on a device of this type its kernel; nothing is measured.

    An earlier program wrote no type; a GPU's kernels are other ones, of the same names.
    """
    one, two = tmp_path / "runs" / "one", tmp_path / "runs" / "two"
    train(TASK, replace(CONFIG, steps=4), one, speed=SpeedConfig(attention="math"))
    here = read_json(one / "environment.json")
    if written == "before":
        del here["device_type"]
    elif written == "by a GPU":
        here["device_type"] = "cuda"
    write_json(one / "environment.json", here)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    times["bfloat16"] = 1000.0
    fastest: dict[str, float | None] = {"math": 2.0, "products": 1.0}
    monkeypatch.setattr(attention, "measure", lambda *given: fastest)
    train(TASK, replace(AUTO, steps=4), two, speed=SpeedConfig(measured_in=tmp_path))
    kernel = read_json(two / "environment.json")["speed"]["attention"]
    assert kernel == ("products" if written == "by a GPU" else "math")
    assert (stored(two), times["asked"]) == ("bfloat16", 0)


def test_runs_of_another_task_say_nothing(times: dict[str, float], tmp_path: Path) -> None:
    train(TASK, replace(CONFIG, steps=4), tmp_path / "one")
    times["bfloat16"] = 1000.0
    other, speed = replace(TASK, rows=5), SpeedConfig(measured_in=tmp_path)
    assert settled(AUTO, other, tmp_path / "two", CPU, speed).precision == "float32"
    assert times["asked"] == 1


def test_of_two_that_begin_one_run_the_sooner_counts(
    times: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The later one, still measuring, finds bfloat16 faster where the other has begun without."""
    sooner: list[dict[str, Any]] = []

    def late(*given: Any) -> dict[str, float]:
        monkeypatch.setattr(precision, "measure", lambda *given: {"float32": 1.0, "bfloat16": 2.0})
        sooner.append(train(TASK, AUTO, tmp_path))
        return {"float32": 2.0, "bfloat16": 1.0}

    monkeypatch.setattr(precision, "measure", late)
    assert [train(TASK, AUTO, tmp_path)] == sooner
    assert stored(tmp_path) == "float32"


def test_no_configuration_is_written_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another process begins the run between the look and the writing."""

    def late(path: Path, value: Any) -> None:
        write_first(path, {"by": "another"})
        write_first(path, value)

    monkeypatch.setattr("swe.run.record.write_first", late)
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        RunFolder(tmp_path, {"by": "me"})
    assert read_json(tmp_path / "config.json") == {"by": "another"}


def test_a_stop_before_update_0_keeps_what_was_found(
    times: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match="before update 0"):
        train(TASK, AUTO, tmp_path, stop=lambda: True)
    kernel = read_json(tmp_path / "environment.json")["speed"]["attention"]
    times["bfloat16"] = 1000.0
    monkeypatch.setattr(attention, "measure", pytest.fail)
    train(TASK, AUTO, tmp_path)
    assert (stored(tmp_path), times["asked"]) == ("bfloat16", 1)
    assert read_json(tmp_path / "environment.json")["speed"]["attention"] == kernel


def test_ctrl_c_while_measuring_begins_nothing(
    times: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And later, while the engine is built, only what was found is kept."""

    def told(*given: Any) -> None:
        raise KeyboardInterrupt

    folder, speed = tmp_path / "arm", SpeedConfig(measured_in=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(precision, "measure", told)
        with pytest.raises(KeyboardInterrupt):
            train(TASK, AUTO, folder, speed=speed)
        assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(attention, "measure", told)
        with pytest.raises(KeyboardInterrupt):
            train(TASK, AUTO, folder, speed=speed)
    times["bfloat16"] = 1000.0
    assert settled(AUTO, TASK, folder, CPU, SpeedConfig()).precision == "bfloat16"
    train(TASK, AUTO, folder, speed=speed)
    assert (stored(folder), times["asked"]) == ("bfloat16", 1)


def test_first_written_counts(tmp_path: Path) -> None:
    """Of two that measure at once both get one finding, and nothing else is left."""
    path, both = tmp_path / "of" / "it.json", Barrier(2)

    def find(by: str) -> dict[str, Any]:
        both.wait()
        return {"by": by}

    with ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(lambda by: first_written(path, partial(find, by), "by", "ab"), ("a", "b"))
        )
    assert found[0] == found[1] == read_json(path)
    assert [p.name for p in path.parent.iterdir()] == ["it.json"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"by": "z"}', '{"by": ["a"]}'])
def test_a_finding_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    path.write_text(content)
    with pytest.raises(
        ConfigError, match=r"it.json: .*; remove it, and it is measured anew"
    ) as told:
        first_written(path, dict, "by", ("a", "b"))
    assert "\n" not in str(told.value)


def test_an_error_while_measuring_is_its_own(tmp_path: Path) -> None:
    """Not the file's: there is none to remove."""

    def find() -> dict[str, Any]:
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match=r"^no such layer$"):
        first_written(tmp_path / "it.json", find, "by", "ab")


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
