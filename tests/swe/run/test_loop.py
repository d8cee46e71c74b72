"""The loop: exact resume around an untie, honest stops, run folders that explain themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from swe.base.errors import CheckpointError, ConfigError, NonFiniteLossError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import NeverShared, Schedule, SweAdaptive, SweFixed, SweMultistage
from tests.swe.run.damage import forge
from tests.swe.sharing.residual import RegressionTask

CONFIG = TrainConfig(
    steps=24,
    seed=3,
    schedule=SweFixed(until=10),
    log_interval=4,
    eval_interval=8,
    probe_interval=5,
    checkpoint_interval=6,
    accumulation=2,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
)
TASK = RegressionTask(depth=4, dropout=0.1)


class StopAt:
    """Ask for a stop before the given update."""

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


class Killed(BaseException):
    """Stands for kill -9: nothing of the loop gets to run after it."""


def kill_at(step: int) -> Callable[[int, dict[str, Any]], None]:
    def progress(now: int, row: dict[str, Any]) -> None:
        if now >= step:
            raise Killed

    return progress


def outcome(folder: Path) -> dict[str, Any]:
    """Everything that must not depend on interruptions: all files but the clock's."""
    rows = read_lines(folder / "metrics.jsonl") + read_lines(folder / "events.jsonl")
    clock = ("seconds", "peak_memory_bytes")
    summary = {k: v for k, v in read_json(folder / "summary.json").items() if k not in clock}
    final = folder / "checkpoints" / f"step-{CONFIG.steps:08d}"
    tensors = {
        f"{name}:{key}": value
        for name in ("weights", "optimizer")
        for key, value in load_file(final / f"{name}.safetensors").items()
    }
    return {
        "rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows],
        "summary": summary,
        "tensors": tensors,
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["rows"] == other["rows"]
    assert one["summary"] == other["summary"]
    assert one["tensors"].keys() == other["tensors"].keys()
    for name, tensor in one["tensors"].items():
        assert torch.equal(tensor, other["tensors"][name]), name


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train(TASK, CONFIG, folder)
    return folder


@pytest.mark.parametrize("step", [1, 9, 10, 11, 12, 23])
def test_resume_before_at_and_after_the_untie_is_exact(
    step: int, unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted, match=f"stopped before update {step}"):
        train(TASK, CONFIG, tmp_path, stop=StopAt(step))
    train(TASK, CONFIG, tmp_path)
    assert_same(outcome(tmp_path), outcome(unbroken))


@pytest.mark.parametrize("step", [4, 8, 12, 16, 24])
def test_a_kill_resumes_from_the_last_checkpoint_exactly(
    step: int, unbroken: Path, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(TASK, CONFIG, tmp_path, progress=kill_at(step))
    train(TASK, CONFIG, tmp_path)
    assert_same(outcome(tmp_path), outcome(unbroken))


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize(
    "schedule",
    [
        SweAdaptive(rho=1.0, interval=3, patience=2),
        SweMultistage(rho=0.7, interval=2),
        SweMultistage(rho=1.0, interval=3, patience=2, unit=2),
    ],
)
def test_adaptive_schedules_resume_exactly_again_and_again(
    schedule: Schedule, every: int, tmp_path: Path
) -> None:
    config = replace(CONFIG, schedule=schedule, checkpoint_interval=100)
    train(TASK, config, tmp_path / "unbroken")
    for _ in range(CONFIG.steps):
        try:
            train(TASK, config, tmp_path / "broken", stop=StopAt(every))
            break
        except Interrupted:
            continue
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "unbroken"))
    assert read_lines(tmp_path / "unbroken" / "events.jsonl"), "the schedule never acted"


def test_a_run_is_a_function_of_config_and_seed(unbroken: Path, tmp_path: Path) -> None:
    train(TASK, CONFIG, tmp_path / "again")
    assert_same(outcome(tmp_path / "again"), outcome(unbroken))
    train(TASK, replace(CONFIG, seed=4), tmp_path / "other")
    assert outcome(tmp_path / "other")["summary"] != outcome(unbroken)["summary"]


def test_the_folder_explains_itself(unbroken: Path) -> None:
    config = read_json(unbroken / "config.json")
    assert config["train"]["schedule"] == {"kind": "swe-f", "unit": 1, "until": 10}
    assert config["task"] == TASK.describe()
    environment = read_json(unbroken / "environment.json")
    assert {"torch", "python", "commit", "device", "command", "threads"} <= environment.keys()
    [event] = read_lines(unbroken / "events.jsonl")
    assert (event["step"], event["before"], event["after"]) == (10, "1x4", "4x1")
    rows = read_lines(unbroken / "metrics.jsonl")
    assert [r["step"] for r in rows if r["kind"] == "train"] == [4, 8, 12, 16, 20, 24]
    assert [r["step"] for r in rows if r["kind"] == "valid"] == [8, 16, 24]
    assert [r["step"] for r in rows if r["kind"] == "probe"] == [0, 5, 10, 15, 20]
    tied = [r["weights"]["dispersion"] == 0 for r in rows if r["kind"] == "probe"]
    assert tied == [True, True, True, False, False]
    summary = read_json(unbroken / "summary.json")
    assert summary["tokens"] == 24 * 2 * TASK.tokens_per_batch
    assert summary["flops"] == (24 * 2 + 5) * TASK.flops_per_batch
    assert summary["parameters_at_start"] < summary["parameters_at_end"]
    assert all(math.isfinite(r["gradient_norm"]) for r in rows if r["kind"] == "train")


def test_a_finished_run_is_not_run_again(unbroken: Path) -> None:
    before = (unbroken / "metrics.jsonl").stat().st_mtime_ns
    summary = train(TASK, CONFIG, unbroken)
    assert summary == read_json(unbroken / "summary.json")
    assert (unbroken / "metrics.jsonl").stat().st_mtime_ns == before


def test_training_learns(tmp_path: Path) -> None:
    config = TrainConfig(
        steps=150,
        schedule=NeverShared(),
        eval_interval=150,
        log_interval=10,
        optimizer=OptimizerConfig(peak_lr=3e-2, warmup=10),
    )
    train(RegressionTask(depth=2), config, tmp_path)
    rows = [r for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]


def test_non_finite_loss_stops_before_the_update(tmp_path: Path) -> None:
    """Update 7 reads batches 14 and 15; the one checkpoint left is of an earlier update."""
    task = RegressionTask(depth=4, dropout=0.1, poison=lambda index: index == 15)
    with pytest.raises(NonFiniteLossError, match=r"update 7.*seed 3, batches 14\.\.15"):
        train(task, CONFIG, tmp_path)
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(0))
    [path] = (tmp_path / "checkpoints").iterdir()
    assert path.name == "step-00000006"
    assert all(torch.isfinite(t).all() for t in load_file(path / "weights.safetensors").values())


def test_a_poisoned_batch_probed_first_is_reported_as_well(tmp_path: Path) -> None:
    """Update 5 is probed (interval 5) before it is computed: the same clear line."""
    task = RegressionTask(depth=4, dropout=0.1, poison=lambda index: index == 10)
    with pytest.raises(NonFiniteLossError, match=r"update 5.*batches 10\.\.11"):
        train(task, CONFIG, tmp_path)
    probes = [r for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "probe"]
    assert probes[-1]["gradient_norms"] == [None] * 4


def test_a_run_killed_before_its_summary_ends_the_same(unbroken: Path, tmp_path: Path) -> None:
    train(TASK, CONFIG, tmp_path)
    (tmp_path / "summary.json").unlink()
    train(TASK, CONFIG, tmp_path)
    assert_same(outcome(tmp_path), outcome(unbroken))


def test_a_validation_loss_that_is_not_finite_is_one_clear_line(tmp_path: Path) -> None:
    task = RegressionTask(depth=4, poison=lambda index: index == 10**9)
    with pytest.raises(NonFiniteLossError, match="validation not finite after update 8"):
        train(task, CONFIG, tmp_path)


def test_another_configuration_is_refused_by_name(unbroken: Path) -> None:
    with pytest.raises(ConfigError, match=r"another configuration \(train.seed: 3 there, 4 here"):
        train(TASK, replace(CONFIG, seed=4), unbroken)


def test_a_schedule_that_does_not_fit_writes_nothing(
    tmp_path: Path,
) -> None:
    for schedule, message in (
        (SweFixed(unit=3), "unit = 3: must be a divisor of depth 4"),
        (SweFixed(until=24), "until = 24: must be a step in 1..23"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(TASK, replace(CONFIG, schedule=schedule), tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_an_unwritable_output_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match=r"output folder .*file/run: cannot be written"):
        train(TASK, CONFIG, tmp_path / "file" / "run")


def test_a_foreign_checkpoint_in_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(12))
    for path in (tmp_path / "checkpoints").iterdir():
        forge(path, state={"something": "else"})
    with pytest.raises(
        CheckpointError, match=r"step-00000012: of another run \(something = 'else'"
    ):
        train(TASK, CONFIG, tmp_path)
