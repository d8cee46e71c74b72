"""When something happens in mid-run: pure rules with a memory, for schedules and stages alike.

A trigger is frozen data. ``due(clock, seen, memory)`` returns what it remembers next and, when it
is time, a plan; it touches nothing. The memory (patience counters) is a tuple of numbers, saved
with the run by whoever asks, so a run that goes on asks as the unbroken one would.

The plan is what is to come apart: the boundaries between repeats i and i+1, by i, or all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from swe.base.config import Tagged, require_between, require_count

Memory = tuple[Any, ...]
"""Numbers; () at the start."""
Plan = Literal["all"] | tuple[int, ...]
"""Boundaries that are to be cut; "all" of them."""


class Clock(NamedTuple):
    """Finished updates, of those of the run."""

    step: int
    steps: int


class Seen(NamedTuple):
    """What was measured at this update; None where nothing was, and nothing is decided by it."""

    correlations: Sequence[float] | None = None
    """Of adjacent repeats' gradients, (B-1,); a NaN, where one is zero, never counts as low,
    because a cut cannot be undone."""
    loss: float | None = None
    """Mean training loss of the updates since the last logged row."""


@dataclass(frozen=True)
class Trigger(Tagged, ABC):
    """A rule that says when. A subclass with a ``kind`` may end a stage (``Stage.early``)."""

    @abstractmethod
    def due(self, clock: Clock, seen: Seen, memory: Memory) -> tuple[Memory, Plan | None]:
        """Return what to remember, and the plan if it is time. Pure."""


@dataclass(frozen=True)
class At(Trigger):
    """At a moment of the run and from there on: an update (int) or a fraction in (0, 1)."""

    moment: int | float

    def due(self, clock: Clock, seen: Seen, memory: Memory) -> tuple[Memory, Plan | None]:
        """All, by the clock alone."""
        return memory, "all" if clock.step >= update_of(self.moment, clock.steps) else None


@dataclass(frozen=True)
class LowMajority(Trigger):
    """All, after ``patience`` checks in a row at which more than the share ``majority`` is below
    ``rho``; then the count begins anew."""

    rho: float
    majority: float
    patience: int

    def due(self, clock: Clock, seen: Seen, memory: Memory) -> tuple[Memory, Plan | None]:
        """Count low checks."""
        if seen.correlations is None:
            return memory, None
        low = sum(value < self.rho for value in seen.correlations)
        before = memory[0] if memory else 0
        count = before + 1 if low > self.majority * len(seen.correlations) else 0
        return ((), "all") if count >= self.patience else ((count,), None)


@dataclass(frozen=True)
class LowBoundaries(Trigger):
    """Each boundary, after ``patience`` checks in a row at which it is below ``rho``."""

    rho: float
    patience: int

    def due(self, clock: Clock, seen: Seen, memory: Memory) -> tuple[Memory, Plan | None]:
        """Count low checks, a counter for each boundary."""
        if seen.correlations is None:
            return memory, None
        before = memory or (0,) * len(seen.correlations)
        counts = tuple(
            count + 1 if value < self.rho else 0
            for count, value in zip(before, seen.correlations, strict=True)
        )
        cuts = tuple(place for place, count in enumerate(counts) if count >= self.patience)
        return counts, cuts or None


@dataclass(frozen=True, kw_only=True)
class Stalled(Trigger):
    """The logged training loss no longer falls.

    That is, ``patience`` rows in a row were not below the lowest one so far by more than ``by``.
    ConfigError for values outside their ranges.
    """

    kind: ClassVar[str] = "stalled"

    patience: int = 3
    """Rows."""
    by: float = 0.0
    """In units of the loss, at least 0."""

    def __post_init__(self) -> None:
        require_count("patience", self.patience)
        require_between("by", self.by, 0, 1e9)

    def due(self, clock: Clock, seen: Seen, memory: Memory) -> tuple[Memory, Plan | None]:
        """Keep the lowest loss and the count of rows since."""
        if seen.loss is None:
            return memory, None
        if not memory or seen.loss < memory[0] - self.by:
            return (seen.loss, 0), None
        count = memory[1] + 1
        return (memory[0], count), "all" if count >= self.patience else None


def update_of(moment: int | float, steps: int) -> int:
    """Return a moment, an update or a fraction of the run, as an update: not the first."""
    return max(1, round(moment * steps)) if isinstance(moment, float) else moment


def require_moment(name: str, moment: int | float) -> None:
    """Refuse a moment that is neither an update from 1 on nor a fraction in (0, 1)."""
    if isinstance(moment, float):
        require_between(name, moment, 0, 1, open_low=True, open_high=True)
    else:
        require_count(name, moment)
