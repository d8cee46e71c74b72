"""The invariants of sharing: tied training IS the paper's mean-gradient algorithm, and untying
changes neither the function nor anybody's optimiser state."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from swe.run import checkpoint
from swe.sharing.gradients import Convention, GradientRule
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, ScheduleState, SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import Stack, find_stack
from swe.sharing.statistics import probe
from swe.sharing.unshare import Moments, optimizer_state_by_name, unshare
from tests.swe.sharing.residual import RegressionTask

DEPTH = 6
OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": lambda p: SGD(p, lr=0.005),  # stable unclipped: rounding must not be amplified
    "momentum": lambda p: SGD(p, lr=0.002, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: AdamW(p, lr=0.01, amsgrad=True),
}


def build(
    unit: int | None, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> tuple[RegressionTask, nn.Module, Stack]:
    """A residual net tied in units of ``unit``, or with an equal start and untied (None)."""
    task = RegressionTask(depth=DEPTH, dtype=dtype)
    model = task.build(seed)
    _, stack = find_stack(model)
    prepare(stack, EqualStart() if unit is None else AlwaysShared(unit=unit))
    return task, model, stack


def average_gradients(stack: Stack, layout: Layout) -> None:
    """The paper's rule, spelled out on an untied stack: each layer takes its family's mean."""
    for block in range(layout.block_count):
        family = [i for i, owner in enumerate(layout.owner) if owner == block]
        for tensors in zip(*(list(stack.blocks[i].parameters()) for i in family), strict=True):
            mean = torch.stack([t.grad for t in tensors if t.grad is not None]).mean(0)
            for tensor in tensors:
                tensor.grad = mean.clone()


def layer_weights(stack: Stack) -> list[Tensor]:
    """Each logical layer's parameters in one vector."""
    return [
        torch.cat([p.detach().flatten() for p in stack.blocks[owner].parameters()])
        for owner in stack.layout.owner
    ]


@pytest.mark.parametrize("clip_norm", [None, 0.2])
@pytest.mark.parametrize("unit", [1, 2, 3])
@pytest.mark.parametrize("kind", list(OPTIMISERS))
def test_tied_equals_untied_with_averaged_gradients(
    kind: str, unit: int, clip_norm: float | None
) -> None:
    """For every optimiser, unit and with clipping: 1e-12, the rounding of float64 sums."""
    task, tied, tied_stack = build(unit)
    layout = Layout.tied(DEPTH, unit)
    _, untied, untied_stack = build(None)
    for index, block in enumerate(untied_stack.blocks):
        block.load_state_dict(tied_stack.blocks[layout.owner[index]].state_dict())
    one, other = (OPTIMISERS[kind](list(m.parameters())) for m in (tied, untied))
    rules = [GradientRule(m, "mean", clip_norm) for m in (tied, untied)]
    for index in range(15):
        batch = task.batch(0, index)
        for model, optimizer, rule in ((tied, one, rules[0]), (untied, other, rules[1])):
            optimizer.zero_grad()
            task.loss(model, batch).backward()
            if model is untied:
                average_gradients(untied_stack, layout)
            rule.apply()
            optimizer.step()
        torch.testing.assert_close(
            torch.stack(layer_weights(tied_stack)),
            torch.stack(layer_weights(untied_stack)),
            rtol=1e-12,
            atol=1e-12,
        )
    heads = (model.get_submodule("head").parameters() for model in (tied, untied))
    for a, b in zip(*heads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_the_sum_convention_differs_by_the_number_of_uses() -> None:
    task, tied, _ = build(1)
    gradients: dict[Convention, list[Tensor]] = {}
    conventions: tuple[Convention, ...] = ("mean", "sum")
    for convention in conventions:
        tied.zero_grad()
        task.loss(tied, task.batch(0, 0)).backward()
        GradientRule(tied, convention).apply()
        gradients[convention] = [
            p.grad.clone()
            for n, p in tied.named_parameters()
            if "blocks" in n and p.grad is not None
        ]
    for mean, total in zip(gradients["mean"], gradients["sum"], strict=True):
        torch.testing.assert_close(mean * DEPTH, total, rtol=1e-14, atol=0)


@given(data=st.data(), seed=st.integers(0, 99))
def test_layers_that_share_stay_equal_under_any_optimiser(data: st.DataObject, seed: int) -> None:
    """Untied in memory, averaged by rule: equal layers stay equal, to the last bit."""
    task, model, stack = build(None, seed=seed)
    optimizer = OPTIMISERS[data.draw(st.sampled_from(sorted(OPTIMISERS)))](list(model.parameters()))
    batches = data.draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
    for index in batches:
        optimizer.zero_grad()
        task.loss(model, task.batch(seed, index)).backward()
        average_gradients(stack, Layout.tied(DEPTH))
        optimizer.step()
    first, *others = layer_weights(stack)
    assert all(torch.equal(first, other) for other in others)


def train_steps(
    task: RegressionTask, model: nn.Module, optimizer: Optimizer, count: int, offset: int = 0
) -> None:
    rule = GradientRule(model, "mean", 1.0)
    for index in range(offset, offset + count):
        optimizer.zero_grad(set_to_none=True)
        task.loss(model, task.batch(0, index)).backward()
        rule.apply()
        optimizer.step()


cuts = st.lists(st.sets(st.integers(0, DEPTH - 2), min_size=1), min_size=1, max_size=3)


@given(
    kind=st.sampled_from(sorted(OPTIMISERS)),
    splits=cuts,
    moments=st.sampled_from(["copy", "reset"]),
)
def test_function_is_unchanged_bit_for_bit_across_any_splits(
    kind: str, splits: list[set[int]], moments: Moments
) -> None:
    task, model, stack = build(1, dtype=torch.float32)
    optimizer = OPTIMISERS[kind](list(model.parameters()))
    batch = task.batch(0, 10**6)
    for number, boundary in enumerate(splits):
        train_steps(task, model, optimizer, 2, offset=2 * number)
        before = model(batch["inputs"])
        unshare(model, optimizer, stack.layout.split(boundary), moments=moments)
        assert torch.equal(before, model(batch["inputs"]))
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
    assert len(set(held)) == len(held), "one optimiser entry a parameter"


@pytest.mark.parametrize("kind", ["momentum", "adamw", "amsgrad"])
def test_optimiser_state_follows_the_names(kind: str) -> None:
    """After a split each layer's state equals its parent's; what did not split is untouched."""
    task, model, stack = build(2)
    optimizer = OPTIMISERS[kind](list(model.parameters()))
    train_steps(task, model, optimizer, 3)
    before = copy.deepcopy(optimizer_state_by_name(model, optimizer))
    old = stack.layout
    unshare(model, optimizer, old.split([0]))
    after = optimizer_state_by_name(model, optimizer)
    assert set(after) == {name for name, _ in model.named_parameters()}
    parents = stack.layout.parents(old)
    for name, state in after.items():
        source = name
        if name.startswith("stack.blocks."):
            _, _, block, rest = name.split(".", 3)
            source = f"stack.blocks.{parents[int(block)]}.{rest}"
        assert state.keys() == before[source].keys()
        for key, value in state.items():
            assert torch.equal(value, before[source][key]), (name, key)
    entries = [id(v) for s in after.values() for v in s.values()]
    assert len(set(entries)) == len(entries), "no state tensor serves two parameters"


def test_copied_moments_continue_as_the_averaged_run_would() -> None:
    """Tied then untied = averaged gradients until tau, own gradients after, in one untied run."""
    task, tied, stack = build(1)
    _, untied, untied_stack = build(None)
    one, other = (OPTIMISERS["adamw"](list(m.parameters())) for m in (tied, untied))
    for index in range(12):
        if index == 5:
            unshare(tied, one, stack.layout.untie())
        for model, optimizer in ((tied, one), (untied, other)):
            optimizer.zero_grad()
            task.loss(model, task.batch(0, index)).backward()
            if model is untied and index < 5:
                average_gradients(untied_stack, Layout.tied(DEPTH))
            GradientRule(model).apply()
            optimizer.step()
    torch.testing.assert_close(
        torch.stack(layer_weights(stack)),
        torch.stack(layer_weights(untied_stack)),
        rtol=1e-12,
        atol=1e-12,
    )


def test_reset_drops_the_state_of_split_layers_only() -> None:
    task, model, stack = build(1)
    optimizer = OPTIMISERS["adamw"](list(model.parameters()))
    train_steps(task, model, optimizer, 3)
    unshare(model, optimizer, stack.layout.untie(), moments="reset")
    names = set(optimizer_state_by_name(model, optimizer))
    assert names == {n for n, _ in model.named_parameters() if not n.startswith("stack.")}
    train_steps(task, model, optimizer, 1, offset=3)
    states = optimizer_state_by_name(model, optimizer)
    assert float(states["stack.blocks.2.inner.weight"]["step"]) == 1
    assert float(states["embed.weight"]["step"]) == 4


def test_rescale_multiplies_second_moments_by_the_measured_ratio() -> None:
    """Layer l's factor is ||g_l||^2 / ||mean g||^2, from gradients computed by another route."""
    task, model, stack = build(1)
    optimizer = OPTIMISERS["adamw"](list(model.parameters()))
    train_steps(task, model, optimizer, 3)
    batch = task.batch(0, 50)
    statistics = probe(stack, lambda: task.loss(model, batch))
    tied = copy.deepcopy(optimizer_state_by_name(model, optimizer))
    unshare(model, optimizer, stack.layout.untie(), moments="rescale", statistics=statistics)
    model.zero_grad()
    task.loss(model, batch).backward()
    own = [
        torch.cat([p.grad.flatten() for p in block.parameters() if p.grad is not None])
        for block in stack.blocks
    ]
    mean_square = float(torch.stack(own).mean(0).square().sum())
    states = optimizer_state_by_name(model, optimizer)
    for layer, gradient in enumerate(own):
        name, parent = f"stack.blocks.{layer}.inner.weight", "stack.blocks.0.inner.weight"
        factor = float(gradient.square().sum()) / mean_square
        torch.testing.assert_close(
            states[name]["exp_avg_sq"], tied[parent]["exp_avg_sq"] * factor, rtol=1e-10, atol=0
        )
        assert torch.equal(states[name]["exp_avg"], tied[parent]["exp_avg"])


@pytest.mark.parametrize("unit", [1, 2, 3, 6])
def test_parameter_counts(unit: int) -> None:
    """Tied AxB has A blocks, untied has all; what lies outside the stack counts once."""
    _, model, stack = build(unit)
    block = sum(p.numel() for p in stack.blocks[0].parameters())
    outside = sum(p.numel() for n, p in model.named_parameters() if not n.startswith("stack."))
    assert sum(p.numel() for p in model.parameters()) == outside + unit * block
    unshare(model, OPTIMISERS["adamw"](list(model.parameters())), stack.layout.untie())
    assert sum(p.numel() for p in model.parameters()) == outside + DEPTH * block


def test_equal_start_is_the_tied_start_never_shared_differs() -> None:
    task = RegressionTask(depth=DEPTH)
    starts = {}
    for schedule in (NeverShared(), EqualStart(), SweFixed(until=3)):
        model = task.build(7)
        prepare(find_stack(model)[1], schedule)
        starts[schedule.kind] = (model, layer_weights(find_stack(model)[1]))
    inputs = task.batch(0, 0)["inputs"]
    equal, tied = starts["equal-start"][0], starts["swe-f"][0]
    assert torch.equal(equal(inputs), tied(inputs))
    random = starts["never-shared"][1]
    assert torch.equal(random[0], starts["swe-f"][1][0]), "arms share the first layer's start"
    assert not any(torch.equal(random[0], other) for other in random[1:])


@pytest.mark.parametrize("convention", ["mean", "sum"])
def test_runner_checks_the_function_and_reports_the_event(convention: Convention) -> None:
    task, model, stack = build(1)
    optimizer = OPTIMISERS["adamw"](list(model.parameters()))
    swe = ShareThenUnshare(model, optimizer, SweFixed(until=4), 8, convention=convention)
    events = []
    for step in range(8):
        batch = task.batch(0, step)
        event = swe.begin_step(step, partial(task.loss, model, batch))
        if event:
            events.append((event.step, str(event.before), str(event.after)))
        task.loss(model, batch).backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
    assert events == [(4, f"1x{DEPTH}", f"{DEPTH}x1")]
    assert stack.layout.is_untied


@given(splits=st.lists(st.sets(st.integers(0, DEPTH - 2)), max_size=3), seed=st.integers(0, 9))
def test_forward_loss_and_next_update_survive_a_reload(splits: list[set[int]], seed: int) -> None:
    """Any chain of splits, saved and loaded into a fresh tied model: the same run goes on."""
    schedule = AlwaysShared()
    task, model, stack = build(1, seed=seed, dtype=torch.float32)
    optimizer = OPTIMISERS["adamw"](list(model.parameters()))
    swe = ShareThenUnshare(model, optimizer, schedule, 10)
    for number, cuts in enumerate(splits):
        train_steps(task, model, optimizer, 1, offset=number)
        unshare(model, optimizer, stack.layout.split(cuts))
    state = ScheduleState(stack.layout).to_json()
    with tempfile.TemporaryDirectory() as folder:
        path = checkpoint.save(Path(folder), 3, model, optimizer, swe.to_json())
        found = checkpoint.verify(path)
        _, other, other_stack = build(1, seed=seed + 100, dtype=torch.float32)
        fresh = OPTIMISERS["adamw"](list(other.parameters()))
        again = ShareThenUnshare(other, fresh, schedule, 10)
        again.restore(found.state | {"schedule": state})
        found.load_weights(other)
        found.load_optimizer(other, fresh)
    assert other_stack.layout == stack.layout
    batch = task.batch(seed, 77)
    assert torch.equal(model(batch["inputs"]), other(batch["inputs"]))
    for one, opt in ((model, optimizer), (other, fresh)):
        train_steps(task, one, opt, 2, offset=50)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
