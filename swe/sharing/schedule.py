"""When to unshare: SWE-F, SWE-A, SWE-M and the controls, as pure, serialisable state machines.

A schedule is frozen data. ``decide(state, step, correlations)`` returns the next state and touches
nothing else; the state (layout and patience counters) is JSON, so a saved run replays its decisions
exactly. Only ``swe.sharing.share_then_unshare`` acts on a decision.

``step`` counts finished updates: a decision at ``step`` takes effect before update ``step`` (the
first update is 0), so with tau = 10 the updates 0..9 are tied and 10, 11, ... are not.
``correlations[i]`` is the cosine between the gradients of repeats i and i+1 (paper: of "each two
adjacent layers"), NaN where a gradient is zero; a NaN never counts as low, because a split cannot
be undone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from swe.base.config import Tagged, from_dict, require, require_between, require_count, to_dict
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.triggers import (
    At,
    Clock,
    LowBoundaries,
    LowMajority,
    Seen,
    Trigger,
    require_moment,
    update_of,
)


@dataclass(frozen=True)
class ScheduleState:
    """Layout in force and patience counters (one for SWE-A, one a boundary for SWE-M).

    Raises ConfigError for a negative counter.
    """

    layout: Layout
    low_checks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for count in self.low_checks:
            require_count("low_checks", count, 0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data; :meth:`from_json` is the inverse."""
        return to_dict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScheduleState:
        """Rebuild a state from :meth:`to_json`. Raises ConfigError for other data."""
        return from_dict(cls, data, where="schedule.")


@dataclass(frozen=True, kw_only=True)
class Schedule(Tagged):
    """What all schedules have: the sharing unit A of AxB, and how layers start.

    A pure state machine: (state, step, correlations) to the next state; ShareThenUnshare acts on
    it. ``start`` and ``validate`` raise ConfigError for a stack or a run that it does not fit.
    """

    unit: int = 1
    """Sharing unit A, in layers; must divide the depth."""

    @property
    def equal_start(self) -> bool:
        """Whether an unshared start copies the first unit's weights into all repeats."""
        return False

    def start(self, depth: int) -> ScheduleState:
        """Return the state before update 0; ConfigError when the unit does not fit the depth."""
        return ScheduleState(Layout.tied(depth, self.unit))

    def validate(self, depth: int, steps: int) -> None:
        """Refuse a schedule that cannot run on ``depth`` layers for ``steps`` updates."""
        require_count("steps", steps)
        self.start(depth)

    def wants_correlations(self, state: ScheduleState, step: int) -> bool:
        """Whether :meth:`decide` needs the adjacent correlations at this step."""
        return False

    @property
    def trigger(self) -> Trigger | None:
        """When what comes apart (swe.sharing.triggers); None: never."""
        return None

    def decide(
        self, state: ScheduleState, step: int, steps: int, correlations: Sequence[float] | None
    ) -> ScheduleState:
        """Return the state in force for update ``step`` of ``steps``: as the trigger has it. Pure.

        ConfigError for correlations that are asked for and not given.
        """
        if self.trigger is None:
            return state
        seen = Seen()
        if self.wants_correlations(state, step):
            seen, needed = Seen(correlations=correlations), state.layout.repeats - 1
            if correlations is None or len(correlations) != needed:
                got = None if correlations is None else len(correlations)
                raise ConfigError(f"correlations: {got} given at step {step}, {needed} are needed")
        memory, plan = self.trigger.due(Clock(step, steps), seen, state.low_checks)
        if plan is None:
            return replace(state, low_checks=memory)
        apart = state.layout.untie() if plan == "all" else state.layout.split(plan)
        return ScheduleState(apart, memory)

    def renews(self, step: int, steps: int) -> bool:
        """Whether the layers' optimiser state is renewed before ``step`` without a split."""
        return False


@dataclass(frozen=True, kw_only=True)
class NeverShared(Schedule):
    """The paper's baseline: layers start at random, each for itself, and are never tied.

    Source: the BERT baselines of Yang et al., arXiv 2110.03848, Tables 1 and 2.
    """

    kind: ClassVar[str] = "never-shared"

    def start(self, depth: int) -> ScheduleState:
        """Untied from the beginning."""
        return ScheduleState(Layout.untied(depth, self.unit))


@dataclass(frozen=True, kw_only=True)
class EqualStart(NeverShared):
    """Control: all repeats start equal, as under sharing, but are never tied.

    It separates what the equal start gives from what tying gives.
    """

    kind: ClassVar[str] = "equal-start"

    @property
    def equal_start(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, kw_only=True)
class AlwaysShared(Schedule):
    """Control: tied to the end (ALBERT-style); with ``unit`` = A, the tied AxB model.

    ``unit``: layers in a sharing unit; ConfigError at ``start`` where it does not divide the depth.
    Source: Lan et al., arXiv 1909.11942; AxB as in Yang et al., arXiv 2110.03848, Table 4.
    """

    kind: ClassVar[str] = "always-shared"


@dataclass(frozen=True, kw_only=True)
class _UntiedOnce(Schedule):
    """Common fields of the schedules that share as others do, to the end or until an update."""

    until: int | float | None = None
    """Update that unties everything, as :class:`SweFixed` has it; None: never."""

    def tau(self, steps: int) -> int | None:
        """Return that update in a run of ``steps`` updates; None: never."""
        return None if self.until is None else update_of(self.until, steps)

    def validate(self, depth: int, steps: int) -> None:
        """Also refuse a tau outside 1..steps-1."""
        super().validate(depth, steps)
        if self.until is not None:
            SweFixed(unit=self.unit, until=self.until).validate(depth, steps)

    @property
    def trigger(self) -> Trigger | None:
        """At tau, if there is one."""
        return None if self.until is None else At(self.until)


@dataclass(frozen=True, kw_only=True)
class SequenceShared(_UntiedOnce):
    """Neighbours share: ``distinct`` runs of as many repeats each, to the end or until an update.

    SEQUENCE of the paper, 1 1 2 2 3 3 for 3 of 6 layers. Its CYCLE, 1 2 3 1 2 3, is AxB and so
    ``AlwaysShared(unit=3)``; its CYCLE (REV) is :class:`CycleReversed`. ConfigError at ``start``
    where ``distinct`` does not divide the repeats. Source: Takase and Kiyono, arXiv 2104.06022.
    """

    kind: ClassVar[str] = "sequence-shared"

    distinct: int = 2
    """Runs of neighbours that share; of layers, or of units where ``unit`` is more than 1."""

    def start(self, depth: int) -> ScheduleState:
        """Runs of equal length."""
        repeats = Layout.tied(depth, self.unit).repeats
        require_count("distinct", self.distinct, 1, repeats)
        allowed = f"a divisor of the {repeats} repeats"
        require(repeats % self.distinct == 0, "distinct", self.distinct, allowed)
        sizes = (repeats // self.distinct,) * self.distinct
        return ScheduleState(Layout(depth, self.unit, sizes))


@dataclass(frozen=True, kw_only=True)
class CycleReversed(_UntiedOnce):
    """A cycle of ``unit`` layers whose last turn runs backwards, to the end or until an update.

    CYCLE (REV) of the paper: 1 2 3 3 2 1 for 3 of 6 layers, 1 2 3 1 2 3 3 2 1 for 3 of 9: the last
    two turns mirror one another. Its code also takes depths that are no multiple; here ConfigError
    at ``start`` where ``unit`` does not divide the depth, or there is nothing to turn round: a unit
    of 1, or one turn. Source: Takase and Kiyono, arXiv 2104.06022, and their public code.
    """

    kind: ClassVar[str] = "cycle-reversed"

    unit: int = 2
    """Distinct layers; must divide the depth, and be more than 1 and less than it."""

    def start(self, depth: int) -> ScheduleState:
        """All turns share, the last one in reverse order."""
        require_count("unit", self.unit, 2, max(2, depth // 2))
        return ScheduleState(Layout.tied(depth, self.unit, last_reversed=True))


@dataclass(frozen=True, kw_only=True)
class SweFixed(Schedule):
    """SWE-F: untie everything at update tau (paper: 50k of 500k steps).

    ``validate`` raises ConfigError for a tau outside the run. Source: Yang et al., arXiv
    2110.03848, Algorithm 1; Table 3 varies tau.
    """

    kind: ClassVar[str] = "swe-f"

    until: int | float = 0.1
    """tau: a step (int, 1..steps-1) or a fraction of the run (float in (0, 1))."""

    def tau(self, steps: int) -> int:
        """Return tau as a step of a run of ``steps`` updates."""
        return update_of(self.until, steps)

    def validate(self, depth: int, steps: int) -> None:
        """Also refuse a tau outside 1..steps-1."""
        super().validate(depth, steps)
        require(steps >= 2, "steps", steps, f"at least 2: {self.kind} unties after an update")
        require_moment("until", self.until)
        allowed = f"a step in 1..{steps - 1} or a fraction in (0, 1)"
        require(self.tau(steps) < steps, "until", self.until, allowed)

    @property
    def trigger(self) -> Trigger:
        """At tau, all; and from there on."""
        return At(self.until)


@dataclass(frozen=True, kw_only=True)
class ShamUntie(SweFixed):
    """Control: never tied, but at tau the layers' optimiser state goes through an untie's mill.

    With moments copied it is the baseline bit for bit; with moments reset it shows what the reset
    alone does, apart from any sharing.
    """

    kind: ClassVar[str] = "sham-untie"

    def start(self, depth: int) -> ScheduleState:
        """Untied from the beginning, layers at random as in the baseline."""
        return ScheduleState(Layout.untied(depth, self.unit))

    def renews(self, step: int, steps: int) -> bool:
        """At tau."""
        return step == self.tau(steps)


@dataclass(frozen=True, kw_only=True)
class _Adaptive(Schedule):
    """Common fields of the schedules that look at gradient correlations."""

    rho: float = 0.5
    """Threshold of the adjacent gradient correlation, in [-1, 1] (paper: 0.5)."""
    interval: int = 1000
    """Updates between two checks (paper: 1000)."""
    patience: int = 1
    """Consecutive low checks needed."""

    def validate(self, depth: int, steps: int) -> None:
        """Also refuse impossible thresholds and an interval that leaves no check inside the run."""
        super().validate(depth, steps)
        require_between("rho", self.rho, -1, 1)
        require_count("interval", self.interval, 1, max(1, steps - 1))
        require_count("patience", self.patience)

    def wants_correlations(self, state: ScheduleState, step: int) -> bool:
        """At every interval while anything is shared."""
        return step > 0 and step % self.interval == 0 and not state.layout.is_untied


@dataclass(frozen=True, kw_only=True)
class SweAdaptive(_Adaptive):
    """SWE-A: untie everything after ``patience`` checks in a row with a low majority.

    A check is low when more than ``majority`` of the adjacent correlations are below ``rho``
    (paper: more than half, below 0.5, three checks in a row, every 1000 steps). ConfigError for
    values outside their ranges. Source: Yang et al., arXiv 2110.03848, SWE-A.
    """

    kind: ClassVar[str] = "swe-a"

    patience: int = 3
    majority: float = 0.5
    """Fraction of the correlations that must be exceeded, in [0, 1)."""

    def validate(self, depth: int, steps: int) -> None:
        """Also refuse a majority outside [0, 1)."""
        super().validate(depth, steps)
        require_between("majority", self.majority, 0, 1, open_high=True)

    @property
    def trigger(self) -> Trigger:
        """A low majority, all at once."""
        return LowMajority(self.rho, self.majority, self.patience)


@dataclass(frozen=True, kw_only=True)
class SweMultistage(_Adaptive):
    """SWE-M: split a group between repeats i and i+1 when their correlation is below ``rho``.

    Every boundary keeps its own patience counter (paper: no patience, that is 1). ConfigError for
    values outside their ranges. Source: Yang et al., arXiv 2110.03848, SWE-M; Table 3 varies rho.
    """

    kind: ClassVar[str] = "swe-m"

    @property
    def trigger(self) -> Trigger:
        """Each boundary for itself."""
        return LowBoundaries(self.rho, self.patience)
