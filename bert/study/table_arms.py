"""The arms of the paper's tables and of the protocol's controls, by name.

An arm is a schedule, a budget in multiples of the study's updates, and what happens to Adam's
moments; names are unique over all tables, so tables share runs. The paper's "base 1M" beside arms
of 500k is ``baseline x2`` here. Not listed: a fixed run at SWE-A's realised tau, since that is the
same run bit for bit (tests/swe/sharing/test_control_schedules.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from bert.study.arms import StudyConfig
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.gradients import Convention
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    ShamUntie,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.unshare import Moments

REFERENCE = "baseline"
TAUS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""SWE-F's tau as a fraction of the run (paper, Table 3: 0.1 and 0.4)."""
RHOS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""SWE-M's thresholds (paper, Table 3)."""
BUDGETS = (0.5, 0.7, 1.0, 2.0)
"""Baselines that the speed-up is read off, in multiples of the study's updates."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One column of a table."""

    name: str
    """Unique; also the name of its run folders."""
    schedule: Schedule
    """When it unties; steps count in updates of its own run."""
    budget: float = 1.0
    """Updates, in multiples of the study's."""
    moments: Moments = "copy"
    """Adam's moments at the untie."""
    convention: Convention = "mean"
    """Gradient of tied layers."""

    def steps(self, study: StudyConfig) -> int:
        """Return the arm's updates."""
        return max(1, round(self.budget * study.steps))

    def worth(self, study: StudyConfig) -> float:
        """Return the updates of the study's own model, untied, that cost as much."""
        return self.steps(study)


def percent(fraction: float) -> str:
    """Return "10 %" for 0.1."""
    return f"{100 * fraction:g} %"


def baseline(budget: float = 1.0) -> Arm:
    """Return the never-shared run at a budget; the reference at 1."""
    name = REFERENCE if budget == 1 else f"{REFERENCE} x{budget:g}"
    return Arm(name=name, schedule=NeverShared(), budget=budget)


def is_baseline(name: str) -> bool:
    """Whether an arm of this name is the baseline, at whatever budget."""
    return name == REFERENCE or name.startswith(f"{REFERENCE} x")


def swe_f(study: StudyConfig, tau: float | None = None, unit: int | None = None) -> Arm:
    """Return SWE-F; the study's tau and unit unless given, and then named by them."""
    name = "swe-f"
    if unit is not None and unit != study.unit:
        name += f" {unit}x{depth(study) // unit}"
    if tau is not None and tau != study.tau:
        name += f" tau {percent(tau)}"
    schedule = SweFixed(unit=unit or study.unit, until=study.tau if tau is None else tau)
    return Arm(name=name, schedule=schedule)


def swe_m(study: StudyConfig, rho: float | None = None) -> Arm:
    """Return SWE-M; the study's rho unless given."""
    name = "swe-m" if rho is None or rho == study.rho else f"swe-m rho {rho:g}"
    value = study.rho if rho is None else rho
    return Arm(
        name=name,
        schedule=SweMultistage(unit=study.unit, rho=value, interval=study.check_interval),
    )


def swe_a(study: StudyConfig) -> Arm:
    """Return SWE-A at the study's rho."""
    schedule = SweAdaptive(unit=study.unit, rho=study.rho, interval=study.check_interval)
    return Arm(name="swe-a", schedule=schedule)


def depth(study: StudyConfig) -> int:
    """Return the number of a study's layers."""
    return study.shape(6).layers


def equal_start(study: StudyConfig) -> Arm:
    """Return the control that starts as SWE does and never ties a gradient."""
    return Arm(name="equal-start", schedule=EqualStart(unit=study.unit))


def always_shared(study: StudyConfig, unit: int | None = None) -> Arm:
    """Return the arm that never unties; the study's unit unless given."""
    unit = unit or study.unit
    name = "always-shared" + ("" if unit == study.unit else f" {unit}x{depth(study) // unit}")
    return Arm(name=name, schedule=AlwaysShared(unit=unit))


def _moment_arms(study: StudyConfig) -> list[Arm]:
    """Return the controls of the untie itself: moment modes, the sum convention, sham events."""
    fixed = SweFixed(unit=study.unit, until=study.tau)
    return [
        Arm(name="swe-f reset", schedule=fixed, moments="reset"),
        Arm(name="swe-f rescale", schedule=fixed, moments="rescale"),
        Arm(name="swe-f sum", schedule=fixed, convention="sum"),
        Arm(name="sham reset", schedule=ShamUntie(until=study.tau), moments="reset"),
    ]


def units(depth: int) -> tuple[int, ...]:
    """Sharing units A of AxB, coarse to fine, without A = depth (no sharing; the baseline)."""
    return tuple(unit for unit in range(depth - 1, 0, -1) if depth % unit == 0)


def coarse_units(study: StudyConfig) -> list[int]:
    """Return the coarsest unit that still shares, [] when it is the study's own."""
    return [unit for unit in units(depth(study))[:1] if unit != study.unit]


def table_arms(table: str, study: StudyConfig) -> tuple[Arm, ...]:
    """Return the arms of a table, the reference first.

    Table 1: the paper's five columns and the protocol's controls; Table 2: the paper's four and the
    equal start; Table 3: tau and rho; Table 4: all sharing units; ``speedup``: the baselines at
    four budgets beside the main arms; ``sweep``: the main arms and all tau, for one machine's
    evening; ``headline``: what a deep or wide model has time for.
    """
    coarse = coarse_units(study)
    arms = {
        "table1": lambda: [
            baseline(2.0),
            equal_start(study),
            swe_f(study),
            swe_a(study),
            swe_m(study),
            always_shared(study),
            *(swe_f(study, unit=unit) for unit in coarse),
            *_moment_arms(study),
        ],
        "table2": lambda: [baseline(2.0), equal_start(study), swe_f(study), swe_m(study)],
        "table3": lambda: [
            equal_start(study),
            *(swe_f(study, tau) for tau in TAUS),
            *(swe_m(study, rho) for rho in RHOS),
        ],
        "table4": lambda: [
            equal_start(study),
            *(swe_f(study, unit=unit) for unit in units(depth(study))),
        ],
        "speedup": lambda: [
            *(baseline(b) for b in BUDGETS if b != 1),
            equal_start(study),
            swe_f(study),
            swe_a(study),
            swe_m(study),
            always_shared(study),
        ],
        "sweep": lambda: [
            baseline(2.0),
            equal_start(study),
            *(swe_f(study, tau) for tau in TAUS),
            swe_a(study),
            swe_m(study),
            always_shared(study),
            *(swe_f(study, unit=unit) for unit in coarse),
        ],
        "headline": lambda: [
            baseline(2.0),
            equal_start(study),
            swe_f(study),
            swe_a(study),
            always_shared(study),
        ],
    }
    require(table in arms, "table", table, f"one of {', '.join(arms)}")
    return possible(table, study, (baseline(), *arms[table]()))


def possible(table: str, study: StudyConfig, arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Return ``arms``. ConfigError for two of one name, or one that its run has no room for."""
    names = [arm.name for arm in arms]
    if len(set(names)) != len(names):
        raise ConfigError(f"table {table}: two arms of one name in {names}")
    for arm in arms:
        arm.schedule.validate(depth(study), arm.steps(study))
    return arms


TABLES = ("table1", "table2", "table3", "table4", "speedup", "sweep", "headline")
