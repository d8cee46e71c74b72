"""Losses against simulated runs and the exchangeable closed form; rates against long products."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad

from theory.models import horizon, quadratic
from theory.models import noise_and_deviations as noisy
from theory.models.quadratic import Quadratic, linear_steps


def test_losses_of_simulated_runs() -> None:
    """40000 runs that know gradients, noise and tying only: each of four tau within 4.5 errors."""
    rng = np.random.default_rng(0)
    h, N, runs = np.array([3.0, 1.0, 0.5]), 15, 40_000
    steps = linear_steps(0.4, N)
    exact = noisy.losses(h, steps, 1.0, 0.3, 0.5)
    optimum = 1.0 + np.sqrt(0.3) * rng.normal(size=(runs, 3))
    noise = np.sqrt(0.5) * rng.normal(size=(N, runs, 3))
    for tau in (0, 4, 9, N):
        w = np.zeros((runs, 3))
        for t in range(N):
            g = h * (w - optimum) + noise[t]
            w = w - steps[t] * (g.mean(axis=1, keepdims=True) if t < tau else g)
        loss = 0.5 * np.sum(h * (w - optimum) ** 2, axis=1)
        z = (loss.mean() - exact[tau]) / (loss.std(ddof=1) / runs**0.5)
        assert abs(z) < 4.5
        assert abs(z - 0.03 * exact[tau] / (loss.std(ddof=1) / runs**0.5)) > 4.5


def test_losses_of_equal_layers_are_the_exchangeable_ones() -> None:
    """v per layer: bias (L - 1) v about the mean of the optima, and v / L in the mean's start."""
    L, a, v, s2 = 5, 0.7, 0.2, 0.9
    problem = Quadratic(depth=L, own=a, bias=(L - 1) * v, noise=s2, start=1.5 + v / L)
    steps = linear_steps(0.8, 25)
    np.testing.assert_allclose(
        noisy.losses(np.full(L, a), steps, 1.5, v, s2),
        quadratic.loss_by_tau(problem, steps),
        rtol=1e-12,
    )


def test_small_steps_are_the_flow_of_the_horizon() -> None:
    h, N = np.array([4.0, 1.0]), 4000
    found = noisy.losses(h, np.full(N, 2.0 / N), 1.0, 0.0, 0.0)
    flow = np.exp(horizon.log_loss(h, 2.0, np.linspace(0.0, 2.0, N + 1)))
    np.testing.assert_allclose(found, flow, rtol=32.0 / N)  # eta h^2 T
    assert abs(found.argmin() / N * 2.0 - horizon.best_untie_time(h, 2.0)) < 0.01


def test_the_tuned_gain_ends_at_its_horizon() -> None:
    """Exchangeable: below N_0 / 2 there is a gain, above 2 N_0 none; the best tau / N shrinks."""
    a, v, s2 = 1.0, 0.02, 1.0
    end = noisy.noise_horizon(a, 1.0, v, s2)
    rows = [
        noisy.tuned(np.ones(4), round(share * end), 1.0, v, s2, peaks=100)
        for share in (0.25, 0.5, 2.0)
    ]
    assert rows[0]["gain"] > rows[1]["gain"] > 0.0
    at_best = noisy.losses(np.ones(4), linear_steps(rows[0]["peak"], round(0.25 * end)), 1.0, v, s2)
    assert rows[0]["loss"] == pytest.approx(at_best[0], rel=1e-12)
    assert rows[2]["gain"] == 0.0
    assert rows[0]["tau"] > rows[1]["tau"] > rows[2]["tau"] == 0.0


@pytest.mark.parametrize("updates", [2, 16])
def test_without_a_way_to_go_nothing_is_gained(updates: int) -> None:
    """The mean starts at its optimum: no rate is forced up; with a way of 1 there is a gain."""
    assert noisy.tuned(np.ones(8), updates, 0.0, 0.02, 1.0)["gain"] == 0.0
    assert noisy.tuned(np.ones(8), updates, 1.0, 0.02, 1.0)["gain"] > 0.1


def test_tuned_time_is_the_best_of_small_steps() -> None:
    """By the exact loss on a fine grid of peaks; N = 1500: the steps are small."""
    N, s2 = 1500, 1.0
    c = noisy.tuned_time(1.0, N, 1.0, 0.0, s2)
    grid = np.linspace(0.8, 1.2, 21) * c
    exact = [noisy.losses([1.0], linear_steps(x / N, N), 1.0, 0.0, s2)[0] for x in grid]
    assert grid[int(np.argmin(exact))] == pytest.approx(c, rel=0.021)


def test_tuned_time_is_where_the_slope_vanishes() -> None:
    """(m^2 + v) e^(-c) = sigma^2 / (a^2 N) d/dc c^2 J(c), J by its closed form in erf."""

    def spread(c: float) -> float:
        return c**2 * (
            math.sqrt(math.pi) * math.erf(c**0.5) / (4.0 * c**1.5) - math.exp(-c) / (2 * c)
        )

    a, N, m2, v, s2 = 0.5, 200.0, 1.0, 0.3, 0.7
    c = noisy.tuned_time(a, N, m2, v, s2)
    slope = (spread(c + 1e-4) - spread(c - 1e-4)) / 2e-4
    assert (m2 + v) * math.exp(-c) == pytest.approx(s2 / (a**2 * N) * slope, rel=1e-3)


def test_noise_horizon_is_where_the_rate_meets_the_critical_one() -> None:
    a, v, s2 = 0.5, 0.05, 2.0
    end = noisy.noise_horizon(a, 1.0, v, s2)
    critical = quadratic.critical_step(Quadratic(depth=3, own=a, bias=2 * v, noise=s2))
    assert noisy.tuned_time(a, end, 1.0, v, s2) / (a * end) == pytest.approx(
        float(critical[0]), rel=1e-5
    )
    assert noisy.noise_scale(a, v, s2) == pytest.approx(160.0, rel=1e-14)
    assert noisy.noise_horizon(a, 1.0, 0.0, s2) == np.inf


def test_the_crossing_is_where_noise_is_half_of_the_loss() -> None:
    h, v, s2 = np.array([8.0] + [1.0] * 7), 0.01, 1.0
    turn = noisy.crossing_budget(h, 0.125, 1.0, v, s2)
    for updates, past in ((turn - 1, False), (turn, True)):
        steps = linear_steps(0.125, updates)
        start, both = (noisy.losses(h, steps, 1.0, v, noise)[0] for noise in (0.0, s2))
        assert (both >= 2.0 * start) == past


def test_the_gain_of_one_rate_turns_about_the_crossing() -> None:
    """0 below the horizon, then growing, then shrinking: its top within a factor 2."""
    h, v, s2 = np.array([8.0] + [1.0] * 7), 0.001, 0.01
    turn = noisy.crossing_budget(h, 0.125, 1.0, v, s2)
    shares = np.array([0.02, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0])
    gains = []
    for share in shares:
        found = noisy.losses(h, linear_steps(0.125, max(1, round(turn * share))), 1.0, v, s2)
        gains.append(float(np.log10(found[0] / found.min())))
    assert gains[0] == 0.0
    assert 0.5 <= shares[int(np.argmax(gains))] <= 2.0
    assert gains[-1] < 1e-3 < max(gains)


@pytest.mark.parametrize("y", [0.03, 0.7, 1.0, 1.6, 3.3, 6.0])
def test_decay_rate_is_the_mean_logarithm(y: float) -> None:
    """By quadrature, and by the product over a long run (its singular factor: log N / N)."""
    inner = [1.0 / y] if y > 1.0 else None
    integral = quad(lambda u: np.log(abs(1.0 - y * u)), 0.0, 1.0, points=inner, limit=200)[0]
    assert float(noisy.decay_rate(y)) == pytest.approx(-integral, rel=1e-8)
    N = 100_003
    product = np.log(np.abs(1.0 - y * np.arange(1, N + 1) / N + 1e-9)).mean()
    assert float(noisy.decay_rate(y)) == pytest.approx(-product, abs=5e-4)


@pytest.mark.parametrize("y", [1.5, 2.5, 6.0])
def test_tied_rate_is_the_best_moment_to_untie(y: float) -> None:
    """Largest over tau of what is left of the product; for y > 2 at tau / N = 1 - 2 / y."""
    N = 20_011
    logs = np.log(np.abs(1.0 - y * np.arange(N, 0, -1) / N))
    left = np.append(np.cumsum(logs[::-1])[::-1], 0.0)
    assert float(noisy.tied_rate(y)) == pytest.approx(-left.min() / N, abs=1e-3)
    assert left.argmin() / N == pytest.approx(max(0.0, 1.0 - 2.0 / y), abs=1e-3)


def test_stiff_differences_gain_from_ratio_two() -> None:
    for ratio in (0.2, 1.0, 1.99):
        untied, tied = noisy.stiff_rates(ratio)
        assert tied == untied
    for ratio in (2.05, 5.0, 100.0):
        untied, tied = noisy.stiff_rates(ratio)
        assert tied > untied * (1.0 + 1e-4)
    untied, tied = noisy.stiff_rates(1e4)
    assert tied * 1e2 == pytest.approx(1.0, rel=0.01)
    assert untied * 1e4 == pytest.approx(2.30, rel=0.01)


def test_stiff_rates_of_finite_runs() -> None:
    """a = 6 c, bands of 5 % (no single factor vanishes for all): slopes of log loss, both arms."""
    ratio, band = 6.0, np.linspace(0.9512, 1.0013, 40)
    found = []
    for N in (301, 601):
        best = [np.inf, np.inf]
        for peak in np.geomspace(0.3, 12.0, 400):
            eta = linear_steps(peak, N)[:, None]
            mean = np.sum(np.log(np.abs(1.0 - eta * band / ratio)), axis=0)
            logs = np.log(np.abs(1.0 - eta * band))
            left = np.concatenate([np.cumsum(logs[::-1], axis=0)[::-1], np.zeros((1, 40))])
            slow = float(mean.max())
            best[0] = min(best[0], max(slow, float(left[0].max())))
            best[1] = min(best[1], max(slow, float(left.max(axis=1).min())))
        found.append(best)
    slopes = (np.array(found[0]) - np.array(found[1])) / 300.0
    # The band's slow end and the finite run: up to 6 %; the two rates are 1.3 apart.
    np.testing.assert_allclose(slopes, noisy.stiff_rates(ratio), rtol=0.06)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("curvatures .* must be > 0", lambda: noisy.losses([0.0], [0.1], 1.0, 0.0, 0.0)),
        ("common, deviation and noise", lambda: noisy.losses([1.0], [0.1], -1.0, 0.0, 0.0)),
        ("noise and common", lambda: noisy.crossing_budget([1.0], 0.1, 1.0, 0.0, 0.0)),
        ("peak must be", lambda: noisy.crossing_budget([1.0], 2.0, 1.0, 0.0, 1.0)),
        ("common or deviation", lambda: noisy.tuned_time(1.0, 10, 0.0, 0.0, 1.0)),
        ("y must be > 0", lambda: noisy.decay_rate(0.0)),
        ("ratio must be", lambda: noisy.stiff_rates(-1.0)),
    ],
)
def test_bad_arguments_are_refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call()
