"""What a few tied updates do: tied, then untied, against untied all along from an equal start."""

from __future__ import annotations

from dataclasses import dataclass

from swe.base.config import require, require_count
from swe.probes.rehearsal import Notice, Rehearsal, follow, rates_of
from swe.probes.run import Make, fresh, no_decay
from swe.sharing.schedule import AlwaysShared, EqualStart, Schedule, SweFixed


@dataclass(frozen=True)
class Branch:
    """Both arms of one branching, over the same batches, rates and random numbers."""

    tied: Rehearsal
    """First tied, then untied."""
    untied: Rehearsal
    """Untied throughout, from the same equal start."""

    @property
    def gain(self) -> float:
        """Held-out loss that the tied updates saved, in its own unit; NaN if both diverged."""
        return self.untied.loss - self.tied.loss


def branch(
    make: Make,
    tied: int,
    untied: int,
    *,
    unit: int = 1,
    decay: bool = False,
    evaluations: int = 1,
    notice: Notice | None = None,
) -> Branch:
    """Train ``tied`` tied updates and ``untied`` untied ones, and as many that are all untied.

    Both arms begin from the run of ``make`` with every repeat of ``unit`` layers made equal to the
    first, so they differ by nothing but the tied updates, and not at all for ``tied`` = 0. The
    rates stay at their peak; with ``decay`` they follow the run's own ``rate`` over the whole
    branch. To branch from a point of a run, let ``make`` load the checkpoint of its tied phase.

    A branch shorter than the time that tying needs to pay says "hurts" whatever comes later: it
    calibrates a forecast and is none. Raises ConfigError as :func:`swe.probes.rehearsal.rehearse`.
    """
    require_count("tied", tied, 0)
    require_count("untied", untied, 0)
    require(tied + untied > 0, "tied + untied", 0, "at least 1")
    first: Schedule = EqualStart(unit=unit)
    if tied:
        first = SweFixed(until=tied, unit=unit) if untied else AlwaysShared(unit=unit)
    arms = []
    for schedule in (first, EqualStart(unit=unit)):
        with fresh(make) as run:
            rates = rates_of(run.rate if decay else no_decay, tied + untied)
            arms.append(follow(run, schedule, rates, evaluations=evaluations, notice=notice))
    return Branch(*arms)
