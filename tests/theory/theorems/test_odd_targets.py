"""Straight lines, negative eigenvalues, equal gradients and one-dimensional nets."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from scipy.stats import linregress

from theory.linear import deep_linear, descent, integrate, shared_flow
from theory.linear.deep_linear import layer_gradients
from theory.numerics.events import Ending
from theory.studies import beyond_sharing
from theory.theorems import controls
from theory.theorems import odd_targets as odd

INTEGRATOR = 1e-7
"""DOP853 at 1e-11 on full matrices, divided by rates of order one."""
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
@pytest.mark.parametrize("angle", [0.4, 1.9, 2.8])
@pytest.mark.parametrize("tied", [True, False])
def test_rotations_move_on_a_straight_line(depth: int, angle: float, tied: bool) -> None:
    """Full matrices, shared and not, against the line and its clock."""
    phi = 1.3 * np.exp(1j * angle)
    target = 1.3 * beyond_sharing.rotation(angle)
    parts = np.array([0.1, 0.5, 0.9, 0.99])
    times = odd.line_time(parts, phi, depth)
    path = integrate.weight_flow(times, target, descent.identity_start(depth, 2), tied=tied)
    product = deep_linear.end_to_end(path)
    found = product[:, 0, 0] + 1j * product[:, 1, 0]
    np.testing.assert_allclose(found, 1.0 + parts * (phi - 1.0), atol=INTEGRATOR)
    late = integrate.weight_flow(1.01 * times, target, descent.identity_start(depth, 2), tied=tied)
    product = deep_linear.end_to_end(late)
    wrong = product[:, 0, 0] + 1j * product[:, 1, 0]
    assert np.min(np.abs(wrong - found)) > 1e2 * INTEGRATOR


@given(st.floats(0.05, 8.0), st.integers(1, 200), st.floats(0.01, 0.999))
@settings(deadline=None, max_examples=50)
def test_positive_targets_are_theorem_2s_flow(phi: float, depth: int, part: float) -> None:
    expected = shared_flow.time_to(1.0 + part * (phi - 1.0), phi, depth)
    if phi != 1.0:
        assert odd.line_time(part, phi, depth) == pytest.approx(float(expected), rel=1e-8)


@pytest.mark.parametrize("angle", [1.0, 3.0, 3.14])
def test_line_time_against_mpmath(angle: float) -> None:
    phi = complex(np.exp(1j * angle))
    with mpmath.workdps(30):
        step = mpmath.mpc(phi) - 1
        exact = (
            mpmath.quad(
                lambda y: 1 / ((1 - y) * abs(1 + y * step) ** mpmath.mpf("1.75")),
                [0, 0.4, 0.49, 0.5, 0.51, 0.6, 0.9],
            )
            / 8
        )
    assert odd.line_time(0.9, phi, 8) == pytest.approx(float(exact), rel=1e-9)
    assert odd.line_distance(phi) == pytest.approx(abs(phi.imag) / abs(1 - phi), rel=1e-12)


def test_negative_targets_stop_the_clock_at_zero() -> None:
    assert odd.line_time(0.7, -1.0, 4) == np.inf
    assert np.isfinite(odd.line_time(0.4, -1.0, 4))
    assert np.isfinite(odd.line_time(0.7, -1.0, 1))  # linear regression does not mind
    times = np.array([0.1, 1.0, 3.0])
    path = integrate.weight_flow(times, [[-0.7]], np.ones((2, 1, 1)), tied=False)
    found = deep_linear.end_to_end(path)[:, 0, 0]
    np.testing.assert_allclose(found, odd.negative_value(times, -0.7), rtol=1e-6)
    assert np.all(np.abs(odd.negative_value(times, -0.707) / found - 1.0) > 1e-4)


@pytest.mark.parametrize("depth", [3, 4, 7])
def test_negative_targets_decay_like_a_power(depth: int) -> None:
    """s (L (p - 1) |phi| t)^(1/(p-1)) -> 1; 1 / t corrections are below a per cent by then."""
    time = 1e4
    path = integrate.weight_flow([time], [[-0.7]], np.ones((depth, 1, 1)), tied=True)
    s = float(path[0, 0, 0, 0] ** depth)
    p = 2.0 - 2.0 / depth
    assert s > 0.0
    assert s * (depth * (p - 1) * 0.7 * time) ** (1 / (p - 1)) == pytest.approx(1.0, rel=1e-2)


@given(st.integers(1, 7), st.integers(1, 3), seeds)
@settings(deadline=None, max_examples=40)
def test_equal_gradients_condition(depth: int, d: int, seed: int) -> None:
    """The products are g_l - g_{l+1}, for any tied point and target."""
    rng = np.random.default_rng(seed)
    layer, target = rng.normal(size=(d, d)) / d, rng.normal(size=(d, d))
    gradients = deep_linear.layer_gradients(np.tile(layer, (depth, 1, 1)), target)
    found = odd.equal_gradients(layer, target, depth)
    # Rounding is that of the gradients, of which the difference may be nothing.
    room = 1e-12 * max(1.0, float(np.max(np.abs(gradients))))
    np.testing.assert_allclose(found, gradients[:-1] - gradients[1:], rtol=0.0, atol=room)


def test_unsharing_changes_nothing_exactly_there() -> None:
    """W^T commuting with W^L - Phi makes all layer gradients equal without W being normal."""
    layer = np.array([[1.0, 0.4], [0.0, 0.8]])
    target = np.linalg.matrix_power(layer, 5) - 0.3 * layer.T @ layer.T
    assert np.max(np.abs(controls.commutator(layer))) > 0.05
    gradients = deep_linear.layer_gradients(np.tile(layer, (5, 1, 1)), target)
    assert np.max(np.abs(gradients - gradients[0])) < 1e-14
    bent = target + 0.01 * np.array([[0.0, 1.0], [0.0, 0.0]])
    gradients = deep_linear.layer_gradients(np.tile(layer, (5, 1, 1)), bent)
    assert np.max(np.abs(gradients - gradients[0])) > 1e-4
    # A singular W is another matter: at zero and L >= 3 nothing moves at all.
    assert not np.any(odd.equal_gradients(np.zeros((2, 2)), target, 4))


def scalar_time(weights: np.ndarray, target: float, eps: float, tied: bool) -> float:
    """By an integrator with an event, layers in full: the other route."""

    def field(_: float, w: np.ndarray) -> np.ndarray:
        slopes = np.array([np.prod(np.delete(w, i)) for i in range(w.size)])
        slopes *= np.prod(w) - target
        return -np.full(w.size, slopes.mean()) if tied else -slopes

    def arrived(_: float, w: np.ndarray) -> float:
        return float(abs(np.prod(w) - target) - eps**0.5 * target)

    with np.errstate(over="ignore", invalid="ignore"):  # trial steps that are rejected
        run = solve_ivp(
            field,
            (0.0, 1e7),
            weights,
            method="DOP853",
            rtol=1e-11,
            atol=1e-13,
            events=Ending(arrived),
        )
    assert run.t_events is not None
    return float(run.t_events[0][0])


@pytest.mark.parametrize("depth", [2, 3, 6, 9])
def test_scalar_times_against_an_integrator(depth: int) -> None:
    start = np.random.default_rng(depth).normal(size=(8, depth))
    found = np.exp(odd.log_scalar_times(start, 0.8, 1e-2))
    exact = [scalar_time(w, 0.8, 1e-2, tied=False) for w in start]
    np.testing.assert_allclose(found, exact, rtol=1e-6)
    assert np.any(np.prod(start, axis=1) < 0.0)  # the sign change is in the sample


@pytest.mark.parametrize("depth", [2, 5, 8])
def test_tied_scalar_times_against_an_integrator(depth: int) -> None:
    start = np.array([0.3, 0.8, 1.2, 1.6])
    found = np.exp(odd.log_tied_times(start, 0.9, 1e-2, depth))
    exact = [scalar_time(np.full(depth, w), 0.9, 1e-2, tied=True) for w in start]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_tied_scalar_nets_of_odd_depth_stick() -> None:
    assert odd.log_tied_times([-0.5], 1.0, 1e-2, 5)[0] == np.inf
    both = odd.log_tied_times([-0.5, 0.5], 1.0, 1e-2, 6)
    assert both[0] == both[1]


def test_log_modulus_is_the_mean_logarithm() -> None:
    density = quad(lambda x: np.log(x) * np.exp(-(x**2) / 2), 0, 1)[0]
    density += quad(lambda x: np.log(x) * np.exp(-(x**2) / 2), 1, 40)[0]
    assert 2 * density / (2 * np.pi) ** 0.5 == pytest.approx(odd.LOG_MODULUS, rel=1e-8)


def test_slope_with_interval() -> None:
    found = odd.slope_with_interval([1, 2, 3, 4], [2.1, 3.9, 6.1, 7.9])
    assert found["slope"] == pytest.approx(1.96)
    other = linregress([1, 2, 3, 4], [2.1, 3.9, 6.1, 7.9])  # 2 degrees of freedom: t = 4.303
    assert found["high"] - found["slope"] == pytest.approx(4.302652729911275 * other.stderr)
    assert found["slope"] - found["low"] == pytest.approx(4.302652729911275 * other.stderr)


def test_slope_intervals_cover_in_95_of_100() -> None:
    """Six depths; a normal quantile covers 88 % of 2000, six standard errors below 95 %."""
    rng = np.random.default_rng(8)
    depths = np.array([4, 8, 16, 32, 48, 64])
    inside = 0
    for noise in rng.normal(size=(2000, 6)):
        found = odd.slope_with_interval(depths, 0.3 * depths + noise)
        inside += found["low"] < 0.3 < found["high"]
    assert inside / 2000 == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 2000) ** 0.5)


def test_slope_needs_three_depths() -> None:
    for depths in ([1, 2], [3, 3, 3]):
        with pytest.raises(ValueError, match="depths"):
            odd.slope_with_interval(depths, np.arange(len(depths)))


@pytest.mark.parametrize("phi", [0.3 + 0.4j, 1.5 + 1.0j, 0.9 + 0.1j, -0.2 + 0.9j, 1.0 + 2.0j])
def test_nearest_point_of_the_line_and_its_conditions(phi: complex) -> None:
    """m only where Re phi < 1 and Re phi < |phi|^2; else an end of the line."""
    found = np.min(np.abs(1.0 + np.linspace(0.0, 1.0, 200_001) * (phi - 1.0)))
    told = abs(phi.imag) / abs(1.0 - phi)
    if phi.real >= 1.0:
        told = 1.0
    elif phi.real >= abs(phi) ** 2:
        told = abs(phi)
    assert odd.line_distance(phi) == pytest.approx(told, rel=1e-12)
    assert found == pytest.approx(told, rel=1e-8)


@pytest.mark.parametrize(("w", "L"), [(1.3, 2), (1.2, 5), (-1.4, 6)])
def test_curvature_of_a_large_draw(w: float, L: int) -> None:
    """The largest eigenvalue of the Hessian at equal layers, by differences of the gradients."""
    phi, h = 0.8, 1e-5

    def gradients(layers: np.ndarray) -> np.ndarray:
        return layer_gradients(layers[:, None, None], np.array([[phi]]))[:, 0, 0]

    own = np.full(L, w)
    hessian = [(gradients(own + h * e) - gradients(own - h * e)) / (2 * h) for e in np.eye(L)]
    largest = (2 * L - 1) * w ** (2 * L - 2) - (L - 1) * phi * w ** (L - 2)
    assert np.linalg.eigvalsh(hessian)[-1] == pytest.approx(largest, rel=1e-7)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="part"):
        odd.line_time(1.0, 2.0, 3)
    with pytest.raises(ValueError, match="target"):
        odd.line_time(0.5, complex(np.inf, 0.0), 3)
    with pytest.raises(ValueError, match="target"):
        odd.negative_value(1.0, 0.5)
    with pytest.raises(ValueError, match="weights"):
        odd.log_scalar_times(np.zeros((1, 3)), 1.0, 0.1)
    with pytest.raises(ValueError, match="target"):
        odd.log_scalar_times(np.ones((1, 3)), -1.0, 0.1)
    with pytest.raises(ValueError, match="eps"):
        odd.log_tied_times([1.0], 1.0, 1.0, 3)
    with pytest.raises(ValueError, match="weights and target"):
        odd.equal_gradients(np.eye(2), np.eye(3), 3)
