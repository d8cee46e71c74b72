"""Measure a run for a forecast: rehearsals of six arms at two lengths, and its curvature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from swe.base.config import require, require_count
from swe.base.errors import ConfigError
from swe.predict.measured import ARMS, SHARES, Measured, lengths, log_loss
from swe.probes.curvature import curvature
from swe.probes.rehearsal import enter, held_loss, rehearse
from swe.probes.run import Make, fresh
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed

SCHEDULES: dict[str, Schedule] = {
    "baseline": NeverShared(),
    "equal-start": EqualStart(),
    **{f"swe-f {tau:g}": SweFixed(until=tau) for tau in (0.1, 0.4, 0.8)},
    "always-shared": AlwaysShared(),
}
BATCHES = 4
"""Batches over which the curvature is taken."""

Progress = Callable[[int, int, str], None]
"""Told before each piece of work: updates done, of how many, and what comes next."""


@dataclass(frozen=True)
class Cost:
    """What a measurement takes, in updates of the run."""

    updates: int
    """Of all rehearsals."""
    share: float
    """As a fraction of one whole run."""


def cost(updates: int, share: float = SHARES[0]) -> Cost:
    """Return the updates that ``measure`` trains; curvature adds some tens of gradients.

    Raises ConfigError for a number of updates or a share that ``measure`` refuses.
    """
    require_count("updates", updates)
    require(share in SHARES, "share", share, f"one of {SHARES}")
    trained = len(ARMS) * sum(lengths(updates, share))
    return Cost(trained, trained / updates)


def measure(
    make: Make,
    updates: int,
    *,
    share: float = SHARES[0],
    floor: float = 0.0,
    progress: Progress = lambda done, total, what: None,
) -> Measured:
    """Measure the run that ``make`` begins, for :func:`swe.predict.forecast.forecast`.

    ``updates``: of the whole run, at the peak rates that its optimiser has. ``share``: length of
    the long rehearsals as a fraction of it (one of ``swe.predict.measured.SHARES``): longer ones
    cost more and forecast better. ``floor``: least possible held-out loss, if it is known. The run,
    its files and the random states of the process stay as they were.

    Raises ConfigError as :func:`swe.probes.rehearsal.rehearse`, for a run so short that both
    lengths are one, for losses below the floor, and for a start that is not finite.
    """
    total = cost(updates, share).updates
    short, long = lengths(updates, share)
    if short == long:
        raise ConfigError(f"updates = {updates}: too few; at least {math.ceil(10 / share)}")
    with fresh(make) as run:
        stack = enter(run, EqualStart(), updates).stack
        start = held_loss(run, run.model)
        if not math.isfinite(start):
            raise ConfigError(f"held: {start:g} before the first update; must be finite")
        progress(0, total, "curvature")

        def loss() -> Tensor:
            return torch.stack([run.loss(run.model, t) for t in range(BATCHES)]).mean()

        found = curvature(stack, loss)
    done = 0
    losses: dict[int, dict[str, float]] = {short: {}, long: {}}
    for count in (short, long):
        for arm, schedule in SCHEDULES.items():
            progress(done, total, f"{arm}, {count} updates")
            end = rehearse(make, schedule, count, evaluations=1)
            losses[count][arm] = log_loss(end.loss, floor, end.start_loss)
            done += count
    progress(done, done, "done")
    return Measured(
        updates=updates,
        share=share,
        start=log_loss(start, floor, start),
        short=losses[short],
        long=losses[long],
        sharpness=found.sharpness,
        tied_sharpness=found.tied_sharpness,
        commutator=found.commutator if math.isfinite(found.commutator) else 0.0,
    )
