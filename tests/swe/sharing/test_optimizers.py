"""Optimisers of every kind follow an untie exactly, or are refused before the layers are tied."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.optimizers import states_of
from swe.sharing.schedule import SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.state_copy import parts
from tests.swe.sharing import optimizer_kinds as kinds

DEPTH, WIDTH, STEPS, TAU = 3, 4, 9, 4

Make = Callable[[Any], Optimizer | list[Optimizer]]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(DEPTH)])
        self.head = nn.Linear(WIDTH, 2)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=source))
            for layer in self.layers:
                layer.load_state_dict(self.layers[0].state_dict())

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = torch.tanh(layer(hidden))
        out: Tensor = self.head(hidden)
        return out


def held(model: nn.Module) -> Tensor:
    return functional.mse_loss(model(torch.ones(2, WIDTH)), torch.zeros(2, 2))


def matrices_and_rest(model: nn.Module) -> list[Optimizer]:
    weights = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return [torch.optim.Muon(weights, lr=0.05), torch.optim.AdamW(rest, lr=0.05)]


def combined(model: nn.Module) -> Any:
    return kinds.Combined(*matrices_and_rest(model))


def of(kind: Any, **options: Any) -> Make:
    return lambda model: kind(model.parameters(), **options)


KINDS: dict[str, Make] = {
    "AdamW": of(torch.optim.AdamW, lr=0.05),
    "AMSGrad": of(torch.optim.Adam, lr=0.05, amsgrad=True),
    "fused": of(torch.optim.AdamW, lr=0.05, fused=True),
    "NAdam": of(torch.optim.NAdam, lr=0.05),
    "RAdam": of(torch.optim.RAdam, lr=0.05),
    "Adafactor": of(torch.optim.Adafactor, lr=0.05),
    "RMSprop": of(torch.optim.RMSprop, lr=0.05, momentum=0.9, centered=True),
    "Rprop": of(torch.optim.Rprop, lr=0.05),
    "ASGD": of(torch.optim.ASGD, lr=0.05),
    "SGD": of(torch.optim.SGD, lr=0.05),
    "momentum": of(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "named": lambda model: torch.optim.AdamW(model.named_parameters(), lr=0.05),
    "Muon and AdamW": matrices_and_rest,
    "combined": combined,
    "Muon with Adam": lambda model: kinds.MuonAndAdam(list(model.parameters())),
    "SOAP": of(kinds.Soap),
    "Kron": of(kinds.Kron),
    "Shampoo": of(kinds.Shampoo),
    "schedule-free": of(kinds.ScheduleFree),
    "eight bits": of(kinds.EightBit),
    "common count": of(kinds.CommonCount),
    "slow in groups": of(kinds.SlowInGroups),
    "Lookahead": lambda m: kinds.Lookahead(torch.optim.AdamW(m.parameters(), lr=0.05)),
    "Lookahead twice": lambda m: kinds.Lookahead(kinds.Lookahead(kinds.Soap(m.parameters())), 3),
}


def given(step: int, name: str, shape: torch.Size) -> Tensor:
    """A gradient of the update; the layers' are one and the same until ``TAU``."""
    if step < TAU:
        name = name.replace("layers.1.", "layers.0.").replace("layers.2.", "layers.0.")
    source = torch.Generator().manual_seed(step * 1000 + sum(map(ord, name)))
    return torch.randn(shape, generator=source)


def apply(model: nn.Module, optimizers: Sequence[Optimizer], step: int) -> None:
    for name, p in model.named_parameters():
        p.grad = given(step, name, p.shape)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def listed(made: Any) -> list[Optimizer]:
    return made if isinstance(made, list) else [made]


def run(swe: ShareThenUnshare, first: int = 0, last: int = STEPS) -> None:
    """Tied layers get their common gradient as it is: nothing is to be divided."""
    for step in range(first, last):
        swe.begin_step(step, partial(held, swe.model))
        for optimizer in swe.optimizers:
            optimizer.zero_grad()
        swe.finish_gradients()
        apply(swe.model, swe.optimizers, step)


def adopted(make: Make, **options: Any) -> ShareThenUnshare:
    model = Net()
    return adopt(model, "layers", SweFixed(until=TAU), make(model), STEPS, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_untied_run_is_followed_bit_for_bit(kind: str) -> None:
    """Layers that share are layers of their own with equal gradients, in every optimiser."""
    plain = Net()
    optimizers = listed(KINDS[kind](plain))
    for step in range(STEPS):
        apply(plain, optimizers, step)
    swe = adopted(KINDS[kind])
    run(swe)
    assert swe.state.layout.is_untied
    ours, theirs = swe.model.state_dict(), plain.state_dict()
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    assert not torch.equal(ours["layers.0.weight"], ours["layers.1.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_no_layer_shares_a_state_with_another(kind: str) -> None:
    """Neither an object nor memory, apart from what all states hold in the untied run, too."""
    swe = adopted(KINDS[kind])
    run(swe, 0, TAU)
    swe.begin_step(TAU, partial(held, swe.model))
    for optimizer in swe.optimizers:
        for state in states_of(optimizer):
            seen: set[int] = set()
            for p in swe.model.parameters():
                if p not in state or kind == "common count":
                    continue
                assert kind != "combined" or (p.ndim > 1) is (state is states_of(optimizer)[0])
                own = [t for t in parts(state[p]) if not isinstance(t, tuple)]
                tensors = [t for t in own if type(t) is Tensor]
                keys = {id(t) for t in own} | {t.untyped_storage().data_ptr() for t in tensors}
                assert seen.isdisjoint(keys)
                seen |= keys


@pytest.mark.parametrize("at", [2, TAU, TAU + 2])
@pytest.mark.parametrize("kind", ["named", "Muon and AdamW", "momentum", "SOAP", "Muon with Adam"])
def test_resuming_by_each_ones_own_state_dict(kind: str, at: int) -> None:
    swe = adopted(KINDS[kind])
    run(swe, 0, at)
    saved = copy.deepcopy(
        (swe.model.state_dict(), [o.state_dict() for o in swe.optimizers], swe.to_json())
    )
    run(swe, at)
    model = Net()
    model.load_state_dict(saved[0])
    optimizers = listed(KINDS[kind](model))
    again = adopt(model, "layers", SweFixed(until=TAU), optimizers, STEPS, resume=saved[2])
    for optimizer, state in zip(optimizers, saved[1], strict=True):
        optimizer.load_state_dict(state)
    run(again, at)
    for name, tensor in swe.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_names_follow_the_parameters() -> None:
    model = Net()
    groups: Any = [
        {"params": [(f"my.{n}", p) for n, p in model.named_parameters() if p.ndim > 1]},
        {"params": [(f"my.{n}", p) for n, p in model.named_parameters() if p.ndim < 2], "lr": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    lists = [group["param_names"] for group in optimizer.param_groups]
    swe = adopt(model, "layers", SweFixed(until=TAU), optimizer, STEPS)
    for last in (2, STEPS):
        run(swe, max(0, swe.begun + 1), last)
        names = {id(p): f"my.{name}" for name, p in model.named_parameters()}
        for group, kept in zip(optimizer.param_groups, lists, strict=True):
            assert group["param_names"] is kept
            assert kept == [names[id(p)] for p in group["params"]]
    assert lists[0] == ["my.layers.0.weight", "my.layers.1.weight", "my.layers.2.weight",
                        "my.head.weight"]  # fmt: skip


def test_one_optimizer_is_named_and_several_are_listed() -> None:
    one = adopted(KINDS["AdamW"])
    assert one.optimizers == (one.optimizer,)
    several = adopted(KINDS["Muon and AdamW"])
    assert [type(o).__name__ for o in several.optimizers] == ["Muon", "AdamW"]
    with pytest.raises(ConfigError, match=r"there are 2; take swe\.optimizers"):
        _ = several.optimizer
