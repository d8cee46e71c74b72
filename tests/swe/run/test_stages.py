"""Runs that begin as a smaller model: exact resume, growth through the checkpoint, the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bert.languages.composition import Composition
from bert.languages.task import LanguageTask
from bert.model.config import named_config
from swe.base.config import to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run.extend import extended
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from swe.sharing.stack import find_stack
from swe.transforms.growth import Growth
from swe.transforms.stage import Stage
from tests.swe.run.test_loop import CONFIG as PLAIN
from tests.swe.run.test_loop import Killed, StopAt, assert_same, kill_at, outcome
from tests.swe.sharing.residual import GrowingRegression, RegressionTask

TASK = GrowingRegression(depth=4, dropout=0.1)
CONFIG = replace(
    PLAIN,
    schedule=SweFixed(until=19),
    stages=(
        Stage(until=0.25, depth=2, schedule=AlwaysShared(), growth=Growth(depth="stack")),
        Stage(until=13, depth=3, growth=Growth(depth="interpolate")),
    ),
)


def events(folder: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in read_lines(folder / "events.jsonl")]


def test_a_run_in_stages_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Stopped before, at and after each growth; and killed with rows behind its checkpoint."""
    train(TASK, CONFIG, tmp_path / "whole")
    whole = outcome(tmp_path / "whole")
    for step in (5, 6, 7, 13, 14, 20):
        folder = tmp_path / f"stopped-{step}"
        with pytest.raises(Interrupted):
            train(TASK, CONFIG, folder, stop=StopAt(step))
        train(TASK, CONFIG, folder)
        assert_same(outcome(folder), whole)
    for step in (8, 16):
        folder = tmp_path / f"killed-{step}"
        with pytest.raises(Killed):
            train(TASK, CONFIG, folder, progress=kill_at(step))
        train(TASK, CONFIG, folder, warn=lambda text: None)
        assert_same(outcome(folder), whole)


def test_each_stage_is_told_and_paid_for(tmp_path: Path) -> None:
    summary = train(TASK, CONFIG, tmp_path)
    grown = [(row["kind"], row["step"]) for row in events(tmp_path)]
    assert grown == [("grow", 6), ("grow", 13), ("unshare", 19)]
    layer = sum(p.numel() for p in find_stack(TASK.build(0))[1].blocks[0].parameters())
    rest = summary["parameters_at_end"] - 4 * layer
    assert summary["parameters_at_start"] == rest + layer, "the first stage is tied"
    sizes = [(row["depth"], row["parameters"]) for row in events(tmp_path)[:2]]
    assert sizes == [(3, rest + 3 * layer), (4, rest + layer)], "tied again, then untied"
    probes = summary["probes"]
    assert probes == 5, "at 0, 5, 10, 15, 20"
    each = [TASK.resized(depth, {}).flops_per_batch for depth in (2, 3, 4)]
    batches = (2 * 6 + 2, 2 * 7 + 1, 2 * 11 + 2)
    assert summary["flops"] == pytest.approx(
        sum(a * b for a, b in zip(each, batches, strict=True)), rel=1e-12
    )
    assert read_json(tmp_path / "config.json")["train"] == to_dict(CONFIG)


def test_layers_that_are_to_share_begin_at_their_mean(tmp_path: Path) -> None:
    """Grow, then share: the stack's one block is the mean of the layers it was grown to."""
    stage = Stage(until=6, depth=2, growth=Growth(depth="stack"))
    config = replace(CONFIG, schedule=AlwaysShared(), stages=(stage,), probe_interval=0)
    with pytest.raises(Interrupted):
        train(TASK, config, tmp_path / "a", stop=StopAt(6))
    small = load_file(tmp_path / "a" / "checkpoints" / "step-00000006" / "weights.safetensors")
    with pytest.raises(Killed):
        train(TASK, config, tmp_path / "a", progress=kill_at(8), warn=lambda text: None)
    large = load_file(tmp_path / "a" / "checkpoints" / "step-00000006" / "weights.safetensors")
    assert not any(name.startswith("stack.blocks.1") for name in large)
    assert events(tmp_path / "a")[0]["why_not"] == (
        "every layer is run more than once; layers that are to share were not alike"
    )
    for name in ("inner.weight", "outer.weight"):
        both = [small[f"stack.blocks.{layer}.{name}"].double() for layer in (0, 1)]
        mean = torch.stack([*both, *both]).mean(0).float()
        assert torch.equal(large[f"stack.blocks.0.{name}"], mean)


@pytest.mark.parametrize("schedule", [NeverShared(), SweFixed(until=0.8)])
def test_a_bert_grows_in_width_and_depth_and_keeps_its_function(
    schedule: Schedule, tmp_path: Path
) -> None:
    """The tied one's layers all come from one, so they are equal and tying them loses nothing."""
    language = Composition(symbols=4, hops=2)
    shape = named_config("4x64", vocabulary=language.vocabulary, dropout=0.0)
    task = LanguageTask(shape, language, 8, 16)
    tied = isinstance(schedule, SweFixed)
    stage = Stage(
        until=0.5,
        depth=4 if tied else 2,
        widths={"hidden": 32, "inner": 128, "heads": 1},
        schedule=AlwaysShared() if tied else NeverShared(),
        growth=Growth(depth="identity"),
    )
    config = TrainConfig(steps=10, schedule=schedule, stages=(stage,), eval_interval=5)
    summary = train(task, config, tmp_path)
    grown = events(tmp_path)[0]
    assert grown["why_not"] == ""
    assert grown["held_loss"] == pytest.approx(grown["held_loss_before"], rel=1e-5)
    assert summary["parameters_at_end"] == sum(p.numel() for p in task.build(0).parameters())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"until": 24}, r"stages\[0\].until = 24: must be after update 0 and before 24"),
        ({"until": 0.0}, "until = 0.0: must be"),
        ({"depth": 5}, "depth = 4: must be an integer, at least 5"),
        ({"schedule": AlwaysShared(unit=3)}, "unit = 3: must be"),
    ],
)
def test_impossible_stages_fail_before_anything(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    def attempt() -> None:
        stage = replace(CONFIG.stages[0], **change)
        train(TASK, replace(CONFIG, stages=(stage,)), tmp_path / "run")

    with pytest.raises(ConfigError, match=told):
        attempt()
    assert not (tmp_path / "run").exists()


def test_an_equal_start_behind_a_growth_is_refused(tmp_path: Path) -> None:
    """It would copy the first layer over all that was grown."""
    with pytest.raises(ConfigError, match="schedule = 'equal-start': must be of another kind"):
        train(TASK, replace(CONFIG, schedule=EqualStart()), tmp_path / "run")
    stages = (CONFIG.stages[0], replace(CONFIG.stages[1], schedule=EqualStart()))
    with pytest.raises(ConfigError, match=r"stages\[1\].schedule = 'equal-start'"):
        train(TASK, replace(CONFIG, stages=stages), tmp_path / "run")
    first = (replace(CONFIG.stages[0], schedule=EqualStart()), CONFIG.stages[1])
    train(TASK, replace(CONFIG, stages=first), tmp_path / "run")


def test_a_task_of_one_size_and_a_longer_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="RegressionTask comes in one size alone"):
        train(RegressionTask(depth=4), CONFIG, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="--extend = 'a run in stages'"):
        extended(CONFIG, 12, 48)
