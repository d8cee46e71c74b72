"""One draw for all layers under noise: E log of chi^2 sums, limits, and simulated noisy flow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma

from theory.models import draws, noisy_draws


def test_expected_log_of_one_chi_square_and_of_equal_ones() -> None:
    for degrees in (1.0, 2.0, 7.0, 300.0):
        expected = float(digamma(degrees / 2)) + math.log(2 * 0.3)
        assert noisy_draws.expected_log([(0.3, degrees)]) == pytest.approx(expected, abs=1e-9)
    parts = [(0.3, 2.0), (0.3, 5.0), (0.0, 4.0), (9.0, 0.0)]
    expected = noisy_draws.expected_log([(0.3, 7.0)])
    assert noisy_draws.expected_log(parts) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("weights", [(4.0, 0.01), (1.0, 1e-6), (1.3, 0.3)])
def test_expected_log_of_sampled_sums(weights: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    logs = np.log(weights[0] * rng.chisquare(1, 400_000) + weights[1] * rng.chisquare(3, 400_000))
    found = noisy_draws.expected_log([(weights[0], 1.0), (weights[1], 3.0)])
    assert found == pytest.approx(logs.mean(), abs=5 * logs.std() / 400_000**0.5)


def test_parts_written_out() -> None:
    assert noisy_draws.parts(12, 3, 2, 0.5, 0.25) == [(4.5, 6.0), (0.125, 18.0)]


def test_without_noise_it_is_the_plain_draw() -> None:
    for own, d, kept in ((1, 1, 1.0), (3, 2, 0.0), (12, 1, 0.5)):
        found = noisy_draws.delay(12, own, d, 0.0, kept)
        assert found == pytest.approx(float(draws.delay(12, own, d)), abs=1e-9)


def test_noise_makes_the_equal_start_forget_and_tied_layers_not() -> None:
    equal = [noisy_draws.delay(12, 1, 1, r) for r in (0.0, 0.1, 1.0, 10.0, 1e4)]
    assert equal == sorted(equal, reverse=True)
    assert equal[-1] == pytest.approx(0.0, abs=1e-3)
    tied = [noisy_draws.delay(12, 1, 1, r, 0.0) for r in (0.0, 0.1, 1.0, 10.0, 1e6)]
    assert tied == sorted(tied)
    for r, found in zip((0.1, 1.0), tied[1:], strict=False):
        expected = float(draws.delay(12, 1, 1)) + math.log(1 + r) - math.log(1 + r / 12)
        assert found == pytest.approx(expected, abs=1e-9)
    assert tied[-1] == pytest.approx(tied[0] + math.log(12), abs=1e-4)


@pytest.mark.parametrize(("own", "d", "noise"), [(1, 1, 0.3), (3, 2, 4.0), (6, 1, 50.0)])
def test_the_noise_is_told_from_the_ends(own: int, d: int, noise: float) -> None:
    tied, untied = (noisy_draws.delay(12, own, d, noise, q) for q in (0.0, 1.0))
    assert noisy_draws.noise_of(12, own, d, tied - untied) == pytest.approx(noise, rel=1e-6)


@pytest.mark.parametrize("own", [1, 2, 6])
def test_tying_only_delays(own: int) -> None:
    delays = [noisy_draws.delay(12, own, 1, 0.7, q) for q in (1.0, 0.8, 0.3, 0.01, 0.0)]
    assert delays == sorted(delays)
    assert delays[0] >= 0.0


def test_simulated_noisy_flow_is_as_late_as_foretold() -> None:
    """Four layers, noise half of the draw: equal start and always-shared, in e-folds of s."""
    count, sigma = 2000, 1e-3
    base = sigma * np.random.default_rng(5).normal(size=(count, 4, 1))
    equal = np.repeat(base[:, :1], 4, 1)
    settings = [(base, range(4), 1), (equal, range(4), 2), (equal, [0] * 4, 3)]
    own, *others = (
        4.0 * noisy_draws.simulate(u, list(tied), 0.5 * sigma**2, 0.02, 0.1, seed)
        for u, tied, seed in settings
    )
    for found, kept in zip(others, (1.0, 0.0), strict=True):
        late = found - own
        error = late.std() / count**0.5
        foretold = noisy_draws.delay(4, 1, 1, 0.5, kept)
        assert late.mean() == pytest.approx(foretold, abs=5 * error)
        assert late.mean() > 5 * error  # late at all


def test_without_noise_the_simulation_is_the_logistic() -> None:
    weights = np.array([[[3e-3], [4e-3]], [[1e-2], [0.0]]])
    found = noisy_draws.simulate(weights, [0, 1], 0.0, 1e-3, 0.1, 0)
    expected = draws.learnt_at((weights**2).sum((1, 2)), 0.1)
    np.testing.assert_allclose(found, expected, rtol=4e-3)  # Euler: some rates times the step


def test_refusals() -> None:
    with pytest.raises(ValueError, match="divide layers"):
        noisy_draws.delay(12, 5, 1, 0.1)
    with pytest.raises(ValueError, match="noise must be finite"):
        noisy_draws.delay(12, 1, 1, -0.1)
    for gap in (-0.1, 0.0, 3.7):  # log 12 and 1.18 at most
        with pytest.raises(ValueError, match="gap must be in"):
            noisy_draws.noise_of(12, 1, 1, gap)
    with pytest.raises(ValueError, match="own must be less"):
        noisy_draws.noise_of(12, 12, 1, 0.5)
    with pytest.raises(ValueError, match="kept must be in"):
        noisy_draws.parts(12, 1, 1, 0.1, 1.5)
    with pytest.raises(ValueError, match="weights must be"):
        noisy_draws.expected_log([(0.0, 3.0)])
