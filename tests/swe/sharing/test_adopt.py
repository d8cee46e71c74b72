"""Foreign models, in place: their list shares as our stack does, bit for bit, and comes apart."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt, share
from swe.sharing.layers import LayerList
from swe.sharing.layout import Layout
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import find_stack
from swe.sharing.statistics import probe
from swe.sharing.unshare import Moments
from tests.swe.sharing.residual import ResidualBlock, ResidualNet, start

DEPTH, WIDTH, STEPS = 6, 4, 12


class Own(nn.Module):
    """A user's model: its own loop over a ModuleList, something before and after."""

    body: Any

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, WIDTH)
        self.body = nn.Module()
        self.body.layers = nn.ModuleList([ResidualBlock(WIDTH) for _ in range(DEPTH)])
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.into(hidden)
        for layer in self.body.layers:
            hidden = layer(hidden)
        out: Tensor = self.out(hidden)
        return out


class Vision(nn.Module):
    """As torchvision has it: the layers are a Sequential with names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for index in range(DEPTH):
            self.features.add_module(f"block{index}", ResidualBlock(WIDTH))
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(hidden))
        return out


def own(seed: int = 0) -> Own:
    model = Own()
    start(model, seed)
    return model


def batch(step: int) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(step)
    return (torch.randn(8, WIDTH, generator=source), torch.randn(8, WIDTH, generator=source))


def loss_of(model: nn.Module, step: int) -> Tensor:
    inputs, targets = batch(step)
    return functional.mse_loss(model(inputs), targets)


def run(swe: ShareThenUnshare, first: int = 0, last: int = STEPS) -> list[int]:
    """Train; return the steps at which the layout changed."""
    changed = []
    for step in range(first, last):
        if swe.begin_step(step, partial(loss_of, swe.model, step)):
            changed.append(step)
        loss_of(swe.model, step).backward()
        swe.finish_gradients()
        swe.optimizer.step()
        swe.optimizer.zero_grad()
    return changed


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


SCHEDULES: list[Schedule] = [
    SweFixed(until=5),
    SweFixed(until=5, unit=2),
    SweAdaptive(interval=3, rho=1.0, patience=2),
    SweMultistage(interval=3, rho=0.9),
    AlwaysShared(unit=3),
    EqualStart(),
    NeverShared(),
]


@pytest.mark.parametrize("moments", ["copy", "reset", "rescale"])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_foreign_list_trains_as_our_stack_does(schedule: Schedule, moments: Moments) -> None:
    """Same start, same batches: the weights of every layer agree bit for bit."""
    ours, foreign = ResidualNet(DEPTH, WIDTH), own()
    start(ours, 0)
    for index, layer in enumerate(foreign.body.layers):
        layer.load_state_dict(ours.stack.blocks[index].state_dict())
    model = nn.Sequential(copy.deepcopy(foreign.into), ours.stack, copy.deepcopy(foreign.out))
    prepare(ours.stack, schedule)
    options: dict[str, Any] = {"lr": 0.05, "weight_decay": 0.1}
    reference = ShareThenUnshare(
        model,
        torch.optim.AdamW(model.parameters(), **options),
        schedule,
        STEPS,
        clip_norm=0.5,
        moments=moments,
    )
    optimizer = torch.optim.AdamW(foreign.parameters(), **options)
    swe = adopt(foreign, "body.layers", schedule, optimizer, STEPS, clip_norm=0.5, moments=moments)
    changed = run(swe)
    assert changed == run(reference)
    assert bool(changed) == schedule.kind.startswith("swe-")
    assert isinstance(swe.stack, LayerList)
    assert swe.stack.layout == ours.stack.layout
    layers = list(foreign.body.layers)
    for layer, block in zip(layers, ours.stack.layout.owner, strict=True):
        assert_equal(layer.state_dict(), ours.stack.blocks[block].state_dict())
    assert_equal(foreign.out.state_dict(), model[2].state_dict())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in foreign.parameters()}
    assert {id(p) for p in optimizer.state} == held


def distinct_weights(layers: Any) -> int:
    """Sets of parameters that the layers hold."""
    return len({tuple(map(id, layer.parameters())) for layer in layers})


def test_the_tied_phase_keeps_the_modules_and_one_set_of_weights() -> None:
    model = own()
    untied = sum(p.numel() for p in model.parameters())
    container = model.body.layers
    one = sum(p.numel() for p in model.body.layers[0].parameters())
    optimizer = torch.optim.AdamW(model.parameters())
    layers = list(container)
    adopt(model, container, SweFixed(until=3), optimizer, STEPS)
    assert model.body.layers is container
    assert isinstance(container, nn.ModuleList)
    assert list(container) == layers
    assert distinct_weights(container) == 1
    assert sum(p.numel() for p in model.parameters()) == untied - (DEPTH - 1) * one
    named = [name for name, _ in model.named_parameters() if name.startswith("body.")]
    assert all(name.startswith("body.layers.0.") for name in named)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert held == [id(p) for p in model.parameters()]


@pytest.mark.parametrize("schedule", [SweFixed(until=3), SweFixed(until=3, unit=2)], ids=str)
def test_probe_sees_the_layers_own_gradients(schedule: Schedule) -> None:
    """Against an untied copy of the tied model, and nothing is left behind."""
    model = Vision()
    start(model, 1)
    share(model, "features", schedule)
    stack = find_stack(model)[1]
    plain = Vision()
    plain.load_state_dict(model.state_dict())
    before = weights(model)
    state = torch.get_rng_state()
    statistics = probe(stack, lambda: loss_of(model, 0))
    assert torch.equal(torch.get_rng_state(), state)
    loss_of(plain, 0).backward()
    unit = schedule.unit
    own = [
        torch.cat(
            [
                p.grad.flatten()
                for layer in list(plain.features)[r * unit : (r + 1) * unit]
                for p in layer.parameters()
                if p.grad is not None
            ]
        )
        for r in range(DEPTH // unit)
    ]
    gram = torch.tensor(statistics.gram)
    expected = torch.stack(own) @ torch.stack(own).T
    torch.testing.assert_close(gram, expected, rtol=1e-5, atol=1e-7)
    assert_equal(weights(model), before)
    assert all(p.grad is None for p in model.parameters())
    assert distinct_weights(model.features) == unit


def test_state_dict_opens_in_the_untouched_model_at_all_times() -> None:
    model = own()
    keys = list(model.state_dict())
    inputs, _ = batch(0)
    swe = adopt(
        model, "body.layers", SweFixed(until=5), torch.optim.AdamW(model.parameters()), STEPS
    )
    for first, last in ((0, 4), (4, STEPS)):
        run(swe, first, last)
        state = model.state_dict()
        assert list(state) == keys
        pointers = [tensor.data_ptr() for tensor in state.values()]
        assert len(set(pointers)) == len(pointers)
        plain = Own()
        plain.load_state_dict(state)
        assert torch.equal(plain(inputs), model(inputs))
    assert swe.state.layout.is_untied


def test_unequal_layers_are_not_loaded_into_a_list_that_shares() -> None:
    model = own()
    share(model, "body.layers", SweFixed(until=3))
    with pytest.raises(ConfigError, match=r"body\.layers\.1\..*differs from body\.layers\.0\."):
        model.load_state_dict(own(1).state_dict())
    share(again := own(), "body.layers", SweFixed(until=3))
    again.load_state_dict(model.state_dict())


@pytest.mark.parametrize("at", [2, 5, 6, 9])
@pytest.mark.parametrize(
    "schedule", [SweFixed(until=5), SweMultistage(interval=3, rho=0.9)], ids=str
)
def test_resuming_is_exact(schedule: Schedule, at: int) -> None:
    """Before, at and after the untie: the ordinary state dicts of torch are enough."""

    def fresh(state: Any = None) -> tuple[Own, ShareThenUnshare, Any]:
        model = own(3 if state else 0)
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=0.05)
        if state:
            model.load_state_dict(state["model"])
        swe = adopt(
            model,
            "body.layers",
            schedule,
            optimizer,
            STEPS,
            clip_norm=0.5,
            resume=state["swe"] if state else None,
        )
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, STEPS)
        if state:
            optimizer.load_state_dict(state["optimizer"])
        return model, swe, scheduler

    model, swe, _ = fresh()
    run(swe, 0, at)
    state = copy.deepcopy(
        {"model": model.state_dict(), "optimizer": swe.optimizer.state_dict(), "swe": swe.to_json()}
    )
    run(swe, at)
    resumed, again, _ = fresh(state)
    run(again, at)
    assert again.state == swe.state
    assert_equal(weights(resumed), weights(model))


def test_a_list_that_shares_already_is_untied() -> None:
    """As ALBERT does it: one module at all places from the beginning."""
    model = own()
    layers: Any = model.body.layers
    for index in range(1, DEPTH):
        layers[index] = layers[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    swe = adopt(model, "body.layers", SweFixed(until=5), optimizer, STEPS)
    assert run(swe) == [5]
    assert len({id(layer) for layer in layers}) == DEPTH
    assert not torch.equal(layers[0].inner.weight, layers[1].inner.weight)
    assert len(optimizer.param_groups[0]["params"]) == len(list(model.parameters()))


def test_a_deep_copy_is_a_model_of_its_own() -> None:
    model = own()
    share(model, "body.layers", SweFixed(until=3))
    twin = copy.deepcopy(model)
    find_stack(twin)[1].relayout(Layout.untied(DEPTH))
    assert find_stack(model)[1].layout == Layout.tied(DEPTH)
    assert distinct_weights(twin.body.layers) == DEPTH
    assert distinct_weights(model.body.layers) == 1


def test_layer_numbers_come_back_at_the_untie() -> None:
    model = own()
    for index, layer in enumerate(model.body.layers):
        layer.inner.layer_idx = index
    share(model, "body.layers", SweFixed(until=3))
    find_stack(model)[1].relayout(Layout.untied(DEPTH))
    numbers = [layer.inner.layer_idx for layer in model.body.layers]
    assert numbers == list(range(DEPTH))
