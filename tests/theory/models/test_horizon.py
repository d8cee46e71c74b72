"""The horizon theorem against multiprecision, an integrator, brute force over tau and patterns."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.models import horizon

STIFF = np.array([64.0] + [1.0] * 7)
SLOW = np.array([64.0] + [0.1] * 7)


def random_curvatures(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.exp(rng.uniform(np.log(0.02), 0.0, int(rng.integers(2, 7)))))


@pytest.mark.parametrize("h", [STIFF, SLOW, np.array([1.0, 1e-6, 0.3])], ids=["1", "0.1", "3"])
def test_critical_horizon_in_multiprecision(h: np.ndarray) -> None:
    """The root of sum h e^(-2hs) (h - hbar), by mpmath at 40 digits."""
    found = horizon.critical_horizon(h)
    with mpmath.workdps(40):
        values = [mpmath.mpf(float(x)) for x in h]
        mean = mpmath.fsum(values) / len(values)
        root = mpmath.findroot(
            lambda s: mpmath.fsum(x * (x - mean) * mpmath.exp(-2 * x * s) for x in values), found
        )
        assert abs(found / root - 1) < 1e-12


def test_the_two_horizons_of_the_text() -> None:
    assert round(64.0 * horizon.critical_horizon(STIFF), 2) == 2.11
    assert round(64.0 * horizon.critical_horizon(SLOW), 2) == 3.24


def integrated(h: np.ndarray, time: float, tau: float) -> float:
    """The loss by an integrator of the two flows; it knows gradients and tying only."""

    def flow(_: float, e: np.ndarray, tied: bool) -> np.ndarray:
        g = h * e
        return np.asarray(-(np.full(h.size, g.mean()) if tied else g))

    e = np.ones(h.size)
    for span, tied in ((tau, True), (time - tau, False)):
        if span > 0.0:
            e = solve_ivp(flow, (0.0, span), e, args=(tied,), rtol=1e-11, atol=1e-14).y[:, -1]
    return float(0.5 * np.sum(h * e**2))


def test_loss_against_an_integrator() -> None:
    h = np.array([5.0, 1.0, 0.4])
    for tau in (0.0, 0.3, 1.0):
        assert np.exp(float(horizon.log_loss(h, 1.0, tau))) == pytest.approx(
            integrated(h, 1.0, tau), rel=1e-8
        )


def test_best_untie_time_by_brute_force() -> None:
    """Random layers and budgets from 0.2 to 5 T_c: no tau on a grid is better, and none as good."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(100):
        h = random_curvatures(rng)
        time = horizon.critical_horizon(h) * float(np.exp(rng.uniform(np.log(0.2), np.log(5.0))))
        best = horizon.best_untie_time(h, time)
        inside += best > 0.0
        grid = np.linspace(0.0, time, 2001)
        losses = horizon.log_loss(h, time, grid)
        assert float(horizon.log_loss(h, time, best)) <= losses.min() + 1e-14
        assert abs(grid[losses.argmin()] - best) <= time / 2000.0
    assert 20 < inside < 80


def test_gain_is_zero_up_to_the_horizon_and_grows_beyond() -> None:
    critical = horizon.critical_horizon(STIFF)
    times = critical * np.array([0.5, 1.0, 1.5, 2.0, 4.0])
    gains = np.array([horizon.gain(STIFF, float(t)) for t in times])
    assert np.all(gains[:2] == 0.0)
    assert np.all(np.diff(gains[1:]) > 0.0)
    best = horizon.best_untie_time(STIFF, float(times[3]))
    assert 10.0 ** gains[3] == pytest.approx(
        integrated(STIFF, float(times[3]), 0.0) / integrated(STIFF, float(times[3]), best), rel=1e-7
    )


def test_gain_grows_at_its_rate_in_the_end() -> None:
    """2 (hbar - hmin) / log 10 decades a unit of time; the rest falls like e^(-2 (h2 - h1) T)."""
    h = np.array([4.0, 2.0, 1.0])
    rate = horizon.gain(h, 21.0) - horizon.gain(h, 20.0)
    assert rate == pytest.approx(2.0 * (h.mean() - 1.0) / np.log(10.0), rel=1e-12)


def test_layers_without_a_horizon() -> None:
    assert horizon.critical_horizon([2.0, 2.0, 2.0]) == np.inf
    assert horizon.critical_horizon([2.0, 0.0]) == np.inf, "one layer with a gradient: only slower"
    assert horizon.critical_horizon([3.0, 1.0, 0.0]) < np.inf
    assert horizon.best_untie_time([2.0, 0.0], 100.0) == 0.0


def test_weighted_curvature_falls_from_its_start_to_the_least() -> None:
    """M(0) = sum h^2 / sum h = 4103 / 71, M(inf) = 1."""
    values = horizon.weighted_curvature(STIFF, [0.0, 0.01, 0.1, 1e9])
    assert values[0] == pytest.approx(4103.0 / 71.0, rel=1e-14)
    assert np.all(np.diff(values) < 0.0)
    assert values[-1] == 1.0


def test_no_pattern_beats_tied_then_untied() -> None:
    """The conjecture's search: 2^10 patterns for 60 random problems, best tau inside in most."""
    rng = np.random.default_rng(1)
    inside = 0
    for case in range(60):
        h = random_curvatures(rng)
        steps = rng.uniform(0.1, 1.0) * (np.ones(10) if case % 2 else np.arange(10, 0, -1) / 10.0)
        every, prefixes = horizon.all_schedules(h, steps)
        assert every.size == 2**10
        assert prefixes.min() <= every.min() * (1.0 + 1e-12)
        inside += bool(0 < prefixes.argmin() < 10)
    assert inside > 30


def test_patterns_are_the_runs() -> None:
    """Two updates, h = (1, 0.5), eta 0.5: written out, the first tied or the second."""
    every, prefixes = horizon.all_schedules([1.0, 0.5], [0.5, 0.5])
    tied_first = 0.5 * ((0.625 * 0.5) ** 2 + 0.5 * (0.625 * 0.75) ** 2)
    mean = (0.5 + 0.5 * 0.75) / 2.0
    tied_last = 0.5 * ((0.5 - 0.5 * mean) ** 2 + 0.5 * (0.75 - 0.5 * mean) ** 2)
    np.testing.assert_allclose(every[[1, 2]], [tied_first, tied_last], rtol=1e-14)
    np.testing.assert_array_equal(prefixes, every[[0, 1, 3]])


def expected_slope(h: np.ndarray, time: float, m2: float, v: float, theta: float) -> float:
    """dF/dtau at 0 by second moments: E e e^T tied for a moment, then free; and the noise."""
    L = h.size
    moments = m2 * np.ones((L, L)) + v * np.eye(L)
    mean = np.full((L, L), 1.0 / L)

    def loss(tau: float) -> float:
        def slope(_: float, flat: np.ndarray, pull: np.ndarray, noise: np.ndarray) -> np.ndarray:
            E = flat.reshape(L, L)
            return np.asarray((-pull @ E - E @ pull.T + noise).reshape(-1))

        E = moments.reshape(-1)
        for span, pull, noise in (
            (tau, mean @ np.diag(h), theta * mean),
            (time - tau, np.diag(h), theta * np.eye(L)),
        ):
            if span > 0.0:
                E = solve_ivp(slope, (0.0, span), E, args=(pull, noise), rtol=1e-12, atol=1e-14).y[
                    :, -1
                ]
        return float(0.5 * np.sum(h * np.diag(E.reshape(L, L))))

    return (loss(2e-4) - loss(0.0)) / 2e-4


@pytest.mark.parametrize("time", [0.3, 1.5])
def test_first_tie_margin_by_second_moments(time: float) -> None:
    h = np.array([3.0, 1.0, 0.5])
    weight = float(np.sum(h * np.exp(-2.0 * h * time)))
    for m2, v, theta in ((1.0, 0.0, 0.0), (1.0, 0.3, 0.0), (1.0, 0.2, 1.5), (0.0, 1.0, 0.5)):
        found = weight * horizon.first_tie_margin(h, time, m2, v, theta)
        assert found == pytest.approx(expected_slope(h, time, m2, v, theta), abs=2e-3)


def test_helping_horizon_is_where_the_margin_changes_sign() -> None:
    h = np.array([8.0, 1.0, 1.0])
    assert horizon.helping_horizon(h, 1.0, 0.0, 0.0) == horizon.critical_horizon(h)
    where = horizon.helping_horizon(h, 1.0, 0.4, 0.2)
    assert where > horizon.critical_horizon(h)
    assert horizon.first_tie_margin(h, 0.999 * where, 1.0, 0.4, 0.2) > 0.0
    assert horizon.first_tie_margin(h, 1.001 * where, 1.0, 0.4, 0.2) < 0.0
    assert horizon.helping_horizon(h, 1.0, 0.4, 100.0) == 0.0
    assert horizon.helping_horizon(h, 1.0, 100.0, 0.0) == np.inf


def test_deviation_allowed_is_the_edge_of_the_margin() -> None:
    h = STIFF
    assert horizon.deviation_allowed(h, 0.5 * horizon.critical_horizon(h)) == 0.0
    allowed = horizon.deviation_allowed(h, 0.2)
    assert horizon.first_tie_margin(h, 0.2, 2.0, 2.0 * allowed, 0.0) == pytest.approx(
        0.0, abs=1e-12
    )
    assert horizon.deviation_allowed(h, 1e6) == pytest.approx(9.0, rel=1e-12)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("curvatures must", lambda: horizon.critical_horizon([-1.0, 1.0])),
        ("curvatures must", lambda: horizon.critical_horizon([0.0, 0.0])),
        ("tau must be <= time", lambda: horizon.log_loss([1.0, 2.0], 1.0, 2.0)),
        ("steps must be at most 16", lambda: horizon.all_schedules([1.0, 2.0], np.ones(17))),
        ("common, deviation", lambda: horizon.helping_horizon([1.0, 2.0], -1.0, 0.0, 0.0)),
    ],
)
def test_bad_arguments_are_refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call()
