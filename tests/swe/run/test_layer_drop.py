"""Runs that leave layers out: exact resume, all layers outside updates, FLOPs of those that ran."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run.compiling import graph_count
from swe.run.engine import Engine
from swe.run.extend import extended
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.dropping import Active, LayerDrop, ProgressiveLayerDrop
from swe.sharing.schedule import AlwaysShared, NeverShared, SweAdaptive, SweFixed
from swe.sharing.stack import find_stack
from swe.transforms.stage import Stage
from tests.swe.run.test_loop import CONFIG, StopAt, assert_same, outcome
from tests.swe.sharing.residual import GrowingRegression, RegressionTask

CPU = torch.device("cpu")
TASK = RegressionTask(depth=4, dropout=0.1)
DROPPING = replace(CONFIG, dropping=LayerDrop(rate=0.6))


class Counted(RegressionTask):
    """Counts the layers that run, in training and in evaluation."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ran: dict[bool, list[int]] = {True: [], False: []}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        stack = find_stack(model)[1]
        calls: list[bool] = []
        hooks = [
            block.register_forward_hook(lambda module, *_: calls.append(module.training))
            for block in stack.blocks
        ]
        value = super().loss(model, batch)
        for hook in hooks:
            hook.remove()
        self.ran[model.training].append(len(calls))
        return value


def drawn_by(config: TrainConfig, step: int, steps: int, depth: int, seed: int) -> Active:
    """The layers of an update, by the configuration's sampler."""
    assert config.dropping is not None
    return config.dropping.active(step, steps, depth, seed)


def plain(folder: Path) -> dict[str, Any]:
    """The outcome but for what says that layers could have been left out."""
    found = outcome(folder)
    for key in ("layers_run", "layers_charged"):
        found["summary"].pop(key, None)
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dropping")
    train(TASK, DROPPING, folder)
    return folder


@pytest.mark.parametrize("step", [1, 10])
def test_resume_is_exact(step: int, unbroken: Path, tmp_path: Path) -> None:
    """Of blocks without a first update too: step 1 has no moments of some."""
    with pytest.raises(Interrupted):
        train(TASK, DROPPING, tmp_path, stop=StopAt(step))
    train(TASK, DROPPING, tmp_path)
    assert_same(outcome(tmp_path), outcome(unbroken))


def test_resume_with_an_adaptive_schedule_is_exact(tmp_path: Path) -> None:
    config = replace(
        CONFIG,
        schedule=SweAdaptive(rho=1.0, interval=3, patience=2),
        dropping=ProgressiveLayerDrop(theta=0.3, decay=4.0),
        moments="rescale",
    )
    train(TASK, config, tmp_path / "unbroken")
    for _ in range(CONFIG.steps):
        try:
            train(TASK, config, tmp_path / "broken", stop=StopAt(7))
            break
        except Interrupted:
            continue
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "unbroken"))
    assert len(read_lines(tmp_path / "unbroken" / "events.jsonl")) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_rate_of_zero_is_the_plain_run_bit_for_bit(precision: Any, tmp_path: Path) -> None:
    config = replace(
        CONFIG, precision=precision, schedule=SweFixed(until=2), checkpoint_interval=99
    )
    train(TASK, config, tmp_path / "plain")
    train(TASK, replace(config, dropping=LayerDrop(rate=0.0)), tmp_path / "zero")
    assert_same(plain(tmp_path / "zero"), plain(tmp_path / "plain"))
    assert read_json(tmp_path / "zero" / "summary.json")["layers_run"] == 1.0


def test_a_layer_that_drops_changes_the_run(unbroken: Path, tmp_path: Path) -> None:
    train(TASK, CONFIG, tmp_path)
    assert plain(tmp_path)["rows"] != plain(unbroken)["rows"]


# Torch hides this warning of its own tracer by a filter that pytest's "error" comes before.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_blocks_are_gated_and_no_draw_compiles(tmp_path: Path) -> None:
    torch.compiler.reset()
    config, losses = replace(DROPPING, steps=8, schedule=SweFixed(until=4)), []
    for speed in (SpeedConfig(), SpeedConfig(compile="blocks", backend="eager")):
        engine, graphs, found = Engine(TASK, config, CPU, "here", speed=speed), [], []
        for step in range(8):
            batch = engine.batch(2 * step)
            engine.begin(step, batch, measure=False)
            found.append(engine.update(step, batch))
            graphs.append(graph_count())
        losses.append(found)
    assert losses[0] == losses[1]
    assert len(set(graphs)) == 1, "all of it in the first update"
    with pytest.raises(ConfigError, match="compile = 'model': must be none or blocks with dropp"):
        train(TASK, DROPPING, tmp_path / "whole", speed=SpeedConfig(compile="model"))
    assert not (tmp_path / "whole").exists()
    torch.compiler.reset()


def test_layers_are_left_out_of_updates_and_of_nothing_else(tmp_path: Path) -> None:
    """Probes and the look at the model run all in training mode or evaluation's; updates do not."""
    task = Counted(depth=4)
    config = replace(DROPPING, steps=6, schedule=NeverShared(), probe_interval=3, accumulation=2)
    engine = Engine(task, config, CPU, "here")
    for step in range(6):
        batch = engine.batch(2 * step)
        engine.begin(step, batch, measure=step % 3 == 0)
        before = len(task.ran[True])
        engine.update(step, batch)
        expected = len(drawn_by(DROPPING, step, 6, 4, config.seed))
        assert task.ran[True][before:] == [expected] * 2, "one draw for the whole update"
    engine.evaluate()
    engine.held_loss(engine.batch(0))
    engine.probe_halves(3, engine.batch(0))
    updates = 6 * 2
    assert len(task.ran[True]) == updates + 2 + 2
    assert task.ran[True].count(4) >= 4, "two probes and two halves"
    assert task.ran[True][-2:] == [4, 4]
    assert task.ran[False] == [4, 4, 4], "the look, the evaluation, the held loss"


@pytest.mark.parametrize("convention", ["mean", "sum"])
def test_a_tied_block_moves_by_the_mean_over_all_its_layers(convention: Any) -> None:
    """Those left out count with a gradient of zero: by the untied copy's own gradients."""
    task = RegressionTask(depth=4, dtype=torch.float64)
    optimizer = OptimizerConfig(clip_norm=None)
    base = TrainConfig(steps=9, optimizer=optimizer, dropping=LayerDrop(rate=0.5))
    own = dict(list(find_stack(task.build(0))[1].blocks[0].named_parameters()))
    found: dict[str, dict[str, Tensor]] = {}
    untied = Engine(task, replace(base, schedule=NeverShared()), CPU, "untied")
    tied = Engine(task, replace(base, schedule=AlwaysShared(), convention=convention), CPU, "tied")
    with torch.no_grad():
        for block in untied.stack.blocks:
            for name, parameter in block.named_parameters():
                parameter.copy_(own[name])
    step = next(s for s in range(9) if len(drawn_by(base, s, 9, 4, 0)) == 2)
    for name, engine in (("untied", untied), ("tied", tied)):
        engine.begin(0, engine.batch(0), measure=False)
        gradients: dict[str, Tensor] = {}

        def keep(*_: Any, engine: Engine = engine, into: dict[str, Tensor] = gradients) -> None:
            for block in engine.stack.blocks:
                for key, parameter in block.named_parameters():
                    if parameter.grad is not None:
                        into[key] = into.get(key, torch.zeros(())) + parameter.grad

        engine.optimizer.register_step_pre_hook(keep)
        engine.update(step, engine.batch(step))
        found[name] = gradients
    share = 4 if convention == "mean" else 1
    for key, total in found["untied"].items():
        assert torch.allclose(found["tied"][key], total / share, rtol=1e-12, atol=1e-15)


def test_a_block_that_did_not_run_is_left_as_it_is() -> None:
    """Weights, moments and count of steps: AdamW passes over what has no gradient."""
    config = TrainConfig(steps=30, dropping=LayerDrop(rate=0.5))
    engine = Engine(RegressionTask(depth=3), config, CPU, "here")
    draws = [drawn_by(config, s, 30, 3, 0) for s in range(30)]
    engine.begin(0, engine.batch(0), measure=False)
    seen = 0
    for step in range(8):
        state = engine.optimizer.state
        held = [
            [
                (p, p.detach().clone(), {key: value.clone() for key, value in state[p].items()})
                for p in block.parameters()
            ]
            for block in engine.stack.blocks
        ]
        engine.update(step, engine.batch(step))
        for layer, kept in enumerate(held):
            for parameter, value, before in kept:
                same = torch.equal(parameter, value) and all(
                    torch.equal(state[parameter][key], was) for key, was in before.items()
                )
                assert same == (layer not in draws[step])
                seen += same
    assert seen


def test_flops_are_those_of_the_layers_that_ran(tmp_path: Path) -> None:
    task = GrowingRegression(depth=4)
    config = replace(DROPPING, schedule=NeverShared(), steps=20)
    summary = train(task, config, tmp_path / "priced")
    drawn = [drawn_by(config, s, 20, 4, 3) for s in range(20)]
    ran = sum(len(active) for active in drawn)
    probes = 4 * task.flops_per_batch
    assert summary["flops"] == pytest.approx(ran * 2 * task.flops_per_layer + probes, rel=1e-12)
    assert summary["layers_run"] == ran / 80
    assert summary["layers_charged"] == "those that ran"
    whole = train(RegressionTask(depth=4), config, tmp_path / "whole")
    assert whole["flops"] == (20 * 2 + 4) * RegressionTask(depth=4).flops_per_batch
    assert whole["layers_charged"] == "all: the task has no flops_per_layer"


def test_stages_have_their_own_layers_left_out(tmp_path: Path) -> None:
    """Two layers until update 6, then four; FLOPs of each, resumed at the growth bit for bit."""
    task = GrowingRegression(depth=4, dtype=torch.float64)
    config = replace(
        DROPPING,
        steps=24,
        schedule=SweFixed(until=15),
        probe_interval=0,
        dropping=ProgressiveLayerDrop(theta=0.5, decay=6.0),
        stages=(Stage(until=6, depth=2),),
    )
    summary = train(task, config, tmp_path / "unbroken")
    dropping = config.dropping
    assert dropping is not None
    ran = sum(
        len(dropping.active(step, 24, 2 if step < 6 else 4, config.seed)) for step in range(24)
    )
    assert summary["flops"] == pytest.approx(2 * ran * task.flops_per_layer, rel=1e-12)
    last = sum(len(dropping.active(step, 24, 4, config.seed)) for step in range(6, 24))
    assert summary["layers_run"] == last / (18 * 4)
    for stop in (StopAt(6), StopAt(4), StopAt(99)):
        with contextlib.suppress(Interrupted):
            train(task, config, tmp_path / "broken", stop=stop)
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "unbroken"))


def test_folders_of_earlier_versions_are_the_same_run() -> None:
    assert "dropping" not in to_dict(CONFIG)
    kept = to_dict(DROPPING)
    assert kept["dropping"] == {"kind": "layer-drop", "rate": 0.6}
    assert from_dict(TrainConfig, kept) == DROPPING
    with pytest.raises(ConfigError, match=r"dropping.kind = 'x': must be one of layer-drop, prog"):
        from_dict(TrainConfig, kept | {"dropping": {"kind": "x"}})


def test_an_extended_run_drew_by_the_length_that_it_had() -> None:
    config = replace(CONFIG, steps=10, optimizer=OptimizerConfig(warmup=2))
    config = extended(extended(replace(config, schedule=NeverShared()), 4, 20), 12, 30)
    assert [config.length_at(step) for step in (0, 3, 4, 11, 12, 29)] == [10, 10, 20, 20, 30, 30]


class Caching(RegressionTask):
    def build(self, seed: int) -> nn.Module:
        model = super().build(seed)
        for block in find_stack(model)[1].blocks:
            block.register_forward_hook(lambda *given: (given[-1], given[-1]))
        return model


def test_layers_that_return_more_are_refused_before_an_update(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dropping: layer 0 returns 2 values") as caught:
        train(Caching(depth=2), replace(DROPPING, schedule=NeverShared()), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "metrics.jsonl").exists() or not read_lines(tmp_path / "metrics.jsonl")
