"""The untie/split transform: the function is unchanged, optimiser state follows parameter names.

No published source says what happens to Adam's moments at the untie. Three modes:

- ``copy``: each new layer gets a copy of the tied layer's state, ``step`` kept (default);
- ``reset``: the state of every layer whose group was split is dropped, so that moments and bias
  correction start anew;
- ``rescale``: as ``copy``, but the second moment is multiplied by
  ||mean gradient of the new group||^2 / ||mean gradient of the old group||^2,
  measured by a probe at the untie. The tied moment averages the square of a mean over n layers;
  a layer alone has the larger square of its own noisier gradient, and a copied moment therefore
  makes the first updates after tau too long, by up to sqrt(n).

Under the sum convention the tied moments are those of n times the mean gradient: ``rescale`` then
also divides them by the change of n (and its square); ``copy`` leaves them, and the updates after
tau are up to n times too short until the second moment has forgotten (some 1 / (1 - beta2) steps).
``theory.toys.moments`` measures all of this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.gradients import Convention
from swe.sharing.layout import Layout
from swe.sharing.optimizers import (
    Optimizers,
    groups_of,
    holders,
    listed,
    select,
    shared_values,
    states_of,
)
from swe.sharing.stack import all_stacks, block_of_parameters, find_stack
from swe.sharing.state_copy import child_state, common_objects, multiply
from swe.sharing.statistics import GradientStatistics
from swe.sharing.weights import named

Moments = Literal["copy", "reset", "rescale"]
SECOND_MOMENTS = ("exp_avg_sq", "max_exp_avg_sq")


@dataclass(frozen=True, kw_only=True)
class Handover:
    """What the layers of a split group get of its optimiser state; see :func:`unshare`."""

    moments: Moments = "copy"
    statistics: GradientStatistics | None = None
    """The probe at the untie, for ``rescale``."""
    convention: Convention = "mean"


def unshare(
    model: nn.Module,
    optimizer: Optimizers,
    layout: Layout,
    *,
    moments: Moments = "copy",
    statistics: GradientStatistics | None = None,
    convention: Convention = "mean",
) -> None:
    """Split the model's SharedStack to ``layout`` and let the optimiser follow, in place.

    New parameters join the group of the parameter they were copied from; every group then lists
    its parameters in the model's order, so a run rebuilt from a checkpoint is the same run.
    Works with any torch optimiser that keeps state per parameter; ``rescale`` acts on Adam's
    second moments, and under the sum ``convention`` on its first. Raises ConfigError when
    ``layout`` does not refine the present one, when the optimiser misses a parameter, or when
    ``rescale`` comes without ``statistics``.
    """
    check_unshare(model, optimizer, moments, statistics)
    prefix, stack = find_stack(model)
    old_layout = stack.layout
    head = f"{prefix}." if prefix else ""
    before = dict(named(model))
    origin = {head + new: head + old for new, old in stack.relayout(layout).items()}
    follow(
        optimizer,
        before,
        dict(named(model)),
        inheritance(
            origin,
            block_of_parameters(prefix, stack),
            old_layout,
            layout,
            moments,
            statistics,
            convention,
        ),
        moments,
    )


def check_unshare(
    model: nn.Module,
    optimizers: Optimizers,
    moments: Moments,
    statistics: GradientStatistics | None,
) -> None:
    """Raise ConfigError, before anything is changed, where :func:`unshare` must."""
    require(moments in ("copy", "reset", "rescale"), "moments", moments, "copy, reset or rescale")
    if moments == "rescale" and statistics is None:
        raise ConfigError("moments = 'rescale': needs the statistics of a gradient probe")
    held = holders(model, listed(optimizers))
    for name, parameter in named(model):
        if parameter.requires_grad and id(parameter) not in held:
            raise ConfigError(f"optimizer: does not hold the parameter {name}")


@dataclass(frozen=True)
class Heir:
    """Where a parameter comes from: its parent's name, whether their group was split, and what
    Adam's moments are multiplied by (the second by ``factor``, both as a gradient by ``shrink``).
    """

    parent: str
    split: bool = False
    factor: float = 1.0
    shrink: float = 1.0


def inheritance(
    origin: Mapping[str, str],
    block_of: Mapping[str, int],
    old: Layout,
    new: Layout,
    moments: Moments,
    statistics: GradientStatistics | None,
    convention: Convention = "mean",
) -> dict[str, Heir]:
    """Return {parameter of the stack: its :class:`Heir`} for a change of layout, by full names.

    ``origin``: {name: parent's name}; ``block_of``: {name: block in ``new``}.
    """
    factors = _second_moment_factors(old, new, statistics if moments == "rescale" else None)
    was_split, parents = _split_blocks(old, new), new.parents(old)
    summed = moments == "rescale" and convention == "sum"
    heirs = {}
    for name, parent in origin.items():
        block = block_of[name]
        shrink = new.uses[block] / old.uses[parents[block]] if summed else 1.0
        heirs[name] = Heir(parent, was_split[block], factors[block], shrink)
    return heirs


def follow(
    optimizers: Optimizers,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    heirs: Mapping[str, Heir],
    moments: Moments,
) -> None:
    """Hand optimisers over from the parameters ``before`` to those ``after``, by their names.

    Groups and state follow the heirs; a parameter that is no heir takes those of its own name. Each
    group then lists its parameters in the order of ``after``, behind those of other models.
    """
    lines = [(name, heirs.get(name, Heir(name))) for name in after]
    names = {id(after[name]): (heir.parent, name) for name, heir in lines}
    ours = {id(p) for p in before.values()}
    for optimizer in listed(optimizers):
        states, groups = states_of(optimizer), groups_of(optimizer)
        held = {id(p) for group in groups for p in group["params"]}
        for state in states:
            heirlooms = [(after[n], before[h.parent], h) for n, h in lines]
            _follow_state(
                state, [h for h in heirlooms if id(h[1]) in held], before, moments, optimizer
            )
        for group in groups:
            held = {id(p) for p in group["params"]}
            members = [(p, p) for p in group["params"] if id(p) not in ours]
            pairs = ((after[name], before[heir.parent]) for name, heir in lines)
            members += [(new, old) for new, old in pairs if id(old) in held]
            select(group, members, names)


def _follow_state(
    state: MutableMapping[Any, Any],
    lines: Sequence[tuple[Tensor, Tensor, Heir]],
    before: Mapping[str, Tensor],
    moments: Moments,
    optimizer: Optimizer,
) -> None:
    """Hand one state over, ``lines``: (parameter, its parent, how it inherits)."""
    common = common_objects(state, shared_values(optimizer))
    # Copies are taken before any original is rescaled: a parent is also the first of its children.
    states: list[tuple[Tensor, Any]] = []
    for parameter, parent, heir in lines:
        if parent not in state:
            continue
        if not heir.split:
            states.append((parameter, state[parent]))
        elif moments != "reset":
            kept = child_state(state[parent], parent, parameter, common)
            states.append((parameter, scaled(kept, heir.factor, heir.shrink)))
    for parent in before.values():
        state.pop(parent, None)
    for parameter, kept in states:
        state[parameter] = kept


def renew(model: nn.Module, optimizers: Optimizers, *, moments: Moments) -> None:
    """Treat the stacks' optimiser state as an untie would, without a split (sham event).

    ``copy`` and ``rescale`` (by the factor 1: no group changes) give every layer its own state
    anew; ``reset`` drops it.
    """
    parameters = [p for _, stack in all_stacks(model) for p in stack.parameters()]
    for optimizer in listed(optimizers):
        for states in states_of(optimizer):
            common = common_objects(states, shared_values(optimizer))
            for parameter in parameters:
                state = states.pop(parameter, None)
                if state and moments != "reset":
                    states[parameter] = child_state(state, parameter, parameter, common)


def scaled(state: Any, factor: float, shrink: float) -> Any:
    """Multiply second moments by ``factor``, and all moments as for a gradient times ``shrink``."""
    multiply(state, SECOND_MOMENTS, factor * shrink**2)
    multiply(state, ("exp_avg",), shrink)
    return state


def _split_blocks(old: Layout, new: Layout) -> list[bool]:
    """For each block of ``new``: does its group share less than the group it came from?"""
    parents = new.parents(old)
    return [new.uses[block] != old.uses[parent] for block, parent in enumerate(parents)]


def _second_moment_factors(
    old: Layout, new: Layout, statistics: GradientStatistics | None
) -> list[float]:
    """Factor of the second moment for each block of ``new`` (1.0 without statistics)."""
    factors = [1.0] * new.block_count
    if statistics is None:
        return factors
    for group in range(len(new.groups)):
        members = [r for r in range(new.repeats) if new.group_of[r] == group]
        family_group = old.group_of[members[0]]
        family = [r for r in range(old.repeats) if old.group_of[r] == family_group]
        tied = statistics.mean_square(family)
        factor = statistics.mean_square(members) / tied if tied > 0 else 1.0
        if not (math.isfinite(factor) and factor > 0):
            factor = 1.0
        for position in range(new.unit):
            factors[group * new.unit + position] = factor
    return factors


def optimizer_state_by_name(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """Return {parameter name: its optimiser state}; parameters without state are left out."""
    return {
        name: dict(optimizer.state[parameter])
        for name, parameter in named(model)
        if parameter in optimizer.state
    }


@torch.no_grad()
def load_optimizer_state(
    model: nn.Module, optimizer: Optimizer, states: dict[str, dict[str, Any]]
) -> None:
    """Give each named parameter its state back. Raises ConfigError for a name not in the model."""
    parameters = dict(named(model))
    # AdamW keeps its step count on the host, unless it is fused or captured in a graph.
    on_device = bool(optimizer.defaults.get("fused") or optimizer.defaults.get("capturable"))
    optimizer.state.clear()
    for name, state in states.items():
        if name not in parameters:
            raise ConfigError(f"optimizer state: {name} is no parameter of the model")
        parameter = parameters[name]
        optimizer.state[parameter] = {
            key: value.to(parameter.device)
            if isinstance(value, Tensor) and (value.ndim or on_device)
            else value
            for key, value in state.items()
        }
