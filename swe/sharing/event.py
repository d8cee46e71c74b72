"""What a runner tells of an untie, and what it keeps between processes."""

from __future__ import annotations

from dataclasses import dataclass

from swe.base.config import require_count
from swe.sharing.layout import Layout
from swe.sharing.schedule import ScheduleState


@dataclass(frozen=True)
class Event:
    """A change of layout (or a sham one) before update ``step``, with the held batch's loss.

    ``correlations``: of adjacent repeats' gradients, (B-1,), where the schedule asked for them.
    ``notes``: what the held batch did not run, so that nothing was checked of it.
    """

    step: int
    before: Layout
    after: Layout
    loss: float
    correlations: tuple[float, ...] | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SweState:
    """Where a runner is: its schedule, the probes made, and the last update that was decided."""

    schedule: ScheduleState
    probes: int
    begun: int

    def __post_init__(self) -> None:
        require_count("probes", self.probes, 0)
        require_count("begun", self.begun, -1)
