"""An untie tried out on an optimiser's class, with three small matrices, before it meets the model.

What an optimiser makes at its first update cannot be seen when the layers are tied. So an instance
of its class, with its options, trains three matrices of its own; one of them is split as an untie
splits it, and both halves get equal gradients. They must go on alike: in an optimiser that keeps
its state by ``id``, by position, in a list or in a closure they do not. One that moves two equal
parameters differently anyway (noise) says nothing, nor does one that cannot be made that way.

The user's optimiser, random states and hooks are not touched.
"""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.sharing.eager import eagerly
from swe.sharing.optimizers import family, states_of
from swe.sharing.seeds import apart

SIDE, STEPS = 4, 3


@dataclass(frozen=True)
class Trial:
    """What was seen; None where it could not be."""

    follows: bool | None
    """Do both halves of a split matrix move alike?"""
    keys: frozenset[str] | None
    """What the state of a matrix holds under names, where the matrix's own shape."""


def try_out(optimizer: Optimizer, split: Callable[..., None]) -> Trial:
    """Try an untie on each class of a family: it follows where none of them fails to.

    ``split(optimizer, before, after)`` is to hand over as an untie does, {name: parameter} each.
    """
    devices = {p.device for group in optimizer.param_groups for p in group["params"]}
    device = next(iter(devices), torch.device("cpu"))
    if device.type not in ("cpu", "cuda"):
        return Trial(None, None)
    with apart(0), warnings.catch_warnings(), eagerly():
        warnings.simplefilter("ignore")
        trials = [_try(member, split, device) for member in family(optimizer)]
    seen = [trial for trial in trials if trial.follows is not None or trial.keys]
    failed = [trial for trial in trials if trial.follows is False]
    return next(iter(failed + seen), Trial(None, None))


def _try(optimizer: Optimizer, split: Callable[..., None], device: torch.device) -> Trial:
    source = torch.Generator().manual_seed(0)
    drawn = torch.randn(3, 1 + 2 * STEPS, SIDE, SIDE, generator=source).to(device)
    values, gradients = [row[0] for row in drawn], [row[1:] for row in drawn]
    first, middle, last, twin = (nn.Parameter(values[i].clone()) for i in (0, 1, 2, 1))
    try:  # two equal matrices from the start: does this optimiser treat them alike?
        made = _make(optimizer, [first, middle, twin, last])
        _train(made, (first, middle, twin, last), [gradients[i] for i in (0, 1, 1, 2)])
    except Exception:
        return Trial(None, None)
    keys = _keys(made, middle)
    if not torch.equal(middle, twin) or torch.equal(middle, values[1]):
        return Trial(None, keys)
    first, middle, last = (nn.Parameter(value.clone()) for value in values)
    try:
        made = _make(optimizer, [first, middle, last])
        _train(made, (first, middle, last), [g[:STEPS] for g in gradients])
    except Exception:
        return Trial(None, keys)
    try:
        twin = nn.Parameter(middle.detach().clone())
        before = {"first": first, "middle": middle, "last": last}
        split(made, before, {"first": first, "middle": middle, "twin": twin, "last": last})
        _train(made, (first, middle, twin, last), [gradients[i][STEPS:] for i in (0, 1, 1, 2)])
    except Exception:  # it has no place for the new parameter
        return Trial(False, keys)
    return Trial(torch.equal(middle, twin), keys)


def _make(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> Any:
    """Make an optimiser of the same class and options; raises whatever its class does.

    A wrapper is made around such an optimiser, with its own options as they are by default.
    """
    wrapped, kind = family(optimizer)[1:], _any(type(optimizer))
    if wrapped:
        return kind(_make(wrapped[0], parameters))
    known = inspect.signature(kind.__init__).parameters
    defaults = getattr(optimizer, "defaults", {})
    options = {key: copy.deepcopy(value) for key, value in defaults.items() if key in known}
    return kind(list(parameters), **options)


def _any(value: Any) -> Any:
    return value


@torch.no_grad()
def _train(
    optimizer: Optimizer, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
) -> None:
    step: Any = inspect.unwrap(type(optimizer).step)  # without everybody's hooks
    for update in range(len(gradients[0])):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient[update].clone()
        step(optimizer)


def _keys(optimizer: Optimizer, parameter: Tensor) -> frozenset[str]:
    own = [v for state in states_of(optimizer) for k, v in state.items() if k is parameter]
    return frozenset(
        key
        for state in own
        for key, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(value, Tensor) and value.shape == parameter.shape
    )
