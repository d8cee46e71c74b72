"""CYCLE (REV), 1 2 3 3 2 1: what holds of any layout, with the families of layers written out."""

from __future__ import annotations

import copy
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import AdamW

from swe.base.files import read_lines
from swe.base.interrupt import Interrupted
from swe.run import checkpoint
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.gradients import GradientRule, parameter_uses
from swe.sharing.layout import Layout
from swe.sharing.schedule import CycleReversed, EqualStart
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import SharedStack, Stack, find_stack
from swe.sharing.statistics import probe, weight_energies
from swe.sharing.unshare import optimizer_state_by_name, unshare
from tests.swe.run import crash
from tests.swe.sharing.residual import RegressionTask

FAMILIES = {6: ((0, 5), (1, 4), (2, 3)), 9: ((0, 3, 8), (1, 4, 7), (2, 5, 6))}
"""Layers that share, three distinct ones, by the depth of the stack."""


def built(depth: int, schedule: CycleReversed | EqualStart) -> tuple[RegressionTask, nn.Module]:
    task = RegressionTask(depth=depth, dtype=torch.float64)
    model = task.build(4)
    prepare(find_stack(model)[1], schedule)
    return task, model


def stack_of(model: nn.Module) -> Stack:
    return find_stack(model)[1]


def flat(layer: nn.Module, *, gradient: bool = False) -> Tensor:
    held = [p.grad if gradient else p.detach() for p in layer.parameters()]
    return torch.cat([tensor.flatten() for tensor in held if tensor is not None])


def own_gradients(task: RegressionTask, model: nn.Module, index: int) -> list[Tensor]:
    """Each layer's own, by ordinary backward through a copy that is untied."""
    twin = copy.deepcopy(model)
    stack_of(twin).relayout(stack_of(twin).layout.untie())
    twin.zero_grad()
    task.loss(twin, task.batch(0, index)).backward()
    return [flat(layer, gradient=True) for layer in stack_of(twin).layer_modules()]


@pytest.mark.parametrize("depth", list(FAMILIES))
def test_it_trains_as_copies_with_averaged_gradients(depth: int) -> None:
    """Before, at and after the untie, clipped: 1e-12, the rounding of float64 sums."""
    tau, families = 4, FAMILIES[depth]
    task, tied = built(depth, CycleReversed(unit=3))
    assert set(parameter_uses(tied).values()) == {1, depth // 3}
    _, copies = built(depth, EqualStart())
    for family in families:
        for layer in family:
            block = stack_of(copies).blocks[layer]
            block.load_state_dict(stack_of(tied).layer_modules()[layer].state_dict())
    one, other = (AdamW(m.parameters(), lr=0.01) for m in (tied, copies))
    swe = ShareThenUnshare(tied, one, CycleReversed(unit=3, until=tau), 8, clip_norm=0.2)
    for step in range(8):
        batch = task.batch(0, step)
        swe.begin_step(step, partial(task.loss, tied, batch))
        for model in (tied, copies):
            model.zero_grad()
            task.loss(model, batch).backward()
        for family in families if step < tau else ():
            own = (stack_of(copies).blocks[layer].parameters() for layer in family)
            for parameters in zip(*own, strict=True):
                mean = torch.stack([p.grad for p in parameters if p.grad is not None]).mean(0)
                for parameter in parameters:
                    parameter.grad = mean.clone()
        swe.finish_gradients()
        GradientRule(copies, "mean", 0.2).apply()
        one.step()
        other.step()
        weights = [
            torch.stack([flat(layer) for layer in stack_of(model).layer_modules()])
            for model in (tied, copies)
        ]
        torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-12)
    assert stack_of(tied).layout.owner == tuple(range(depth))


@settings(max_examples=8)
@given(turns=st.integers(2, 4), unit=st.integers(2, 3), data=st.data())
def test_any_splits_keep_function_state_and_reload(
    turns: int, unit: int, data: st.DataObject
) -> None:
    depth, schedule = turns * unit, CycleReversed(unit=unit)
    task, model = built(depth, schedule)
    optimizer = AdamW(model.parameters(), lr=0.01)
    swe = ShareThenUnshare(model, optimizer, schedule, 10)
    cuts = st.sets(st.integers(0, turns - 2))
    for number, cut in enumerate(data.draw(st.lists(cuts, max_size=2))):
        update(task, model, optimizer, number)
        old, inputs = stack_of(model).layout, task.batch(0, 99)["inputs"]
        before, states = model(inputs), copy.deepcopy(optimizer_state_by_name(model, optimizer))
        unshare(model, optimizer, old.split(cut))
        assert torch.equal(model(inputs), before)
        parents = stack_of(model).layout.parents(old)
        for name, state in optimizer_state_by_name(model, optimizer).items():
            if name.startswith("stack."):
                block, rest = name.removeprefix("stack.blocks.").split(".", 1)
                name = f"stack.blocks.{parents[int(block)]}.{rest}"
            assert all(torch.equal(value, states[name][key]) for key, value in state.items())
    saved = swe.to_json()
    saved["schedule"]["layout"] = stack_of(model).layout.to_json()
    with tempfile.TemporaryDirectory() as folder:
        found = checkpoint.verify(checkpoint.save(Path(folder), 3, model, optimizer, saved))
        _, other = built(depth, schedule)
        fresh = AdamW(other.parameters(), lr=0.01)
        ShareThenUnshare(other, fresh, schedule, 10).restore(found.state)
        found.load_weights(other)
        found.load_optimizer(other, fresh)
    assert stack_of(other).layout == stack_of(model).layout
    for one, its in ((model, optimizer), (other, fresh)):
        update(task, one, its, 7)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def update(task: RegressionTask, model: nn.Module, optimizer: AdamW, index: int) -> None:
    optimizer.zero_grad()
    task.loss(model, task.batch(0, index)).backward()
    GradientRule(model).apply()
    optimizer.step()


@pytest.mark.parametrize("cuts", [(), (0,), (1,), (0, 1)])
def test_repeats_are_compared_by_the_place_in_the_unit(cuts: tuple[int, ...]) -> None:
    """Probe, energies and the moments' ratio, the last turn's layers taken as 8, 7, 6."""
    task, model = built(9, CycleReversed(unit=3))
    optimizer = AdamW(model.parameters(), lr=0.01)
    update(task, model, optimizer, 0)
    unshare(model, optimizer, stack_of(model).layout.split(cuts))
    update(task, model, optimizer, 1)
    turns = ((0, 1, 2), (3, 4, 5), (8, 7, 6))
    layers = own_gradients(task, model, 5)
    own = torch.stack([torch.cat([layers[i] for i in turn]) for turn in turns])
    statistics = probe(stack_of(model), lambda: task.loss(model, task.batch(0, 5)))
    np.testing.assert_allclose(statistics.gram, (own @ own.T).numpy(), rtol=1e-12, atol=1e-14)
    weights = [flat(layer) for layer in stack_of(model).layer_modules()]
    families = torch.stack([torch.stack([weights[i] for i in f]) for f in FAMILIES[9]])
    deviation = (families - families.mean(1, keepdim=True)).square().sum()
    measured = weight_energies(stack_of(model))["deviation"]
    assert measured == pytest.approx(float(deviation), rel=1e-12, abs=1e-25), "float64, squared"
    assert (measured == 0) == (not cuts)
    old, before = stack_of(model).layout, optimizer_state_by_name(model, optimizer)
    before = {name: {k: v.clone() for k, v in s.items()} for name, s in before.items()}
    unshare(model, optimizer, old.untie(), moments="rescale", statistics=statistics)
    after = optimizer_state_by_name(model, optimizer)
    for turn, group in enumerate(old.group_of):
        tied = own[[r for r, other in enumerate(old.group_of) if other == group]].mean(0)
        factor = float(own[turn].square().sum() / tied.square().sum())
        for layer in turns[turn]:
            parent = before[f"stack.blocks.{old.owner[layer]}.inner.weight"]["exp_avg_sq"]
            found = after[f"stack.blocks.{layer}.inner.weight"]["exp_avg_sq"]
            torch.testing.assert_close(found, parent * factor, rtol=1e-10, atol=0)


@pytest.mark.parametrize("stop", [3, 10, 15])
def test_resume_before_at_and_after_tau_is_exact(stop: int, tmp_path: Path) -> None:
    config = TrainConfig(
        steps=18,
        seed=3,
        schedule=CycleReversed(unit=2, until=10),
        log_interval=2,
        eval_interval=9,
        probe_interval=5,
        moments="rescale",
        optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
    )
    task = RegressionTask(depth=6, dropout=0.1)
    left = iter(range(stop))
    with pytest.raises(Interrupted):
        train(task, config, tmp_path / "two", stop=lambda: next(left, None) is None)
    kept = checkpoint.latest(tmp_path / "two" / "checkpoints", pytest.fail)
    assert kept is not None
    layout = kept.state["swe"]["schedule"]["layout"]
    groups = [3] if stop <= 10 else [1, 1, 1]
    assert layout == {"depth": 6, "unit": 2, "groups": groups, "last_reversed": True}
    for folder in ("two", "one"):
        train(task, config, tmp_path / folder)
    one, two = (crash.outcome(tmp_path / folder, 18) for folder in ("one", "two"))
    assert not crash.differences(one, two)
    [event] = read_lines(tmp_path / "one" / "events.jsonl")
    assert (event["step"], event["before"], event["after"]) == (10, "2x3 (rev)", "6x1")


class Scaled(nn.Module):
    """A layer whose scale is its own and whose weights may be shared."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(3, 3), scale

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.scale * torch.tanh(self.inner(hidden))


def test_what_is_each_layer_s_own_stays_there() -> None:
    torch.manual_seed(0)
    layers = [Scaled(0.1 * index**2) for index in range(6)]
    inner = [copy.deepcopy(layers[index].inner) for index in (0, 1, 2, 2, 1, 0)]
    layout = Layout.tied(6, 3, last_reversed=True)
    stack = SharedStack(layers, layout, per_layer=("scale",))
    out = hidden = torch.randn(4, 3)
    for index, linear in enumerate(inner):
        out = out + 0.1 * index**2 * torch.tanh(linear(out))
    assert torch.equal(stack(hidden), out)
    stack.relayout(layout.untie())
    assert torch.equal(stack(hidden), out)


def test_an_equal_start_is_equal_where_layers_would_share() -> None:
    stack = SharedStack([Scaled(1.0) for _ in range(6)], Layout.untied(6))
    stack.layout = Layout.tied(6, 3, last_reversed=True).untie()
    stack.equalise()
    weights = [flat(block) for block in stack.blocks]
    for first, last in FAMILIES[6]:
        assert torch.equal(weights[first], weights[last])
    assert not torch.equal(weights[0], weights[1])
