"""Schedules decide from (step, correlations, state) alone, and replay from a saved state."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.sharing.schedule import (
    AlwaysShared,
    CycleReversed,
    EqualStart,
    NeverShared,
    Schedule,
    ScheduleState,
    SequenceShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)


def layouts(schedule: Schedule, depth: int, steps: int, low: dict[int, list[float]]) -> list[str]:
    """Run a schedule over all steps; ``low`` gives the correlations of some, others are high."""
    schedule.validate(depth, steps)
    state, out = schedule.start(depth), []
    for step in range(steps):
        high = [0.9] * (state.layout.repeats - 1)
        state = schedule.decide(state, step, steps, low.get(step, high))
        out.append(str(state.layout))
    return out


@pytest.mark.parametrize("until", [3, 0.3])
def test_fixed_unties_exactly_at_tau(until: int | float) -> None:
    assert layouts(SweFixed(until=until), 4, 10, {}) == ["1x4"] * 3 + ["4x1"] * 7


def test_controls_never_change() -> None:
    assert set(layouts(NeverShared(), 4, 5, {})) == {"4x1"}
    assert set(layouts(EqualStart(), 4, 5, {})) == {"4x1"}
    assert set(layouts(AlwaysShared(unit=2), 4, 5, {})) == {"2x2"}
    assert EqualStart().equal_start
    assert not NeverShared().equal_start


def test_sequence_and_cycle_owners_written_out() -> None:
    """Takase and Kiyono's figure, 3 of 6 layers; and neighbours of units of two."""
    owners: dict[tuple[int, ...], Schedule] = {
        (0, 0, 1, 1, 2, 2): SequenceShared(distinct=3),
        (0, 1, 2, 0, 1, 2): AlwaysShared(unit=3),
        (0, 1, 2, 2, 1, 0): CycleReversed(unit=3),
        (0, 1, 0, 1, 1, 0): CycleReversed(),
        (0, 0, 0, 1, 1, 1): SequenceShared(),
        (0, 0, 0, 0, 0, 0): SequenceShared(distinct=1),
        (0, 1, 2, 3, 4, 5): SequenceShared(distinct=6),
    }
    for owner, schedule in owners.items():
        assert schedule.start(6).layout.owner == owner
    turned = CycleReversed(unit=3).start(9).layout
    assert turned.owner == (0, 1, 2, 0, 1, 2, 2, 1, 0)
    assert turned.untie().owner == tuple(range(9))
    assert SequenceShared(unit=2).start(8).layout.owner == (0, 1, 0, 1, 2, 3, 2, 3)


@pytest.mark.parametrize(
    ("kind", "tied"), [(SequenceShared, "1x(2+2)"), (CycleReversed, "2x2 (rev)")]
)
def test_sequence_unties_at_tau_or_never(
    kind: type[SequenceShared] | type[CycleReversed], tied: str
) -> None:
    assert set(layouts(kind(), 4, 10, {})) == {tied}
    assert kind().tau(10) is None
    for until in (3, 0.3):
        schedule = kind(until=until)
        assert schedule.tau(10) == 3
        assert layouts(schedule, 4, 10, {}) == [tied] * 3 + ["4x1"] * 7
        assert from_dict(Schedule, to_dict(schedule)) == schedule


def test_adaptive_needs_a_low_majority_three_times_in_a_row() -> None:
    """Depth 5 has 4 boundaries: 2 low of 4 are no majority, 3 are; the count restarts."""
    schedule = SweAdaptive(rho=0.5, interval=2)
    three, two = [0.1, 0.1, 0.1, 0.9], [0.1, 0.1, 0.9, 0.9]
    seen = {2: three, 4: three, 6: two, 8: three, 10: three, 12: three}
    assert layouts(schedule, 5, 20, seen) == ["1x5"] * 12 + ["5x1"] * 8


def test_adaptive_ignores_correlations_between_checks() -> None:
    schedule = SweAdaptive(rho=0.5, interval=5)
    off_beat = {step: [0.0, 0.0] for step in range(30) if step % 5}
    assert set(layouts(schedule, 3, 30, off_beat)) == {"1x3"}


def test_multistage_splits_at_each_low_boundary() -> None:
    schedule = SweMultistage(rho=0.5, interval=1)
    seen = {2: [0.9, 0.2, 0.9], 4: [0.4, 0.9, 0.9]}
    assert layouts(schedule, 4, 6, seen) == [
        "1x4",
        "1x4",
        "1x(2+2)",
        "1x(2+2)",
        "1x(1+1+2)",
        "1x(1+1+2)",
    ]


def test_multistage_patience_is_kept_for_each_boundary() -> None:
    schedule = SweMultistage(rho=0.5, interval=1, patience=2)
    seen = {1: [0.0, 0.9], 2: [0.9, 0.0], 3: [0.9, 0.0]}
    assert layouts(schedule, 3, 5, seen) == ["1x3", "1x3", "1x3", "1x(2+1)", "1x(2+1)"]


def test_undefined_correlation_never_unties() -> None:
    nothing = {step: [math.nan, math.nan] for step in range(9)}
    assert set(layouts(SweAdaptive(interval=1), 3, 9, nothing)) == {"1x3"}
    assert set(layouts(SweMultistage(interval=1), 3, 9, nothing)) == {"1x3"}


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (SweFixed(until=10), r"until = 10: must be a step in 1..9 or a fraction in \(0, 1\)"),
        (SweFixed(until=1.0), r"until = 1.0: must be in \(0, 1\)"),
        (SweFixed(until=0), r"until = 0"),
        (SweFixed(unit=3), r"unit = 3: must be a divisor of depth 4"),
        (SweAdaptive(rho=1.5), r"rho = 1.5: must be in \[-1, 1\]"),
        (SweAdaptive(interval=10), r"interval = 10: must be an integer, at least 1 and at most 9"),
        (SweAdaptive(interval=1, majority=1.0), r"majority = 1.0: must be in \[0, 1\)"),
        (SweMultistage(interval=1, patience=0), r"patience = 0"),
        (SequenceShared(distinct=3), r"distinct = 3: must be a divisor of the 4 repeats"),
        (SequenceShared(distinct=3, unit=2), r"distinct = 3: must be an integer, .* at most 2"),
        (CycleReversed(unit=1), r"unit = 1: must be an integer, at least 2 and at most 2"),
        (CycleReversed(unit=4), r"unit = 4: must be an integer, at least 2 and at most 2"),
        (CycleReversed(until=10), r"until = 10: must be a step in 1..9"),
        (SequenceShared(until=10), r"until = 10: must be a step in 1..9 or a fraction in \(0, 1\)"),
    ],
)
def test_impossible_schedules_are_refused_by_name(schedule: Schedule, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        schedule.validate(4, 10)


def test_adaptive_refuses_a_missing_or_short_measurement() -> None:
    schedule = SweAdaptive(interval=1)
    for correlations in (None, [0.5]):
        with pytest.raises(ConfigError, match="3 are needed"):
            schedule.decide(schedule.start(4), 1, 10, correlations)


some_schedule = st.one_of(
    st.builds(SweFixed, until=st.integers(1, 29)),
    st.builds(SequenceShared, until=st.integers(1, 29), distinct=st.just(1)),
    st.builds(
        SweAdaptive,
        rho=st.floats(-1, 1),
        interval=st.integers(1, 4),
        patience=st.integers(1, 3),
        majority=st.floats(0, 0.9),
    ),
    st.builds(
        SweMultistage, rho=st.floats(-1, 1), interval=st.integers(1, 4), patience=st.integers(1, 3)
    ),
    st.builds(AlwaysShared),
    st.builds(NeverShared),
    st.builds(EqualStart),
)


@given(schedule=some_schedule, cut=st.integers(0, 29), data=st.data())
def test_replay_from_a_saved_state_is_identical(
    schedule: Schedule, cut: int, data: st.DataObject
) -> None:
    """Saving state and configuration as JSON at any step changes no later decision."""
    depth, steps = 5, 30
    row = st.lists(st.floats(-1, 1), min_size=depth - 1, max_size=depth - 1)
    seen = data.draw(st.lists(row, min_size=steps, max_size=steps))
    schedule.validate(depth, steps)
    state = schedule.start(depth)
    unbroken = []
    for step in range(steps):
        state = schedule.decide(state, step, steps, seen[step])
        unbroken.append(state)
        assert state.layout.refines(schedule.start(depth).layout)
    saved = json.loads(json.dumps(unbroken[cut].to_json()))
    again: Schedule = from_dict(Schedule, json.loads(json.dumps(to_dict(schedule))))
    assert again == schedule
    state = ScheduleState.from_json(saved)
    for step in range(cut + 1, steps):
        state = again.decide(state, step, steps, seen[step])
        assert state == unbroken[step]
