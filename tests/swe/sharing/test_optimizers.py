"""Optimisers of every kind follow an untie exactly, or are refused before the layers are tied."""

from __future__ import annotations

import copy
import random
import threading
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
from swe.sharing.unshare import Moments
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


def both(model: Any) -> list[Optimizer]:
    return [torch.optim.SGD(model.parameters()), torch.optim.SGD(model.head.parameters())]


def by_layer(model: Any) -> list[Optimizer]:
    first = [*model.layers[:2].parameters(), *model.head.parameters()]
    return [torch.optim.SGD(first), torch.optim.SGD(model.layers[2].parameters())]


def after_use(kind: Any) -> Make:
    def make(model: nn.Module) -> Optimizer:
        optimizer: Optimizer = kind(model.parameters())
        held(model).backward()
        optimizer.step()
        return optimizer

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (both, r"both optimizer 0 \(SGD\) and optimizer 1 \(SGD\) hold the parameter head\.weight"),
        (by_layer, r"optimizer 1 \(SGD\) holds layers\.2\.weight, optimizer 0 \(SGD\) the layer"),
        (lambda m: torch.optim.SGD(m.layers.parameters()).param_groups, "dict given, must be"),
        (lambda m: [], "0 given, must be at least one"),
        (of(torch.optim.LBFGS), r"^LBFGS: keeps parameters of the layers in its attribute '_par"),
        (of(kinds.InAList), r"InAList: keeps buffers for the layers' parameters in its attribute"),
        (of(kinds.Closure), r"Closure: keeps parameters of the layers in its attribute 'members'"),
        (of(kinds.Flat), r"Flat: keeps buffers for the layers' parameters in its attribute 'kept'"),
        (of(kinds.ById), "ById: does not follow an untie"),
        (of(kinds.ByIdInState), "ByIdInState: does not follow an untie"),
        (of(kinds.ByPosition), "ByPosition: does not follow an untie"),
        (of(kinds.InAHelper), "InAHelper: does not follow an untie"),
        (after_use(kinds.ById), "ById: keeps things by id in its attribute 'kept'"),
        (after_use(kinds.ByIdInState), r"ByIdInState: keeps state under \d+ instead of"),
        (after_use(kinds.ByPosition), "ByPosition: keeps buffers .* in its attribute 'kept'"),
        (after_use(kinds.InAHelper), "InAHelper: keeps things by id in its attribute 'store'"),
        (lambda m: kinds.Lookahead(kinds.ById(m.parameters())), "Lookahead: does not follow"),
    ],
)  # fmt: skip
def test_what_cannot_follow_is_refused(make: Make, message: str) -> None:
    """Before anything is tied, and with every optimiser as it was."""
    model = Net()
    made: Any = make(model)
    layers = list(model.layers)
    count = [len(g["params"]) for o in listed(made) if isinstance(o, Optimizer)
             for g in o.param_groups]  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        adopt(model, "layers", SweFixed(until=TAU), made, STEPS)
    assert list(model.layers) == layers
    assert len({id(p) for p in model.parameters()}) == 2 * DEPTH + 2
    assert count == [len(g["params"]) for o in listed(made) if isinstance(o, Optimizer)
                     for g in o.param_groups]  # fmt: skip


class Hidden(kinds.ById):
    """Cannot be made anew from its defaults, so that only its first update shows what it does."""

    def __init__(self, params: Any, *, must: int) -> None:
        super().__init__(params)


def test_buffers_made_at_the_first_update_are_found() -> None:
    swe = adopted(lambda m: Hidden(m.parameters(), must=1))
    run(swe, 0, 1)
    with pytest.raises(ConfigError, match="Hidden: keeps things by id in its attribute 'kept'"):
        swe.begin_step(1, partial(held, swe.model))
    assert swe.state.layout.block_count == 1


def test_a_reset_that_breaks_an_optimizer_is_refused() -> None:
    """Slow weights are made with the optimiser, and dropped they are not made again."""
    with pytest.raises(ConfigError, match=r"Lookahead: does not follow .* moments='reset'"):
        adopted(KINDS["Lookahead"], moments="reset")
    assert adopted(KINDS["schedule-free"], moments="reset").moments == "reset"


class Unlucky(kinds.Plain):
    """Keeps what cannot be copied."""

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        self.state[p]["lock"] = threading.Lock()
        return p


def test_state_that_cannot_be_copied_is_refused() -> None:
    with pytest.raises(ConfigError, match="Unlucky: does not follow an untie"):
        adopted(of(Unlucky))
    with pytest.raises(ConfigError, match=r"state of a parameter cannot be copied .*lock"):
        adopted(after_use(Unlucky))


@pytest.mark.parametrize("kind", ["AdamW", "AMSGrad", "NAdam", "SOAP", "Lookahead"])
def test_rescale_is_taken_where_it_means_something(kind: str) -> None:
    assert adopted(KINDS[kind], moments="rescale").moments == "rescale"


@pytest.mark.parametrize(
    "kind", ["SGD", "momentum", "Adafactor", "RMSprop", "Muon and AdamW", "Muon with Adam"]
)
def test_rescale_is_refused_where_it_means_nothing(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"moments = 'rescale': .*keeps no second moment"):
        adopted(KINDS[kind], moments="rescale")
    assert adopted(KINDS[kind], moments="reset").moments == "reset"


class Untried(kinds.Kron):
    """As Hidden: the trial cannot make one."""

    def __init__(self, params: Any, *, must: int) -> None:
        super().__init__(params)


def test_rescale_is_refused_after_an_update_at_last() -> None:
    swe = adopted(lambda m: Untried(m.parameters(), must=1), moments="rescale")
    run(swe, 0, 1)
    with pytest.raises(ConfigError, match=r"rescale': Untried for layers\.0\.weight keeps no"):
        swe.begin_step(1, partial(held, swe.model))


@pytest.mark.parametrize("moments", ["copy", "reset"])
def test_the_trial_leaves_no_trace(moments: Moments) -> None:
    """Random states, the user's hooks and the optimiser's state are untouched."""
    model = Net()
    optimizer = kinds.Soap(model.parameters())
    calls: list[int] = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    before = torch.get_rng_state(), random.getstate()
    adopt(model, "layers", SweFixed(until=TAU), optimizer, STEPS, moments=moments)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (calls, len(optimizer.state)) == ([], 0)


class Noisy(kinds.Plain):
    """Two equal parameters part by themselves: a trial of it says nothing."""

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        return kinds.gradient_of(p) + 0.01 * torch.randn(p.shape)


def test_a_random_optimizer_is_not_refused() -> None:
    swe = adopted(of(Noisy))
    run(swe)
    assert swe.state.layout.is_untied
