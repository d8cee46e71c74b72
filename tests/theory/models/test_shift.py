"""A delay in nats: one curve, shifted; budgets; skills in a row."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.models import draws, shift


def rates(updates: int, peak: float) -> np.ndarray:
    """Up over a tenth, then down to zero."""
    up = np.arange(1, updates + 1) / (updates / 10)
    return peak * np.minimum(up, np.arange(updates, 0, -1) / (0.9 * updates))


@pytest.mark.parametrize(("tied", "until"), [(0, 0), (1, 60), (1, 600), (3, 200)])
def test_every_arm_ends_as_a_shorter_baseline(tied: int, until: int) -> None:
    """Copies, tied or not: at the end as the baseline was so much of the clock before."""
    rng = np.random.default_rng(3)
    own = tied or 1
    drawn = 0.01 * rng.normal(size=(12, 2))
    copies = np.tile(drawn[:own], (12 // own, 1))
    each = rates(600, 0.0055)
    clock = np.concatenate([[0.0], np.cumsum(each)])
    base, arm = shift.descend(drawn, each), shift.descend(copies, each, tied, until)
    for level in (0.05, 0.5):
        late = np.interp(level, arm, clock) - np.interp(level, base, clock)
        later, sooner = (arm, base) if late > 0 else (base, arm)
        shorter = np.interp(clock[-1] - abs(late), clock, sooner)
        assert later[-1] == pytest.approx(shorter, abs=3e-3)
    assert abs(arm[-1] - base[-1]) > 0.02


def test_small_steps_are_the_flow() -> None:
    start = np.full((4, 1), 0.05)
    found = shift.descend(start, np.full(4000, 2.5e-4))
    assert found[-1] == pytest.approx(draws.flow(start, [1.0])[0], rel=2e-3)
    assert found[0] == pytest.approx(0.01)


def test_told_is_exact_at_budgets_and_monotone_between() -> None:
    clocks, losses = [250.0, 500.0, 1000.0], [4.1, 3.2, 2.8]
    assert shift.told(clocks, losses, clocks) == pytest.approx(losses, abs=1e-12)
    between = shift.told(clocks, losses, np.linspace(250, 1000, 50))
    assert np.all(np.diff(between) < 0)
    assert np.isnan(shift.told(clocks, losses, [249.0, 1001.0])).all()
    line = shift.told([1.0, np.e], [2.0, 1.0], np.exp(0.25))
    assert line == pytest.approx(1.75, abs=1e-12)


def test_told_is_smooth_at_a_budget() -> None:
    """The slope at an inner budget is the harmonic mean of both sides' (Fritsch and Butland), which
    a line between budgets has not. A difference quotient of 1e-4 on either side."""
    half = 1e-4
    low, high = shift.told([250.0, 500.0, 1000.0], [4.1, 3.2, 2.8], 500.0 * np.exp([-half, half]))
    left, right = -0.9 / np.log(2), -0.4 / np.log(2)
    assert (high - low) / (2 * half) == pytest.approx(2 / (1 / left + 1 / right), abs=1e-3)


@given(st.floats(0.1, 3.0), st.floats(-0.5, 0.5), st.floats(0.0, 2.0))
def test_power_gap_is_that_of_the_law(power: float, share: float, excess: float) -> None:
    budget = 700.0
    law = lambda c: excess * (c / budget) ** -power  # noqa: E731
    expected = law(budget * (1 - share)) - law(budget)
    assert shift.power_gap(excess, power, share) == pytest.approx(expected, abs=1e-9)


def test_power_gap_falls_with_the_budget() -> None:
    """Of one delay: as C^-(1 + b), up to (Delta / C)^2."""
    gaps = shift.power_gap([1.0, 2.0**-0.5], 0.5, [0.001, 0.0005])
    assert gaps[1] / gaps[0] == pytest.approx(2.0**-1.5, rel=1e-3)


def test_skills_in_a_row_add_their_waits() -> None:
    starts = np.array([1e-8, 1e-6, 1e-7])
    clocks = np.linspace(0.0, 16.0, 4001)
    found = shift.in_a_row(starts, clocks)
    at = [np.interp(0.5, row, clocks) for row in found]
    assert at == pytest.approx(shift.learnt_at(starts), abs=0.02)
    alone = draws.learnt_at(1e-8, 0.5)
    assert at[0] == pytest.approx(float(alone), abs=1e-4)


def test_later_skills_cost_copies_a_draw_each() -> None:
    """Twice the logarithm of the starts' ratio by the second skill, where both are smaller."""
    small, large = shift.learnt_at([[1e-9, 1e-9], [1e-6, 1e-6]])
    late = 4.0 * (small - large)
    assert late == pytest.approx([np.log(1e3), 2 * np.log(1e3)])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: shift.told([1.0], [1.0], 1.0), "clocks"),
        (lambda: shift.told([2.0, 1.0], [1.0, 2.0], 1.5), "clocks"),
        (lambda: shift.told([1.0, 2.0], [1.0], 1.5), "losses"),
        (lambda: shift.told([1.0, 2.0], [1.0, 2.0], 0.0), "at"),
        (lambda: shift.power_gap(-1.0, 1.0, 0.1), "excess"),
        (lambda: shift.power_gap(1.0, 1.0, 1.0), "share"),
        (lambda: shift.learnt_at([0.0, 0.5]), "starts"),
        (lambda: shift.in_a_row([0.0], [1.0]), "starts"),
        (lambda: shift.descend(np.ones((4, 1)), [0.1], 3, 1), "tied"),
    ],
)
def test_refusals(call: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()
