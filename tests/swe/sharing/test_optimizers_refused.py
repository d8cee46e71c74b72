"""Optimisers that cannot follow an untie are refused, before the layers are tied where possible."""

from __future__ import annotations

import random
import threading
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.schedule import SweFixed
from swe.sharing.unshare import Moments
from tests.swe.sharing import optimizer_kinds as kinds
from tests.swe.sharing.test_optimizers import (
    DEPTH,
    KINDS,
    STEPS,
    TAU,
    Make,
    Net,
    adopted,
    held,
    listed,
    of,
    run,
)


def both(model: Any) -> list[Optimizer]:
    return [torch.optim.SGD(model.parameters()), torch.optim.SGD(model.head.parameters())]


def second_by_position(model: Any) -> Any:
    """A wrapper that is fine, around two optimisers of which the second is not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    return kinds.Combined(torch.optim.SGD(weights), kinds.ByPosition(rest))


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
        (second_by_position, "Combined: does not follow an untie"),
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
