"""Runs that train sub-models for a while: what stays untouched, exact resume, FLOPs, refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from swe.base.config import to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.base.interrupt import Interrupted
from swe.run.compiling import graph_count
from swe.run.engine import Engine
from swe.run.extend import extended
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.gates import Gates
from swe.sharing.schedule import AlwaysShared, NeverShared, SweFixed
from swe.sharing.submodels import SubmodelTraining
from swe.sharing.triggers import Stalled
from swe.transforms.growth import Growth
from swe.transforms.same import Keep
from swe.transforms.stage import Stage
from tests.swe.run.test_loop import CONFIG as PLAIN
from tests.swe.run.test_loop import StopAt, assert_same, outcome
from tests.swe.sharing.residual import GrowingRegression, RegressionTask

CPU = torch.device("cpu")
TASK = GrowingRegression(depth=4, dropout=0.1)
SAMPLER = SubmodelTraining(layers=1, begin=0.25, until=0.75)
CONFIG = replace(
    PLAIN,
    schedule=NeverShared(),
    stages=(Stage(until=0.25, depth=2, growth=Growth(depth="stack")),),
    dropping=SAMPLER,
)
"""Of 24 updates 6 are of a model of two layers, then 12 of sub-models of four."""


def drawn(step: int, config: TrainConfig = CONFIG) -> tuple[int, int | None]:
    """Layers of an update's model, and the lowest in training."""
    given = (step, config.steps, 4, config.seed)
    return len(SAMPLER.active(*given)), SAMPLER.cut(*given)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sub-models")
    train(TASK, CONFIG, folder)
    return folder


@pytest.mark.parametrize("step", [6, 9, 18])
def test_a_run_of_sub_models_resumes_bit_for_bit(step: int, unbroken: Path, tmp_path: Path) -> None:
    """Stopped at the growth, in the middle of the stage and at its end."""
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(step))
    train(TASK, CONFIG, tmp_path)
    assert_same(outcome(tmp_path), outcome(unbroken))


def held(engine: Engine) -> dict[str, list[Tensor]]:
    """Each parameter with all that the optimiser keeps of it, count of updates included."""
    state = engine.optimizer.state
    return {
        name: [p.detach().clone(), *(state[p][key].clone() for key in sorted(state[p]))]
        for name, p in engine.model.named_parameters()
    }


def test_what_is_frozen_or_left_out_is_left_as_it_is() -> None:
    """Weights, moments, count of updates; decay is on. All of the others move."""
    config = replace(CONFIG, stages=(), steps=40, dropping=replace(SAMPLER, begin=2, until=20))
    assert config.optimizer.weight_decay > 0
    engine = Engine(TASK, config, CPU, "here")
    sizes = set()
    for step in range(14):
        engine.begin(step, engine.batch(2 * step), measure=False)
        before = held(engine)
        engine.update(step, engine.batch(2 * step))
        after = held(engine)
        given = (step, 40, 4, config.seed)
        assert config.dropping is not None
        size, cut = len(config.dropping.active(*given)), config.dropping.cut(*given)
        sizes.add((size, cut))
        for name, was in before.items():
            layer = int(name.split(".")[2]) if name.startswith("stack") else None
            trains = (name.startswith("head") or cut is None) if layer is None else (
                (cut or 0) <= layer < size
            )  # fmt: skip
            same = len(was) == len(after[name]) and all(map(torch.equal, was, after[name]))
            assert same != trains, (step, name)
    assert sizes == {(4, None), (1, 0), (2, 1), (3, 2), (4, 3)}


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """Names of the gates' methods, as they are called."""
    seen: list[str] = []
    own = {name: getattr(Gates, name) for name in ("check", "within")}

    def spy(name: str) -> Any:
        def call(*args: Any) -> Any:
            seen.append(name)
            return own[name](*args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in own:
            patch.setattr(Gates, name, spy(name))
        yield seen


def test_outside_its_stage_it_costs_nothing(tmp_path: Path) -> None:
    """No gate, and no look at the model: of updates before and after, of a run resumed there."""
    with counted() as seen, pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(6))
    assert seen == []
    with counted() as seen, pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=StopAt(12))
    assert [seen.count(name) for name in ("check", "within")] == [12, 12]
    with counted() as seen:
        train(TASK, CONFIG, tmp_path)
    assert seen == []


def test_flops_are_of_what_ran_and_backward_of_what_trained(unbroken: Path) -> None:
    """Forward a third of a layer, backward two; counted update by update, probes whole."""
    layer, summary = TASK.flops_per_layer, read_json(unbroken / "summary.json")
    thirds = sum(
        3 * 2 if step < 6 else 3 * 4 if cut is None else size + 2 * (size - cut)
        for step in range(24)
        for size, cut in [drawn(step)]
    )
    probes = 2 * 2 + 3 * 4  # before updates 0 and 5, 10, 15, 20
    assert summary["flops"] == pytest.approx((2 * thirds / 3 + probes) * layer, rel=1e-12)
    inside = [drawn(step) for step in range(6, 18)]
    assert summary["layers_run"] == (sum(size for size, _ in inside) + 6 * 4) / (18 * 4)
    assert summary["layers_trained"] == (12 * 1 + 6 * 4) / (18 * 4)
    assert summary["layers_charged"] == "those that ran, backward those that trained"


# Torch hides this warning of its own tracer by a filter that pytest's "error" comes before.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_blocks_train_sub_models_too(tmp_path: Path) -> None:
    """Trained, frozen, and trained on an input without gradient: a program more for each of the
    last two, and none for a draw."""
    torch.compiler.reset()
    config = replace(CONFIG, stages=(), dropping=replace(SAMPLER, begin=1, until=18))
    losses = []
    for speed in (SpeedConfig(), SpeedConfig(compile="blocks", backend="eager")):
        engine, found = Engine(TASK, config, CPU, "here", speed=speed), []
        graphs: list[int] = []
        for step in range(20):
            engine.begin(step, engine.batch(2 * step), measure=False)
            found.append(engine.update(step, engine.batch(2 * step)))
            graphs.append(graph_count())
        losses.append(found)
    assert losses[0] == losses[1]
    assert graphs[-1] == graphs[0] + 2, "the first update trains all layers"
    with pytest.raises(ConfigError, match="compile = 'model': must be none or blocks with dropp"):
        train(TASK, config, tmp_path / "whole", speed=SpeedConfig(compile="model"))
    torch.compiler.reset()


def test_in_bfloat16_one_layer_moves_in_each_update() -> None:
    """A weight that ran frozen has been cast without a graph; that copy must not serve the next
    update, which trains it."""
    sampler = replace(SAMPLER, begin=0)
    config = replace(CONFIG, stages=(), precision="bfloat16", dropping=sampler)
    engine = Engine(TASK, config, CPU, "here")
    for step in range(8):
        before = held(engine)
        engine.begin(step, engine.batch(2 * step), measure=False)
        engine.update(step, engine.batch(2 * step))
        after = held(engine)
        moved = {
            int(name.split(".")[2])
            for name, (was, *_) in before.items()
            if name.startswith("stack") and not torch.equal(was, after[name][0])
        }
        assert moved == {sampler.cut(step, 24, 4, config.seed)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": SweFixed(until=20)}, "schedule = 'swe-f': must be one without sharing with"),
        ({"schedule": AlwaysShared()}, "schedule = 'always-shared': must be one without sharing"),
        ({"dropping": replace(SAMPLER, layers=3)}, "layers = 3: must be a divisor of the 4 of"),
        (
            {"dropping": replace(SAMPLER, begin=0.2)},
            r"stages\[0\].schedule = 'always-shared': must be one without sharing",
        ),
        (
            {"stages": (Stage(until=0.25, depth=4, trained=2, growth=Keep()),)},
            r"stages\[0\].trained = 2: must be left out with dropping",
        ),
    ],
)
def test_what_cannot_train_sub_models_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tied = Stage(until=0.25, depth=2, schedule=AlwaysShared(), growth=Growth(depth="stack"))
    with pytest.raises(ConfigError, match=message):
        train(TASK, replace(CONFIG, **{"stages": (tied,)} | changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_stages_without_its_updates_may_share(tmp_path: Path) -> None:
    """A model of one layer, tied ones, before the growth; one that may end early has its say."""
    tied = Stage(until=0.25, depth=1, schedule=AlwaysShared(), growth=Growth(depth="stack"))
    config = replace(CONFIG, stages=(tied,))
    assert [config.sampler_of(number) for number in (0, 1)] == [None, SAMPLER]
    two = replace(config, stages=(replace(tied, depth=2),))
    assert train(TASK, two, tmp_path)["parameters_at_start"] == 42 + 78 + 7, "one block for both"
    middle = Stage(until=0.9, depth=2, growth=Growth(depth="stack"))
    before = (replace(tied, early=Stalled()), replace(tied, until=0.2))
    for first, wanted in zip(before, (SAMPLER, None), strict=True):
        config = replace(CONFIG, stages=(first, middle))
        assert config.sampler_of(1) == SAMPLER
        last = replace(CONFIG, stages=(first, replace(middle, until=0.8)))
        assert last.sampler_of(2) == wanted, "behind it, unless an early end brings it forward"


def test_an_extended_run_keeps_the_stage_where_it_was() -> None:
    config = replace(CONFIG, stages=())
    longer = extended(config, 20, 200)
    assert longer.dropping == SubmodelTraining(layers=1, begin=6, until=18)
    assert "dropping" not in to_dict(replace(config, dropping=None))


def test_a_task_without_a_price_is_charged_whole(tmp_path: Path) -> None:
    task = RegressionTask(depth=4)
    config = replace(CONFIG, stages=(), steps=6, probe_interval=0)
    summary = train(task, config, tmp_path)
    assert summary["flops"] == 6 * 2 * task.flops_per_batch
    assert summary["layers_charged"] == "all: the task has no flops_per_layer"
