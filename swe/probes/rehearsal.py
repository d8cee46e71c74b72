"""A short run of the user's model under a schedule, from its own start, through the core's door.

What it trains is what :func:`swe.sharing.adopt.adopt` would train in the user's own loop, bit for
bit; the user's model, optimiser and random state are not touched, as ``make`` builds others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.config import require, require_count
from swe.probes.run import Make, Run, fresh, stack_of
from swe.sharing.adopt import adopt, drop_parameters, require_equal_treatment
from swe.sharing.places import Where
from swe.sharing.schedule import Schedule
from swe.sharing.seeds import apart
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare

Notice = Callable[[int, float], None]
"""Told of each evaluation: updates made, held-out loss."""


@dataclass(frozen=True)
class Rehearsal:
    """How one run went. Losses are held-out ones, in the loss's own unit.

    A run that diverged ends where its loss was first not finite: ``loss`` and the last entry of
    ``losses`` are then infinite, so that it compares as worse than any other.
    """

    losses: tuple[tuple[int, float], ...]
    """(updates made, held-out loss), from (0, ``start_loss``) to the last update."""
    loss: float
    """After the last update."""
    start_loss: float
    """Before the first, with the layers as the schedule starts them (tied, or started equal)."""
    seconds: float
    """Wall time of training and evaluations, without that of making and checking the run."""
    diverged: bool
    """Whether a loss was not finite."""


def rehearse(
    make: Make,
    schedule: Schedule,
    updates: int,
    *,
    evaluations: int = 8,
    notice: Notice | None = None,
) -> Rehearsal:
    """Train a fresh run under ``schedule`` for ``updates`` updates, its rate decaying over those.

    Update t has the peak rates times ``rate(t / updates)``. The held-out loss is taken at the start
    and ``evaluations`` times at equal distances, the last after the last update; how often changes
    nothing in the training. A schedule that looks at correlations takes them from the batch of the
    coming update. All global random states are put back.

    Raises ConfigError for a ``make`` that is not the same run at each call or a ``loss`` that is
    no function of model and update (:func:`swe.probes.run.fresh`), for a rate that is negative or
    not finite, and for what :func:`swe.sharing.adopt.adopt` refuses.
    """
    require_count("updates", updates)
    require_count("evaluations", evaluations)
    with fresh(make) as run:
        rates = rates_of(run.rate, updates)
        return follow(run, schedule, rates, evaluations=evaluations, notice=notice)


def rates_of(rate: Callable[[float], float], updates: int) -> tuple[float, ...]:
    """Return the factors on the peak rates, (updates,). Raises ConfigError for impossible ones."""
    factors = []
    for step in range(updates):
        factor = float(rate(step / updates))
        name = f"rate({step / updates:.6g})"
        require(math.isfinite(factor) and factor >= 0, name, factor, "finite and at least 0")
        factors.append(factor)
    return tuple(factors)


def follow(
    run: Run,
    schedule: Schedule,
    rates: Sequence[float],
    *,
    evaluations: int,
    notice: Notice | None = None,
) -> Rehearsal:
    """Train ``run`` under ``schedule``, update t at ``rates[t]`` times its peak rates."""
    updates = len(rates)
    due = {round(updates * i / evaluations) for i in range(1, evaluations + 1)} - {0}
    swe = enter(run, schedule, updates)
    peaks = [
        group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"]
        for group in run.optimizer.param_groups
    ]
    losses: list[tuple[int, float]] = []

    def evaluate(done: int) -> None:
        value = held_loss(run, swe.model)
        losses.append((done, value if math.isfinite(value) else math.inf))
        if notice is not None:
            notice(*losses[-1])
        if not math.isfinite(value):
            raise _DivergedError

    def loss(step: int) -> Tensor:
        value = run.loss(swe.model, step)
        if not bool(torch.isfinite(value.detach())):
            raise _DivergedError
        return value

    began = time.perf_counter()
    done = 0
    try:
        evaluate(0)
        for step, factor in enumerate(rates):
            _set_rates(run.optimizer, peaks, factor)
            swe.begin_step(step, partial(loss, step))
            loss(step).backward()
            swe.finish_gradients()
            run.optimizer.step()
            run.optimizer.zero_grad()
            done = step + 1
            if done in due:
                evaluate(done)
        diverged = False
    except _DivergedError:
        diverged = True
        if losses[-1] != (done, math.inf):
            losses.append((done, math.inf))
    seconds = time.perf_counter() - began
    return Rehearsal(tuple(losses), losses[-1][1], losses[0][1], seconds, diverged)


def enter(run: Run, schedule: Schedule, updates: int) -> ShareThenUnshare:
    """Tie ``run`` as ``schedule`` starts, in place: by ``adopt``, or as it does a SharedStack."""
    found = stack_of(run)
    if found is None:
        return adopt(
            run.model,
            cast(Where, run.layers),
            schedule,
            run.optimizer,
            updates,
            clip_norm=run.clip_norm,
            **run.options,
        )
    name, layers = found
    schedule.validate(layers.layout.depth, updates)
    names = dict(run.model.named_parameters(remove_duplicate=False))
    blocks = f"{name}.blocks" if name else "blocks"
    require_equal_treatment(run.model, blocks, schedule, run.optimizer)
    prepare(layers, schedule)
    drop_parameters(run.model, run.optimizer, names)
    return ShareThenUnshare(run.model, run.optimizer, schedule, updates, clip_norm=run.clip_norm)


def held_loss(run: Run, model: nn.Module) -> float:
    """Evaluate without a trace: no gradients, and random state and modes as they were."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with apart(0), torch.no_grad():
            return float(run.held(model))
    finally:
        for module, training in modes:
            module.training = training


class _DivergedError(Exception):
    """A loss was not finite."""


def _set_rates(optimizer: Optimizer, peaks: Sequence[float | Tensor], factor: float) -> None:
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].copy_(torch.as_tensor(peak * factor))
        else:
            group["lr"] = peak * factor
