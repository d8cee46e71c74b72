"""A first skill of grown stacks: weights written out, limits, order, and simulated growth."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import digamma

from theory.models import draws, grown_draws, noisy_draws

SETTINGS = list(product((1, 3, 6), (1, 4), (0.0, 0.3, 5.0)))
"""Source's layers, dimension, noise."""
KEPT = (1.0, 0.7, 0.2, 0.0)


def test_parts_written_out() -> None:
    """m = 4: 4 (1 + 0.5 * 0.75) + 0.5 * 0.25, and 1 + 0.5."""
    assert grown_draws.parts(12, 3, 2, 0.5, 0.25) == [(5.625, 6.0), (0.125, 18.0)]
    assert grown_draws.parts(12, 3, 2, 0.5, 0.25, share=0.0) == [(1.5, 6.0), (0.125, 18.0)]
    assert grown_draws.parts(12, 3, 2, 0.5, 0.0, share=0.25) == [(1.75 * 1.5, 6.0), (0.0, 18.0)]


@pytest.mark.parametrize(("own", "d", "noise"), SETTINGS)
def test_copies_lose_the_draw_alone(own: int, d: int, noise: float) -> None:
    plain = float(draws.delay(12, own, d))
    assert grown_draws.delay(12, own, d, noise) == pytest.approx(plain, abs=1e-9)
    found = [grown_draws.delay(12, own, d, noise, q) for q in KEPT]
    assert found[0] == pytest.approx(noisy_draws.delay(12, own, d, noise), abs=1e-9)
    assert all(a <= b + 1e-9 for a, b in pairwise(found))
    for q in KEPT:  # as much in the mean as the baseline
        total = sum(weight * k for weight, k in grown_draws.parts(12, own, d, noise, q))
        assert total == pytest.approx(12 * d * (1 + noise), rel=1e-12)


@pytest.mark.parametrize(("own", "d", "noise"), SETTINGS)
def test_grown_is_before_tied(own: int, d: int, noise: float) -> None:
    """By the closed form at q = 0, and never later."""
    copies = 12 / own
    gaps = [
        noisy_draws.delay(12, own, d, noise, q) - grown_draws.delay(12, own, d, noise, q)
        for q in KEPT
    ]
    assert min(gaps) >= -1e-9
    expected = math.log(1 + noise) - math.log(1 + noise / copies)
    assert gaps[-1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("own", "d"), [(1, 1), (3, 2), (6, 1)])
def test_zeros_lose_their_share_too(own: int, d: int) -> None:
    apart = float(digamma(12 * d / 2) - digamma(own * d / 2))
    assert grown_draws.delay(12, own, d, 2.0, share=0.0) == pytest.approx(apart, abs=1e-9)
    found = [grown_draws.delay(12, own, d, 2.0, q, share=0.0) for q in KEPT]
    assert all(a < b for a, b in pairwise(found))  # noise is a late draw
    assert grown_draws.delay(12, own, d, 0.0, 1.0, share=0.0) == pytest.approx(apart, abs=1e-9)


def test_one_factor_at_zero_is_a_quarter_of_a_copy() -> None:
    """Flow of s = sum a b, three layers of which two have a = 0, against a logistic from w u^2."""
    u, end = 1e-4, 0.1

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        a, b = y[:3], y[3:]
        gap = 2.0 * (1.0 - a @ b)
        return np.concatenate([gap * b, gap * a])

    start = np.array([u, 0.0, 0.0, u, u, u])
    weight = 1.0 + 2.0 * grown_draws.ONE_FACTOR
    at = float(draws.learnt_at(weight * u**2, end))
    path = solve_ivp(velocity, (0.0, at), start, "DOP853", rtol=1e-11, atol=1e-15).y[:, -1]
    assert path[:3] @ path[3:] == pytest.approx(end, rel=1e-5)
    later = grown_draws.delay(12, 3, 2, 1.0, share=grown_draws.ONE_FACTOR)
    copies = grown_draws.delay(12, 3, 2, 1.0)
    assert later - copies == pytest.approx(math.log(4 / 1.75), abs=1e-9)


def test_break_even_written_out() -> None:
    """Six of twelve: psi(6) - psi(3) = 1/3 + 1/4 + 1/5, less log 2 for copies; over a half."""
    apart = 1 / 3 + 1 / 4 + 1 / 5
    zeros = grown_draws.break_even(12, 6, 1, share=0.0)
    assert zeros == pytest.approx(2 * apart, rel=1e-8)
    assert grown_draws.break_even(12, 6, 1, 3.0) == pytest.approx(
        2 * (apart - math.log(2)), rel=1e-8
    )


@pytest.mark.parametrize("share", [1.0, 0.25, 0.0])
def test_simulated_growth_is_as_late_as_foretold(share: float) -> None:
    """One layer of four, grown an e-fold after the start (of s: 4 t), noise half of the draw."""
    count, sigma, noise, when = 2000, 1e-3, 0.5, 0.25
    source = sigma * np.random.default_rng(6).normal(size=(count, 4, 1))
    own = 4.0 * noisy_draws.simulate(source, range(4), noise * sigma**2, 0.02, 0.1, 1)
    grown = 4.0 * grown_draws.simulate(
        source[:, :1], 4, when, noise * sigma**2, 0.01, 0.1, 2, share
    )
    late = grown - own
    error = late.std() / count**0.5
    foretold = grown_draws.delay(4, 1, 1, noise, math.exp(-4.0 * when), share)
    assert late.mean() == pytest.approx(foretold, abs=5 * error)
    assert late.mean() > 5 * error  # late at all


def test_a_simulation_without_noise_is_the_logistic() -> None:
    weights = np.array([[[3e-3], [4e-3]], [[1e-2], [0.0]]])
    s = (weights**2).sum((1, 2))
    for share, more in ((1.0, 3.0), (0.25, 1.5), (0.0, 1.0)):
        found = grown_draws.simulate(weights, 3, 0.1, 0.0, 1e-3, 0.1, 0, share)
        np.testing.assert_allclose(found, draws.learnt_at(more * s, 0.1), rtol=4e-3)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="divide layers"):
        grown_draws.delay(12, 5, 1, 0.1)
    with pytest.raises(ValueError, match="kept must be in"):
        grown_draws.parts(12, 1, 1, 0.1, -0.5)
    with pytest.raises(ValueError, match="share must be in"):
        grown_draws.parts(12, 1, 1, 0.1, 0.5, 1.5)
    with pytest.raises(ValueError, match="own must be less"):
        grown_draws.break_even(12, 12, 1)
    with pytest.raises(ValueError, match="learnt before the growth"):
        grown_draws.simulate(np.full((1, 1, 1), 0.5), 2, 1.0, 0.0, 0.01, 0.3, 0)
