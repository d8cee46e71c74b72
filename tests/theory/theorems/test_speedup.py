"""Time ratios: against multiprecision quadrature, the integrator, descent, and their own limits."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import descent, integrate, shared_flow, zas_flow
from theory.numerics.exponents import depth_exponent
from theory.theorems.speedup import (
    deep_ratio,
    deep_zas_time,
    even_log10,
    final_ratio,
    flow_time,
    spectrum_time,
    time_ratio,
)

CASES = [(0.1, 2, 1e-2), (0.5, 7, 1e-12), (0.9, 300, 1e-6), (1.5, 3, 1e-9), (10.0, 64, 1e-4)]
EXACT = 1e-9
"""Promised; 1e-16 / sqrt(eps) / log(1/eps) at eps = 1e-12 is 1e-11."""


def shared_by_quadrature(phi: float, depth: int, eps: mpmath.mpf) -> mpmath.mpf:
    """(1/L) int du / x^p along phi - x = (phi - 1) e^-u, to u = log(1/eps) / 2."""
    with mpmath.workdps(40):
        phi_, p = mpmath.mpf(phi), 2 - mpmath.mpf(2) / depth
        last = mpmath.log(1 / mpmath.mpf(eps)) / 2
        panels = mpmath.linspace(0, last, int(last) + 2)
        return mpmath.quad(lambda u: (phi_ - (phi_ - 1) * mpmath.exp(-u)) ** -p, panels) / depth


def zas_by_quadrature(sigma: float, depth: int, eps: mpmath.mpf) -> mpmath.mpf:
    """int du / r(b) along s = sigma (1 - e^-u), r = (1 + b^2)^(L-2) (1 + L b^2), b by Newton."""
    with mpmath.workdps(20):
        sigma_ = mpmath.mpf(sigma)

        def inverse_rate(u: mpmath.mpf) -> mpmath.mpf:
            s = -sigma_ * mpmath.expm1(-u)
            log_b, step = mpmath.log(s), mpmath.mpf(1)
            while abs(step) > 1e-15:  # from the right of a convex function's root: monotone
                y = mpmath.exp(2 * log_b)
                step = log_b + (depth - 1) * mpmath.log1p(y) / 2 - mpmath.log(s)
                step /= 1 + (depth - 1) * y / (1 + y)
                log_b -= step
            y = mpmath.exp(2 * log_b)
            return 1 / ((1 + y) ** (depth - 2) * (1 + depth * y))

        last = mpmath.log(1 / mpmath.mpf(eps)) / 2
        # Fast at first, where s leaves 0: panels grow geometrically.
        panels = [0, *(last * mpmath.mpf(2) ** -k for k in range(12, -1, -1))]
        return mpmath.quad(inverse_rate, panels, maxdegree=4)


@pytest.mark.parametrize(("phi", "depth", "eps"), CASES)
def test_times_match_multiprecision(phi: float, depth: int, eps: float) -> None:
    shared = float(shared_by_quadrature(phi, depth, eps))
    np.testing.assert_allclose(flow_time("shared", phi, depth, eps), shared, rtol=EXACT)
    # The reference's own panels are good to 1e-7 or better at degree 4.
    zas = float(zas_by_quadrature(phi, depth, eps))
    np.testing.assert_allclose(flow_time("zas", phi, depth, eps), zas, rtol=1e-6)
    ratio = zas / shared
    np.testing.assert_allclose(time_ratio(phi, depth, eps), ratio, rtol=1e-6)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(1.01 * time_ratio(phi, depth, eps), ratio, rtol=1e-6)


SPECTRA = [[0.5, 1.2, 2.0], [0.05, 1.0, 3.0], [1.5, 1.5]]


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("depth", [2, 5])
def test_spectrum_time_on_full_matrices(spectrum: list[float], depth: int) -> None:
    eps, d = 1e-3, len(spectrum)
    target = np.diag(spectrum)
    start = {"shared": descent.identity_start(depth, d), "zas": descent.zas_start(depth, d)}
    for method, flow in (("shared", shared_flow), ("zas", zas_flow)):
        time = spectrum_time(method, spectrum, depth, eps)
        ratio = flow.loss(time, target, depth) / flow.loss(0.0, target, depth)
        np.testing.assert_allclose(ratio, eps, rtol=1e-9)  # 1e-12 in log t times rate x t
        path = integrate.weight_flow(
            [0.0, time, 1.01 * time], target, start[method], tied=method == "shared"
        )
        residual = [np.sum((np.linalg.multi_dot([*w[::-1]]) - target) ** 2) for w in path]
        # Integrator: 1e-11 absolute against a residual of 0.03.
        np.testing.assert_allclose(residual[1] / residual[0], eps, rtol=1e-6)
        assert abs(residual[2] / residual[0] / eps - 1.0) > 1e-3  # 1 % later shows


def test_a_spectrum_of_one_is_the_scalar_and_ones_cost_nothing() -> None:
    for method in ("shared", "zas"):
        one = flow_time(method, 2.0, 16, 1e-6)
        np.testing.assert_allclose(spectrum_time(method, [2.0], 16, 1e-6), one, rtol=1e-12)
        np.testing.assert_allclose(spectrum_time(method, [2.0, 2.0], 16, 1e-6), one, rtol=1e-11)
    np.testing.assert_allclose(
        spectrum_time("shared", [1.0, 2.0], 16, 1e-6), spectrum_time("shared", [2.0], 16, 1e-6)
    )
    np.testing.assert_allclose(time_ratio([2.0], 16, 1e-6), time_ratio(2.0, 16, 1e-6), rtol=1e-11)


def test_descent_takes_these_times() -> None:
    phi, depth, eps = np.array([0.6, 1.7]), 6, 1e-3
    for method, run in (("shared", descent.shared_values), ("zas", descent.zas_values)):
        time = spectrum_time(method, phi, depth, eps)
        errors = []
        for count in (400, 800):
            losses = descent.value_losses(run(phi, depth, time / count, count), phi)
            errors.append(abs(losses[-1] / losses[0] / eps - 1.0))
        assert errors[0] < 0.1  # first order: eta times the fastest rate, 1/400 of the time
        np.testing.assert_allclose(errors[0] / errors[1], 2.0, rtol=0.1)


def test_depth_one_is_the_same_problem_and_the_start_gives_depth() -> None:
    np.testing.assert_allclose(time_ratio(3.0, 1, [1e-2, 1e-6]), 1.0, rtol=1e-12)
    depth = np.array([2, 16, 256])
    # eps = 1 - 2 delta: log(1/eps)/2 = delta, and the rates change by O(L^2 delta) from REM1's.
    np.testing.assert_allclose(time_ratio(2.0, depth, 1.0 - 2e-9), depth, rtol=1e-4)


@settings(deadline=None, max_examples=100)
@given(st.floats(-3.0, 3.0), st.integers(2, 4096))
def test_sharing_always_ends_slower(log10_target: float, depth: int) -> None:
    assert float(final_ratio(10.0**log10_target, depth)) < 1.0


@pytest.mark.parametrize(("phi", "depth"), [(0.2, 2), (1.0, 9), (3.0, 100)])
def test_final_ratio_is_the_formula(phi: float, depth: int) -> None:
    with mpmath.workdps(30):
        b = mpmath.findroot(
            lambda x: mpmath.log(x) + (depth - 1) * mpmath.log(1 + x * x) / 2 - mpmath.log(phi),
            float(np.sinh(0.5 * phi ** (1.0 / depth))),
        )
        formula = (
            depth * b ** (2 - mpmath.mpf(2) / depth) * (1 + b * b) ** (mpmath.mpf(1) / depth)
        ) / (1 + depth * b * b)
    np.testing.assert_allclose(final_ratio(phi, depth), float(formula), rtol=1e-10)


def test_limit_of_small_eps_is_reached() -> None:
    # Between 1e-11 and 1e-12 log R is linear up to sqrt(1e-11).
    for phi in (0.1, 0.5, 3.0):
        spans = [
            np.diff(flow_time(m, phi, [2, 64, 1024], np.array([[1e-11], [1e-12]])), axis=0)[0]
            for m in ("zas", "shared")
        ]
        limit = final_ratio(phi, [2, 64, 1024])
        np.testing.assert_allclose(spans[0] / spans[1], limit, rtol=1e-3)
        assert np.all(np.abs(spans[0] / spans[1] / (1.01 * limit) - 1.0) > 5e-3)


def test_limit_of_depth_is_reached_at_the_order_promised() -> None:
    depth = 2.0 ** np.arange(20, 41, 4)
    for phi in (0.3, 2.0):
        exact = flow_time("zas", phi, depth, 1e-4)
        for second, room in ((False, 0.08), (True, 0.08)):
            error = np.abs(deep_zas_time(phi, depth, 1e-4, second) / exact - 1.0)
            # Both fall as 1/sqrt(L) up to logarithms, the second from a far lower level.
            slope = np.polyfit(np.log(depth), np.log(error), 1)[0]
            assert abs(slope + 0.5) < room
        far = time_ratio(phi, depth[-1], 1e-4)
        np.testing.assert_allclose(deep_ratio(phi, depth[-1], 1e-4), far, rtol=1e-6)
        # The leading order alone is worse by a factor of log L.
        assert abs(deep_ratio(phi, 4096, 1e-4) / time_ratio(phi, 4096, 1e-4) - 1.0) < 0.02
        assert abs(deep_ratio(phi, 4096, 1e-4, False) / time_ratio(phi, 4096, 1e-4) - 1.0) > 0.03
    exponent = depth_exponent(depth, time_ratio(2.0, depth, 1e-4))
    assert 0.498 < exponent["low"] <= exponent["high"] < 0.5


@pytest.mark.parametrize(("phi", "depth"), [(0.1, 8), (0.5, 16), (1.5, 2)])
def test_break_even_is_where_both_take_the_same_time(phi: float, depth: int) -> None:
    decades = float(even_log10(phi, depth))
    with mpmath.workdps(40):
        eps = mpmath.mpf(10) ** -mpmath.mpf(decades)
        ratio = zas_by_quadrature(phi, depth, eps) / shared_by_quadrature(phi, depth, eps)
        np.testing.assert_allclose(float(ratio), 1.0, rtol=1e-6)
        # 1 % of a decade count away it is not: the curves cross at an angle.
        late = eps ** mpmath.mpf("1.05")
        assert zas_by_quadrature(phi, depth, late) < shared_by_quadrature(phi, depth, late) * (
            1 - mpmath.mpf(10) ** -5
        )


def test_there_is_one_crossing() -> None:
    phi = np.array([0.1, 0.2, 0.5, 0.9, 1.5])[:, None, None]
    depth = 2.0 ** np.arange(1, 13)[:, None]
    eps = 10.0 ** -np.linspace(0.05, 12.0, 200)
    ratio = flow_time("zas", phi, depth, eps) / flow_time("shared", phi, depth, eps)
    assert np.all(np.diff(ratio, axis=-1) < 0.0)
    seen = np.sum(ratio > 1.0, axis=-1)
    where = even_log10(phi[..., 0], depth[:, 0])
    expected = np.sum(-np.log10(eps) < where[..., None], axis=-1)
    np.testing.assert_array_equal(seen, expected)


def test_one_crossing_for_targets_on_both_sides_of_one() -> None:
    """The proof's claim, over the whole domain: the lead changes its sign once, from + to -."""
    phi = np.array([1e-3, 0.03, 0.7, 0.999, 1.001, 1.2, 3.0, 40.0, 1e3])[:, None, None]
    depth = np.array([2.0, 3.0, 4.0, 5.0, 9.0, 64.0, 4096.0])[:, None]
    eps = 10.0 ** -np.concatenate([np.geomspace(1e-6, 1.0, 40), np.geomspace(1.1, 300.0, 120)])
    ahead = flow_time("zas", phi, depth, eps) > flow_time("shared", phi, depth, eps)
    assert np.all(ahead[..., 0])
    assert np.all(np.diff(ahead.astype(int), axis=-1) <= 0)
    where = even_log10(phi[..., 0], depth[:, 0])
    expected = np.sum(-np.log10(eps) < where[..., None], axis=-1)
    np.testing.assert_array_equal(np.sum(ahead, axis=-1), expected)


@pytest.mark.parametrize("depth", [2, 3, 4, 5, 9, 64])
def test_steps_of_the_proof_of_one_crossing(depth: int) -> None:
    """Elasticity of ZAS's rate, sign of k', and F that rises, falls, rises: by differences."""
    L, p = float(depth), 2.0 - 2.0 / depth
    B = np.geomspace(1e-6, 1e4, 4001)
    log_s = 0.5 * (np.log(B) + (L - 1) * np.log1p(B))
    log_rate = (L - 2) * np.log1p(B) + np.log1p(L * B)
    np.testing.assert_allclose(  # the rate is that of the flow
        log_rate[:3000:500],
        np.log(zas_flow.rate(np.exp(log_s[:3000:500]), depth) / 2.0),
        rtol=1e-9,
        atol=1e-9,
    )
    slope = np.gradient(log_rate, np.log(B)) / np.gradient(log_s, np.log(B))
    told = p * (1.0 - (1.0 + L * B) ** -2.0)
    np.testing.assert_allclose(slope[1:-1], told[1:-1], rtol=1e-4)
    k = np.log(L * B * (2 + L * B)) - log_s
    sign = 2 + (L + 4) * B + (4 * L - L**2) * B**2
    middle = np.sqrt(B[1:] * B[:-1])
    sure = np.abs(2 + (L + 4) * middle + (4 * L - L**2) * middle**2) > 1e-2 * middle**2
    np.testing.assert_array_equal((np.diff(k) > 0)[sure], (np.interp(middle, B, sign) > 0)[sure])
    turns = np.diff(np.sign(sign))
    assert np.count_nonzero(turns) == (depth > 4)


@pytest.mark.parametrize("phi", [1e6, 1e9])
def test_no_crossing_is_made_up_from_rounding(phi: float) -> None:
    with pytest.raises(ValueError, match="target: its two final rates"):
        even_log10(phi, 2)


def test_exponents() -> None:
    depth = 2.0 ** np.arange(1, 13)
    fit = depth_exponent(depth, 3.0 * depth**0.7)
    np.testing.assert_allclose([fit["slope"], fit["low"], fit["high"]], 0.7, rtol=1e-12)
    assert fit["window"] == [64, 4096]
    bent = depth_exponent(depth, depth + depth**2)
    assert 1.0 < bent["low"] < bent["slope"] < bent["high"] < 2.0
    with pytest.raises(ValueError, match="depth"):
        depth_exponent([2, 4], [1.0, 2.0])
    with pytest.raises(ValueError, match="value"):
        depth_exponent([64, 128], [1.0, 0.0])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: flow_time("both", 2.0, 3, 0.1), "method"),
        (lambda: flow_time("shared", 1.0, 3, 0.1), "target"),
        (lambda: flow_time("zas", -1.0, 3, 0.1), "target"),
        (lambda: flow_time("zas", 2.0, 2.5, 0.1), "depth"),
        (lambda: flow_time("zas", 2.0, 3, 1.0), "eps"),
        (lambda: flow_time("zas", 2.0, 3, 0.0), "eps"),
        (lambda: spectrum_time("shared", [1.0], 3, 0.1), "spectrum"),
        (lambda: spectrum_time("zas", [[1.0]], 3, 0.1), "spectrum"),
        (lambda: spectrum_time("zas", [0.0, 1.0], 3, 0.1), "spectrum"),
        (lambda: time_ratio([0.5, 2.0], [2, 3], 0.1), "depth"),
        (lambda: even_log10(2.0, 1), "depth"),
    ],
)
def test_what_is_outside_is_refused(call: Callable[[], object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        call()
