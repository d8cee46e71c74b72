"""One draw for all layers or one each: an integrator, sampled starts, limits, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import digamma

from theory.models import draws


def starts(seed: int, layers: int, own: int, dimension: int, count: int) -> np.ndarray:
    """log s(0) of starts whose first ``own`` layers are copied, sigma 1."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(count, own, dimension))
    copies = np.tile(drawn, (1, layers // own, 1))
    return np.asarray(np.log((copies**2).sum((1, 2))))


@pytest.mark.parametrize("tied", [0, 1, 2, 6])
def test_the_flow_is_one_logistic_however_tied(tied: int) -> None:
    """Equal layers move alike with and without the mean; s is the closed form."""
    own = tied or 3
    weights = np.tile(np.random.default_rng(own).normal(size=(own, 2)) * 1e-3, (6 // own, 1))
    start = float((weights**2).sum())
    shares = np.array([1e-4, 1e-2, 0.5, 0.9])
    times = draws.learnt_at(start, shares)
    np.testing.assert_allclose(draws.flow(weights, times, tied), shares, rtol=1e-7)
    if tied:
        np.testing.assert_allclose(
            draws.flow(weights, times, tied), draws.flow(weights, times), rtol=1e-9
        )


def test_tying_unequal_layers_is_not_the_untied_flow() -> None:
    weights = np.random.default_rng(0).normal(size=(6, 2)) * 1e-3
    at = np.array([2.0])
    assert abs(float(draws.flow(weights, at, 1)[0] / draws.flow(weights, at)[0]) - 1.0) > 0.01


def test_learnt_at_is_the_integral() -> None:
    found, _ = quad(lambda s: 1.0 / (4.0 * (1.0 - s) * s), 0.02, 0.7, epsabs=1e-12)
    assert float(draws.learnt_at(0.02, 0.7)) == pytest.approx(found, rel=1e-10)
    assert float(draws.learnt_at(0.3, 0.3)) == 0.0


@pytest.mark.parametrize(("own", "dimension"), [(1, 1), (2, 1), (1, 3), (4, 2), (12, 1)])
def test_delay_and_spread_of_sampled_starts(own: int, dimension: int) -> None:
    """Within five standard errors of 200,000 starts; one percent would show in a delay above."""
    count = 200_000
    copied = starts(1, 12, own, dimension, count)
    each = starts(2, 12, 12, dimension, count)
    delay, spread = float(draws.delay(12, own, dimension)), float(draws.spread(own, dimension))
    error = np.hypot(copied.std(), each.std()) / count**0.5
    assert each.mean() - copied.mean() == pytest.approx(delay, abs=5 * error)
    assert copied.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize(("layers", "own", "scale"), [(12, 12, 1.0), (24, 4, 0.2), (6, 1, 3.0)])
def test_start_is_the_mean_log_of_samples(layers: int, own: int, scale: float) -> None:
    """Within five standard errors; and two starts differ by the delay."""
    count = 200_000
    sampled = starts(3, layers, own, 2, count) + np.log(scale)
    error = sampled.std() / count**0.5
    found = float(draws.start(layers, own, 2, scale))
    assert sampled.mean() == pytest.approx(found, abs=5 * error)
    late = float(draws.start(layers, layers, 2, scale)) - found
    assert late == pytest.approx(float(draws.delay(layers, own, 2)), abs=1e-12)


def test_scaled_branches_leave_later_in_e_folds_as_long() -> None:
    """Branches times a: u' = 2 a g u with s = a sum |u|^2, by an integrator."""
    a, w = 0.2, np.array([1e-3, 2e-3])
    plain, scaled = (float(draws.learnt_at(by * w @ w, 0.5)) / by for by in (1.0, a))

    def velocity(_: float, u: np.ndarray) -> np.ndarray:
        return 2.0 * a * (1.0 - a * u @ u) * u

    end = solve_ivp(velocity, (0.0, scaled), w, "DOP853", rtol=1e-11, atol=1e-14).y[:, -1]
    assert a * end @ end == pytest.approx(0.5, rel=1e-7)
    later = 4.0 * (a * scaled - plain)
    assert later == pytest.approx(float(draws.start(2, 2, 1) - draws.start(2, 2, 1, a)), rel=1e-4)


def test_delay_written_out() -> None:
    """psi at halves and integers by hand: psi(6) = H_5 - gamma, psi(1/2) = -gamma - 2 log 2."""
    expected = sum(1 / k for k in range(1, 6)) + 2 * np.log(2) - np.log(12)
    assert float(draws.delay(12, 1, 1)) == pytest.approx(expected, rel=1e-12)
    assert float(draws.delay(12, 12, 3)) == 0.0
    assert float(draws.spread(2, 1)) == pytest.approx(np.pi / 6**0.5, rel=1e-12)


def test_delay_falls_in_draws_and_dimension_bounded_in_depth() -> None:
    by_draws = draws.delay(12, [1, 2, 3, 4, 6, 12], 1)
    by_dimension = draws.delay(12, 1, [1, 2, 3, 4, 6, 12])
    assert np.all(np.diff(by_draws) < 0)
    assert np.all(np.diff(by_dimension) < 0)
    assert float(draws.delay(12, 3, 10**4)) == pytest.approx((1 / 3 - 1 / 12) / 10**4, rel=1e-3)
    bound = np.log(0.5) - float(digamma(0.5))
    deep = draws.delay([2, 10, 1000, 10**7], 1, 1)
    assert np.all(np.diff(deep) > 0)
    assert float(deep[-1]) == pytest.approx(bound, rel=1e-6)


@pytest.mark.parametrize(("own", "dimension"), [(1, 1), (3, 1), (1, 4)])
def test_first_of_sampled_starts(own: int, dimension: int) -> None:
    """Copies of layers that the untied stack has among its own."""
    drawn = np.random.default_rng(3).normal(size=(100_000, 12, dimension)) ** 2
    copies = drawn[:, :own].sum((1, 2)) * 12 / own
    share = float((copies > drawn.sum((1, 2))).mean())
    assert draws.first(12, own, dimension) == pytest.approx(share, abs=5 * 0.5 / 100_000**0.5)


def test_first_written_out() -> None:
    """Of one draw of two parts: P(F_(2, n) > 1) = (1 + 2 / n)^(-n / 2)."""
    assert draws.first(12, 1, 2) == pytest.approx((12 / 11) ** -11, rel=1e-10)


def test_refusals() -> None:
    for layers, own, d in product((12,), (1, 5, 0), (1, 0, 1.5)):
        if (own, d) == (1, 1):
            continue
        with pytest.raises(ValueError, match=r"must (be an integer|divide)"):
            draws.delay(layers, own, d)
    for scale in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="positive and finite"):
            draws.start(4, 4, 1, scale)
    with pytest.raises(ValueError, match="fewer than layers"):
        draws.first(4, 4, 1)
    for start, share in ((0.0, 0.5), (0.5, 0.4), (0.5, 1.0)):
        with pytest.raises(ValueError, match="0 < start <= share < 1"):
            draws.learnt_at(start, share)
