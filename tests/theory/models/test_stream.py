"""The stream of a Pre-LN stack: sampled maps, bounds, limits, and what it costs in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.models import draws, stream

WIDTH = 1500


def sampled(layers: int, variance: float, copies: bool, seed: int = 0) -> np.ndarray:
    """R^2 (L + 1,) of one stack of random linear branches."""
    rng = np.random.default_rng(seed)
    h = rng.normal(size=WIDTH)
    h /= np.sqrt(np.mean(h**2))
    found, branch = [1.0], None
    for _ in range(layers):
        if branch is None or not copies:
            branch = rng.normal(size=(WIDTH, WIDTH)) * np.sqrt(variance / WIDTH)
        h = h + branch @ (h / np.sqrt(np.mean(h**2)))
        found.append(float(np.mean(h**2)))
    return np.array(found)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize(("layers", "variance"), [(4, 0.5), (12, 0.1), (6, 0.01)])
def test_squares_are_those_of_sampled_maps(layers: int, variance: float, copies: bool) -> None:
    """A mean square of 1,500 values is known to some 4 %, and is averaged over six stacks."""
    formula = (stream.copied if copies else stream.drawn)(layers, variance)
    found = np.mean([sampled(layers, variance, copies, seed) for seed in range(6)], axis=0)
    np.testing.assert_allclose(found, formula, rtol=0.05)


def test_squares_written_out() -> None:
    """Two layers: c = (1, 2 t) and t^2 / R_1 beyond, with t = sqrt v and R_1^2 = 1 + v."""
    v = 0.36
    first = 1.0 + v
    second = 1.0 + (0.6 + 0.6 / np.sqrt(first)) ** 2 + (v / np.sqrt(first)) ** 2
    np.testing.assert_allclose(stream.copied(2, v), [1.0, first, second], rtol=1e-14)
    np.testing.assert_allclose(stream.drawn(3, v), [1.0, 1.36, 1.72, 2.08], rtol=1e-14)


@given(layers=st.integers(1, 40), variance=st.floats(0.0, 4.0))
def test_copies_are_between_drawn_ones_and_their_sum(layers: int, variance: float) -> None:
    copies, each = stream.copied(layers, variance), stream.drawn(layers, variance)
    most = (1.0 + np.arange(layers + 1) * np.sqrt(variance)) ** 2
    assert np.all(copies >= each * (1 - 1e-12))
    assert np.all(copies <= most * (1 + 1e-12))
    late = float(stream.later(copies, each))
    ends = 0.5 * np.log(copies[-1] / each[-1])
    assert ends - 1e-12 <= late <= 2.0 * ends + 1e-12


@pytest.mark.parametrize("layers", [4, 12, 100])
def test_branches_over_depth_bound_it_at_any_depth(layers: int) -> None:
    v = 0.11
    assert stream.copied(layers, v / layers**2)[-1] <= (1.0 + v**0.5) ** 2
    assert stream.copied(layers, v)[-1] > 0.4 * layers**2 * v


def test_reach_written_out() -> None:
    squares = np.array([1.0, 4.0, 16.0])
    assert float(stream.reach(squares)) == pytest.approx((1.0 + 0.5) / 2 / 4)
    assert float(stream.later(squares, np.ones(3))) == pytest.approx(np.log(1 / 0.1875))
    assert float(stream.later(np.ones(3), squares)) < 0.0


def test_a_skill_is_learnt_later_by_the_reach() -> None:
    """Overlaps that grow alike, read by 1 / (R_l R_L): times to one share, in e-folds."""
    start = np.full(12, 1e-9)
    copies, each = stream.copied(12, 0.1), stream.drawn(12, 0.1)

    def read(squares: np.ndarray) -> float:
        return float((start / np.sqrt(squares[:-1] * squares[-1])).sum())

    late = 4.0 * float(draws.learnt_at(read(copies), 0.5) - draws.learnt_at(read(each), 0.5))
    assert late == pytest.approx(float(stream.later(copies, each)), rel=1e-6)


def test_refusals() -> None:
    for function in (stream.drawn, stream.copied):
        with pytest.raises(ValueError, match="variance must be >= 0"):
            function(3, -0.1)
        with pytest.raises(ValueError, match="integer"):
            function(0, 0.1)
    for squares in ([1.0], [1.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError, match="two or more in the last axis, all positive"):
            stream.reach(squares)
