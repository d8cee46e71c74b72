"""How an arm begins: layers drawn, tied, grown. What the theory of a first skill needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from swe.run.optimizer import OptimizerConfig
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    ShamUntie,
    SweFixed,
)
from swe.transforms.growth import Growth
from swe.transforms.stage import Stage, ends_of

Grown = Literal["copies", "zeros"]
GROWN: dict[str, Grown] = {"stack": "copies", "interpolate": "copies", "identity": "zeros"}
"""What is added to a stack, by the name of the way (swe.transforms.depth)."""


@dataclass(frozen=True)
class Beginning:
    """Of an arm."""

    layers: int
    """Of the model that is compared."""
    drawn: int | None
    """Layers drawn, each for itself; None: an arm that the theory says nothing of."""
    tied: bool
    """Whether layers of that model are tied at first."""
    until: int | None
    """Update at which they are let go, all at once, its run's end if never; None where it is not
    known before the run, or nothing is tied."""
    grown: Grown | None
    """What is added to a smaller stack; None: nothing."""
    phases: tuple[tuple[int, float], ...]
    """Updates of each model of the run, and what one costs, in updates of the last."""
    scale: float = 1.0
    """What the layers' branches are multiplied by."""
    reach: float | None = None
    """Logarithm of how far a skill reaches through the stream that it begins with
    (``bert.study.stream``); None where that was not measured."""

    @property
    def equal(self) -> bool:
        """Whether it is the equal start: copies that are never tied."""
        return self.grown is None and not self.tied and self.drawn not in (None, self.layers)

    def clock(self, warmup: float) -> np.ndarray:
        """Return the updates at the peak rate that the run has had after 0, 1, .. updates."""
        steps = sum(updates for updates, _ in self.phases)
        rates = OptimizerConfig(peak_lr=1.0, warmup=warmup)
        each = [rates.learning_rate(step, steps) for step in range(steps)]
        return np.concatenate([[0.0], np.cumsum(each)])

    def spent(self) -> np.ndarray:
        """Return what the run has cost after 0, 1, .. updates."""
        each = [np.full(updates, price) for updates, price in self.phases]
        return np.concatenate([[0.0], np.cumsum(np.concatenate(each))])


def beginning(
    schedule: Schedule,
    layers: int,
    steps: int,
    stages: tuple[Stage, ...] = (),
    prices: tuple[float, ...] = (1.0,),
    scale: float = 1.0,
) -> Beginning:
    """Return how a run of ``steps`` updates begins whose own model has ``layers`` layers.

    ``prices``: of an update of each stage's model and of its own, in updates of the latter;
    ``scale``: of its branches.
    """
    ends = [0, *ends_of(stages, steps), steps]
    never = isinstance(schedule, (NeverShared, EqualStart, ShamUntie))
    each = never and not isinstance(schedule, EqualStart)
    over = isinstance(schedule, SweFixed) and schedule.tau(steps) <= ends[-2]
    tied = not (never or over)
    until = None
    if tied and isinstance(schedule, (SweFixed, AlwaysShared)):
        until = schedule.tau(steps) if isinstance(schedule, SweFixed) else steps
    grown = _grown(stages)
    drawn: int | None = layers if each else schedule.unit
    if stages:
        drawn = stages[0].depth if grown else None
    return Beginning(
        layers=layers,
        drawn=drawn,
        tied=tied,
        until=until,
        grown=grown,
        phases=tuple(
            (end - first, price) for (first, end), price in zip(pairwise(ends), prices, strict=True)
        ),
        scale=scale,
    )


def _grown(stages: tuple[Stage, ...]) -> Grown | None:
    """Return what every stage adds; None where one adds anything else than whole layers."""
    found = {
        GROWN.get(stage.growth.depth)
        if isinstance(stage.growth, Growth) and not stage.widths and stage.trained is None
        else None
        for stage in stages
    }
    return found.pop() if len(found) == 1 else None
