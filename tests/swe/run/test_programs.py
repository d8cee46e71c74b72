"""Runs whose stages are of every kind of transform: exact resume, the function, the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Generator, Tensor

from bert.languages.composition import Composition
from bert.languages.task import LanguageTask
from bert.model.config import named_config
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_lines
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.run.stages import Stages
from swe.sharing.schedule import AlwaysShared, NeverShared, SweFixed
from swe.sharing.triggers import At, Clock, Memory, Seen, Stalled
from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import Carry
from swe.transforms.fitted import Fitted
from swe.transforms.growth import Growth
from swe.transforms.layerwise import layerwise_stages
from swe.transforms.same import Keep, MultiplyOut
from swe.transforms.stage import Stage
from swe.transforms.transform import Given, Made, Transform
from tests.swe.run.test_loop import CONFIG as PLAIN
from tests.swe.run.test_loop import Killed, StopAt, assert_same, kill_at, outcome
from tests.swe.sharing.residual import GrowingRegression, RegressionTask

TASK = GrowingRegression(depth=4, dropout=0.1)
BASE = replace(PLAIN, schedule=NeverShared())
TIED = Stage(until=10, depth=4, schedule=AlwaysShared(), growth=Keep())
PROGRAMS = {
    "keep": (TIED,),
    "grow, share, unshare": (
        Stage(until=6, depth=2),
        Stage(until=13, depth=4, schedule=AlwaysShared(), growth=Keep()),
    ),
    "multiply-out": (Stage(until=10, depth=4, rank=2, growth=MultiplyOut()),),
    "fitted": (Stage(until=10, depth=2, growth=Fitted(steps=4)),),
    "layerwise": layerwise_stages(4, 2, 24, 8),
    "early": (Stage(until=20, depth=2, early=Stalled(patience=1, by=10.0)),),
}


def events(folder: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in read_lines(folder / "events.jsonl")]


def tensors(folder: Path, step: int, kind: str) -> dict[str, Tensor]:
    return load_file(folder / "checkpoints" / f"step-{step:08d}" / f"{kind}.safetensors")


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_kind_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Stopped within a stage, at its end and behind it; killed with rows behind a checkpoint."""
    config = replace(BASE, stages=PROGRAMS[name])
    train(TASK, config, tmp_path / "whole")
    whole = outcome(tmp_path / "whole")
    folder = tmp_path / "broken"
    ends = [row["step"] for row in events(tmp_path / "whole")]
    steps = sorted({2, *ends, *(end + 3 for end in ends)})
    for before, step in pairwise([0, *steps]):
        with pytest.raises(Interrupted, match=f"before update {step}"):
            train(TASK, config, folder, stop=StopAt(step - before))
    with pytest.raises(Killed):
        train(TASK, config, folder, progress=kill_at(20))
    train(TASK, config, folder, warn=lambda text: None)
    assert_same(outcome(folder), whole)
    assert len(ends) == len(config.stages)


def test_swe_f_written_as_stages_is_swe_f(tmp_path: Path) -> None:
    """Bit for bit, and in its ledger; resumed at the untie and behind it."""
    train(TASK, replace(BASE, schedule=SweFixed(until=10)), tmp_path / "swe-f")
    config = replace(BASE, stages=(TIED,))
    for step in (10, 3):
        with pytest.raises(Interrupted):
            train(TASK, config, tmp_path / "stages", stop=StopAt(step))
    train(TASK, config, tmp_path / "stages")
    one, other = (outcome(tmp_path / name) for name in ("swe-f", "stages"))
    [untie], [stage] = events(tmp_path / "swe-f"), events(tmp_path / "stages")
    assert (untie["step"], stage["step"]) == (10, 10)
    assert stage["why_not"] == ""
    for found in (one, other):
        assert found["rows"].pop()["step"] == 10
    assert_same(one, other)


def test_multiplied_out_a_run_goes_on_from_the_same_function(tmp_path: Path) -> None:
    """The regression in float64, and BERT, whose run learns through it."""
    stages = PROGRAMS["multiply-out"]
    task = GrowingRegression(depth=4, dtype=torch.float64)
    summary = train(task, replace(BASE, stages=stages), tmp_path / "64")
    [row] = events(tmp_path / "64")
    assert row["why_not"] == ""
    assert row["held_loss"] == pytest.approx(row["held_loss_before"], rel=1e-10)
    thin, whole = task.factored(2).flops_per_batch, task.flops_per_batch
    assert thin < whole
    assert summary["flops"] == pytest.approx((20 + 2) * thin + (28 + 3) * whole, rel=1e-12)
    language = Composition(symbols=4, hops=1)
    shape = named_config("2x32", vocabulary=language.vocabulary, dropout=0.0)
    bert = LanguageTask(shape, language, 16, 32)
    config = TrainConfig(
        steps=60,
        stages=(Stage(until=0.5, depth=2, rank=8, growth=MultiplyOut()),),
        eval_interval=30,
        optimizer=replace(BASE.optimizer, peak_lr=1e-2),
    )
    train(bert, config, tmp_path / "bert")
    [row] = events(tmp_path / "bert")
    assert row["held_loss"] == pytest.approx(row["held_loss_before"], rel=1e-5)
    rows = read_lines(tmp_path / "bert" / "metrics.jsonl")
    losses = [row["loss"] for row in rows if row["kind"] == "valid"]
    assert losses[1] < losses[0]
    factored = bert.factored(8)
    assert factored.flops_per_batch < bert.flops_per_batch
    assert factored.describe() == {**bert.describe(), "rank": 8}


def test_frozen_layers_do_not_move_and_are_not_paid_for(tmp_path: Path) -> None:
    """Weights and moments of all below the new layers, through a stage with decay and momentum."""
    config = replace(BASE, stages=PROGRAMS["layerwise"])
    assert [(s.until, s.depth, s.trained) for s in config.stages] == [(8, 2, None), (16, 4, 2)]
    kinds = ("weights", "optimizer")
    found: dict[tuple[int, str], dict[str, Tensor]] = {}
    for steps in ((8,), (12, 16)):
        with pytest.raises(Interrupted):
            train(TASK, config, tmp_path, stop=StopAt(8))
        found |= {(step, kind): tensors(tmp_path, step, kind) for step in steps for kind in kinds}
    frozen = ("embed.", "stack.blocks.0.", "stack.blocks.1.")
    for kind in kinds:
        for name, tensor in found[16, kind].items():
            stays = name.startswith(frozen)
            assert torch.equal(tensor, found[12, kind][name]) == stays, name
            assert not stays or torch.equal(tensor, found[8, kind][name]), name
    summary = train(TASK, config, tmp_path)
    each = TASK.flops_per_layer
    probed = [r["step"] for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "probe"]
    assert probed == [0, 5, 20], "of frozen layers there is no gradient to compare"
    forward_only = 2 * each / 3 + 2 * each
    assert summary["flops"] == pytest.approx(
        (16 + 2) * 2 * each + 16 * forward_only + (16 + 1) * 4 * each, rel=1e-12
    )


def test_a_fit_is_charged_and_told(tmp_path: Path) -> None:
    config = replace(BASE, stages=PROGRAMS["fitted"])
    summary = train(TASK, config, tmp_path)
    [row] = events(tmp_path)
    assert row["growth"] == {"kind": "fitted", "method": "ligo", "steps": 4, "rate": 0.1}
    assert row["why_not"] == "a fitted map mixes units and layers"
    small, large = TASK.resized(2, {}).flops_per_batch, TASK.flops_per_batch
    assert row["flops"] > 4 * large, "the map's own products, too"
    trained = (20 + 2) * small + (28 + 3) * large
    assert summary["flops"] == pytest.approx(trained + row["flops"], rel=1e-12)


def test_a_stage_ends_early_where_the_loss_stalls(tmp_path: Path) -> None:
    """Rows are at 4, 8, ...; the first is the lowest so far, the second does not beat it by 10."""
    train(TASK, replace(BASE, stages=PROGRAMS["early"]), tmp_path / "early")
    assert [row["step"] for row in events(tmp_path / "early")] == [8]
    patient = Stage(until=20, depth=2, early=Stalled(patience=9))
    train(TASK, replace(BASE, stages=(patient,)), tmp_path / "late")
    assert [row["step"] for row in events(tmp_path / "late")] == [20], "its own end is the latest"


def test_a_stalled_loss_is_counted_from_its_lowest() -> None:
    memory: Memory = ()
    trigger, plans = Stalled(patience=2, by=0.1), []
    for row, loss in enumerate([3.0, 2.0, 1.95, 1.8, 1.8, None, 1.75]):
        memory, plan = trigger.due(Clock(row, 10), Seen(loss=loss), memory)
        plans.append(plan)
    assert plans == [None] * 6 + ["all"]
    assert memory == (1.8, 2)


def test_configurations_without_a_kind_are_growths() -> None:
    """A run of before there were other kinds is the same run."""
    config = replace(BASE, stages=(Stage(until=6, depth=2, growth=Growth(depth="interpolate")),))
    [stage] = to_dict(config)["stages"]
    assert stage == {
        "until": 6,
        "depth": 2,
        "widths": {},
        "schedule": {"kind": "never-shared", "unit": 1},
        "growth": {"depth": "interpolate", "width": "fpi"},
        "carry": "mapped",
    }
    assert from_dict(TrainConfig, to_dict(config)) == config
    for stages in PROGRAMS.values():
        assert from_dict(TrainConfig, to_dict(replace(BASE, stages=stages))).stages == stages
        assert from_dict(TrainConfig, to_dict(replace(BASE, stages=stages))).stages == stages


STAGE: dict[str, Any] = {"until": 10, "depth": 4, "growth": Keep()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trained": 5}, "trained = 5: must be an integer, at least 1 and at most 4"),
        ({"trained": 2, "schedule": AlwaysShared()}, "'always-shared': must be never-shared where"),
        ({"trained": 2, "rank": 2, "growth": MultiplyOut()}, "trained = 2: must be nothing for a"),
        ({"rank": 2}, "rank = 2: must be given where growth is multiply-out, and only there"),
        ({"growth": MultiplyOut()}, "rank = None: must be given where growth is multiply-out"),
        ({"depth": 2}, "keep: depth = 2 here and 4 in the next stage"),
        ({"growth": Fitted(), "depth": 2, "carry": "copy"}, "carry = 'copy': must be mapped or"),
        ({"early": At(3)}, r"early = At\(moment=3\): must be of a kind: stalled"),
    ],
)
def test_impossible_stages_are_refused_at_once(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        Stages(TASK, replace(BASE, stages=(Stage(**{**STAGE, **change}),)))


def test_a_task_without_a_factored_form_is_told_so() -> None:
    class Whole(RegressionTask):
        anatomy = TASK.anatomy

        def resized(self, depth: int, widths: Mapping[str, int]) -> RegressionTask:
            return Whole(depth)

    stages = PROGRAMS["multiply-out"]
    with pytest.raises(ConfigError, match=r"rank = 2: Whole has no factored form \(a method fac"):
        Stages(Whole(4), replace(BASE, stages=stages))


def test_a_transform_that_makes_another_model_is_refused(tmp_path: Path) -> None:
    """A weight too few, or of a shape that would broadcast."""

    @dataclass(frozen=True, kw_only=True)
    class Wrong(Transform):
        kind: ClassVar[str] = "wrong, for this test"
        short: bool

        def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
            pass

        def apply(self, given: Given) -> Made:
            weights = {name: tensor.clone() for name, tensor in given.weights.items()}
            weights["head.bias"] = weights["head.bias"].sum()
            if self.short:
                del weights["head.bias"]
            return Made(weights=weights, states={})

    try:
        for short, told in ((True, "of shape None as made"), (False, r"of shape \(\) as made")):
            config = replace(BASE, stages=(Stage(until=4, depth=4, growth=Wrong(short=short)),))
            with pytest.raises(ConfigError, match=rf"head.bias: {told}, \(1,\) in the model"):
                train(TASK, config, tmp_path / str(short))
    finally:
        del Transform.kinds[Wrong.kind]
