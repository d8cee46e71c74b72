"""Every network at every rate under every schedule in one tensor program, equal to the core.

A run is a network, a peak rate and a schedule that ties all layers until an update tau. The runs
lie side by side in the first axis of the weights and never mix: their losses are summed, so each
run's gradient is its own, and SGD and AdamW act on each number for itself.

Nothing is tied by storing it once. While a run is tied the gradients g_1..g_L of its layers are
replaced by their mean. Layers that are equal, with equal moments, and that see equal gradients stay
equal bit for bit; the core's tied block moves by the same mean (its gradient is the sum over its
uses, divided by their number). The core's untie copies weights, moments and the count of updates to
every layer: here they are there already, so to untie is to stop averaging. What is left between the
two is the order in which L numbers are summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from swe.base.errors import ConfigError
from swe.sharing.schedule import AlwaysShared, NeverShared, Schedule, SweFixed
from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.problems import HELD, Trained

BETAS, EPSILON, DECAY = (0.9, 0.999), 1e-8, 1e-2
"""AdamW as torch has it by default: moments, the denominator's floor, decoupled decay."""
CHUNK = 256
"""Networks at a time: half the time of 30 at the toys' sizes (the calls), tens of megabytes."""

Seen = Callable[[int, SharedStack], None]
"""Sees (step, stack) before each update and after the last."""


def tied_until(schedule: Schedule, steps: int) -> int:
    """The update from which no layers are tied: 0 never tied, `steps` to the end.

    ConfigError for a schedule that looks at gradients, or whose unit is more than one layer.
    """
    if schedule.unit == 1:
        if isinstance(schedule, NeverShared):  # and EqualStart
            return 0
        if isinstance(schedule, AlwaysShared):
            return steps
        if type(schedule) is SweFixed:
            return schedule.tau(steps)
    raise ConfigError(
        f"schedule {schedule}: runs are trained together only where all layers untie at a fixed "
        "update; train this one with theory.toys.training.train"
    )


def start_of(problem: Trained, schedule: Schedule) -> Array:
    """Weights before update 0, (n, L, k): as drawn, or all layers the first one's draw."""
    if isinstance(schedule, NeverShared) and not schedule.equal_start:
        return problem.draws
    return np.repeat(problem.draws[:, :1], problem.draws.shape[1], axis=1)


def train_together(
    problem: Trained,
    runs: Sequence[tuple[Schedule, float]],
    optimiser: str,
    steps: int,
    *,
    chunk: int = CHUNK,
    precision: DTypeLike = np.float64,
    seen: Seen | None = None,
) -> Array:
    """Held-out losses of all networks after each run, (runs, n); rates decay linearly to 0.

    `precision`: of the training; targets and inputs are drawn in float64 in either case.
    `runs`: (schedule, peak rate) of each; `optimiser`: "sgd" or "adamw". `chunk`: at most so many
    networks at a time, at least those of one run; `seen` watches each chunk. A run that diverged
    ends with a loss that is not finite or is large; it disturbs no other. ConfigError as
    `tied_until`.
    """
    n = len(problem.draws)
    for schedule, _ in runs:
        schedule.validate(problem.draws.shape[1], steps)
    at_once = max(1, chunk // n)
    out = []
    for first in range(0, len(runs), at_once):
        part = runs[first : first + at_once]
        starts = np.concatenate([start_of(problem, schedule) for schedule, _ in part])
        stack = problem.stack(starts.astype(precision))
        untie = torch.tensor([tied_until(s, steps) for s, _ in part]).repeat_interleave(n)
        peaks = torch.from_numpy(np.repeat([rate for _, rate in part], n).astype(precision))
        _descend(problem, stack, untie, peaks, optimiser, steps, seen)
        with torch.no_grad():
            out.append(problem.losses(stack, HELD).reshape(len(part), n))
    return np.asarray(torch.cat(out).numpy())


def untrained_losses(problem: Trained, schedule: Schedule) -> Array:
    """Held-out losses at the start of a schedule, (n,)."""
    with torch.no_grad():
        stack = problem.stack(start_of(problem, schedule))
        return np.asarray(problem.losses(stack, HELD).numpy())


def final_losses(
    problem: Trained, runs: Sequence[tuple[Schedule, float]], optimiser: str, steps: int
) -> Array:
    """As `train_together` in single precision, (runs, n), for a comparison of what a user is left
    with: a run whose loss is not finite leaves its user with the untrained network.
    """
    losses = train_together(problem, runs, optimiser, steps, precision=np.float32)
    untrained = np.stack([untrained_losses(problem, schedule) for schedule, _ in runs])
    return np.where(np.isfinite(losses), losses, untrained)


def _descend(
    problem: Trained,
    stack: SharedStack,
    untie: Tensor,
    peaks: Tensor,
    optimiser: str,
    steps: int,
    seen: Seen | None,
) -> None:
    """Train all networks of the untied `stack` at once; `untie` and `peaks` (networks,)."""
    layers = [list(block.parameters()) for block in stack.blocks]
    values = []
    for same in zip(*layers, strict=True):  # one parameter, over the layers
        value = torch.stack([parameter.data for parameter in same])
        for layer, parameter in enumerate(same):
            parameter.data = value[layer]  # a view: the update of all layers is one operation
        values.append(value)
    if optimiser == "adamw":
        moments = [(torch.zeros_like(value), torch.zeros_like(value)) for value in values]
    for step in range(steps):
        if seen is not None:
            seen(step, stack)
        problem.losses(stack, step).sum().backward()
        tied = untie > step
        rates = peaks * ((steps - step) / steps)
        for index, value in enumerate(values):
            own = torch.stack([_gradient(layer[index]) for layer in layers])
            g = _mean_where(tied, own)
            rate = rates.reshape(-1, *[1] * (value.dim() - 2))
            if optimiser == "sgd":
                value.sub_(rate * g)
            else:
                _adamw(value, g, *moments[index], rate, step + 1)
        for parameters in layers:
            for parameter in parameters:
                parameter.grad = None
    if seen is not None:
        seen(steps, stack)


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def _mean_where(tied: Tensor, gradients: Tensor) -> Tensor:
    """Gradients (L, networks, ...), those of tied networks replaced by their mean over layers."""
    if not bool(tied.any()):
        return gradients
    where = tied.reshape(-1, *[1] * (gradients.dim() - 2))
    return torch.where(where, gradients.mean(0), gradients)


def _adamw(value: Tensor, g: Tensor, first: Tensor, second: Tensor, rate: Tensor, t: int) -> None:
    """Update number t = 1, 2, .. in place, in the order of torch's own."""
    beta1, beta2 = BETAS
    value.mul_(1 - rate * DECAY)
    first.lerp_(g, 1 - beta1)
    second.mul_(beta2).addcmul_(g, g, value=1 - beta2)
    floor = (second.sqrt() / (1 - beta2**t) ** 0.5).add_(EPSILON)
    value.sub_(rate / (1 - beta1**t) * (first / floor))
