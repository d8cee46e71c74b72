"""The ZAS flow: closed form against mpmath, an integrator on full matrices, and itself."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear, integrate, zas_flow
from theory.linear.descent import zas_start

DEPTHS = [1, 2, 3, 6, 40, 4096]
TARGETS = [1e-3, 0.3, 1.0, 2.0, 50.0, 1e3]
PARTS = [1e-6, 0.1, 0.7, 1 - 1e-5]

EXACT = 1e-10
"""Relative error promised against 30-digit arithmetic; what is seen is below 2e-11."""
INTEGRATOR = 1e-8
"""DOP853 at rtol 1e-11 over thousands of steps."""
ROUNDING = 1e-12
"""A few hundred float64 roundings."""


def time_by_mpmath(s: float, sigma: float, depth: int) -> mpmath.mpf:
    """The defining integral dtheta / (cosh^(L-2) (sigma - s)), adaptively in 30 digits."""
    with mpmath.workdps(30):

        def product(theta: mpmath.mpf) -> mpmath.mpf:
            return mpmath.sinh(theta) * mpmath.cosh(theta) ** (depth - 1)

        def angle(value: mpmath.mpf) -> mpmath.mpf:
            v = mpmath.log(value)
            for _ in range(300):
                excess = v - mpmath.log(value)
                excess += mpmath.mpf(depth - 1) / 2 * mpmath.log1p(mpmath.exp(2 * v))
                step = excess / (1 + (depth - 1) / (1 + mpmath.exp(-2 * v)))
                v -= step
                if abs(step) < mpmath.mpf(10) ** -28:
                    break
            return mpmath.asinh(mpmath.exp(v))

        end, last = angle(mpmath.mpf(sigma)), angle(mpmath.mpf(s))
        far = -mpmath.log(1 - last / end)

        def integrand(x: mpmath.mpf) -> mpmath.mpf:
            theta = end * (1 - mpmath.exp(-x))
            speed = mpmath.cosh(theta) ** (depth - 2) * (sigma - product(theta))
            return end * mpmath.exp(-x) / speed

        return mpmath.quad(integrand, mpmath.linspace(0, far, int(far) + 2))


@pytest.mark.parametrize("depth", DEPTHS)
def test_closed_form_against_mpmath(depth: int) -> None:
    for sigma in TARGETS:
        values = sigma * np.array(PARTS)
        times = [time_by_mpmath(float(s), sigma, depth) for s in values]
        for s, expected, found in zip(
            values, times, zas_flow.time_to(values, sigma, depth), strict=True
        ):
            assert abs(found / expected - 1) < EXACT, (sigma, s)
        back = zas_flow.singular_value([float(t) for t in times], sigma, depth)
        np.testing.assert_allclose(back, values, rtol=EXACT)


@given(
    depth=st.integers(1, 4096),
    log_target=st.floats(-3.0, 3.0),
    part=st.floats(1e-9, 1.0 - 1e-9),
    sign=st.sampled_from([-1.0, 1.0]),
)
@settings(deadline=None, max_examples=80)
def test_time_and_value_are_inverse(
    depth: int, log_target: float, part: float, sign: float
) -> None:
    sigma = sign * 10.0**log_target
    s = sigma * part
    time = zas_flow.time_to(s, sigma, depth)
    np.testing.assert_allclose(zas_flow.singular_value(time, sigma, depth), s, rtol=EXACT)


def test_many_depths_invert_the_quadrature() -> None:
    """The table against the positive quadrature, which mpmath has checked, depth after depth."""
    depth = np.unique(np.geomspace(1, 4096, 120).astype(int))[:, None]
    for sigma in (1e-3, 0.4, 1.0, 9.0, 1e3):
        s = sigma * np.array([1e-7, 1e-3, 0.2, 0.8, 0.9999])
        back = zas_flow.singular_value(zas_flow.time_to(s, sigma, depth), sigma, depth)
        np.testing.assert_allclose(back, np.broadcast_to(s, back.shape), rtol=EXACT)


@given(st.integers(2, 4096), st.floats(-3.0, 3.0), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
@settings(deadline=None, max_examples=40)
def test_restart_midway(depth: int, log_target: float, one: float, two: float) -> None:
    sigma = 10.0**log_target
    first, second = sigma * min(one, two), sigma * max(one, two)
    start = zas_flow.time_to(first, sigma, depth)
    rest = zas_flow.time_to(second, sigma, depth) - start
    assert rest >= 0.0
    landed = zas_flow.singular_value(start + rest, sigma, depth)
    np.testing.assert_allclose(landed, second, rtol=EXACT)


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 48])
def test_against_integrator_on_full_matrices(depth: int) -> None:
    """Any target: neither symmetric nor definite. The flow conserves the balance of the layers."""
    target = np.random.default_rng(depth).normal(size=(3, 3))
    times = np.array([0.0, 0.1, 0.3, 1.0])
    weights = integrate.weight_flow(times, target, zas_start(depth, 3), tied=False)
    by_integrator = deep_linear.end_to_end(weights)
    product = zas_flow.end_to_end(times, target, depth)
    np.testing.assert_allclose(product, by_integrator, rtol=0.0, atol=INTEGRATOR)
    np.testing.assert_allclose(
        zas_flow.loss(times, target, depth),
        deep_linear.loss(weights, target),
        rtol=10 * INTEGRATOR,
        atol=INTEGRATOR,
    )
    if depth > 1:
        # W_{L-1} W_{L-1}^T - W_L^T W_L = I is a^2 - b^2 = 1 in matrix form.
        below, last = weights[:, -2], np.swapaxes(weights[:, -1], 1, 2)
        balance = below @ np.swapaxes(below, 1, 2) - last @ np.swapaxes(last, 1, 2)
        np.testing.assert_allclose(
            balance, np.broadcast_to(np.eye(3), balance.shape), rtol=0.0, atol=INTEGRATOR
        )


@pytest.mark.parametrize("shape", [(2, 4), (4, 2)])
def test_rectangular_target_is_its_square_part(shape: tuple[int, int]) -> None:
    """Zero rows or columns added to a rectangular target stay zero along the flow."""
    target = np.random.default_rng(0).normal(size=shape)
    padded = np.zeros((4, 4))
    padded[: shape[0], : shape[1]] = target
    found = zas_flow.end_to_end([0.2, 0.9], target, 5)
    whole = zas_flow.end_to_end([0.2, 0.9], padded, 5)
    np.testing.assert_allclose(whole[:, : shape[0], : shape[1]], found, rtol=0.0, atol=ROUNDING)
    np.testing.assert_allclose(
        zas_flow.loss([0.2, 0.9], target, 5), zas_flow.loss([0.2, 0.9], padded, 5), rtol=ROUNDING
    )


def disagreement(flow: Callable[..., object], depth: int, sigma: float) -> float:
    """The suite's comparison of a candidate closed form with the scalar integrator."""
    end = zas_flow.time_to(0.99 * sigma, sigma, depth)
    times = np.linspace(0.1, 1.0, 9) * end
    expected = integrate.zas_singular_value(times, sigma, depth)
    return float(np.max(np.abs(np.asarray(flow(times, sigma, depth)) / expected - 1.0)))


@pytest.mark.parametrize("depth", [1, 2, 7, 128, 4096])
@pytest.mark.parametrize("sigma", [-0.3, 1e-3, 1.5, 30.0])
def test_against_scalar_integrator(depth: int, sigma: float) -> None:
    # Near blow-up the integrator's error in time is magnified by rate * time.
    rate = float(zas_flow.rate(sigma, depth) * zas_flow.time_to(0.99 * sigma, sigma, depth))
    assert disagreement(zas_flow.singular_value, depth, sigma) < INTEGRATOR * max(1.0, rate / 1e2)


@pytest.mark.parametrize("depth", [1, 2, 9, 128])
@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_one_per_cent_is_detected(depth: int, sigma: float) -> None:
    wrong: list[Callable[..., object]] = [
        lambda t, f, n: zas_flow.singular_value(1.01 * t, f, n),
        lambda t, f, n: zas_flow.singular_value(t, 1.01 * f, n),
        lambda t, f, n: 1.01 * zas_flow.singular_value(t, f, n),
    ]
    for candidate in wrong:
        assert disagreement(candidate, depth, sigma) > 100 * INTEGRATOR


@given(
    st.integers(1, 4096),
    st.floats(-90.0, 90.0),
    st.lists(st.floats(-100.0, 300.0), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=60)
def test_no_overflow_and_monotone_for_any_target(
    depth: int, log_target: float, logs: list[float]
) -> None:
    """Far outside the range of the accuracy promise: finite, ordered, between 0 and the target."""
    sigma = 10.0**log_target
    times = np.sort(10.0 ** np.array(logs))
    s = zas_flow.singular_value(times, sigma, depth)
    assert np.all((s >= 0.0) & (s <= sigma * (1 + 1e-6)))
    assert np.all(np.diff(s) >= -1e-6 * s[1:])


@pytest.mark.parametrize("depth", [1, 2, 3, 4096])
def test_ends_signs_and_zero(depth: int) -> None:
    for sigma in TARGETS:
        assert zas_flow.singular_value(0.0, sigma, depth) == 0.0
        np.testing.assert_allclose(zas_flow.singular_value(np.inf, sigma, depth), sigma, rtol=1e-14)
        np.testing.assert_allclose(zas_flow.singular_value(1e9, sigma, depth), sigma, rtol=1e-14)
        assert zas_flow.gap(np.inf, sigma, depth) == 0.0
        assert zas_flow.time_to(0.0, sigma, depth) == 0.0
        assert zas_flow.time_to(sigma, sigma, depth) == np.inf
        times = [0.01 / sigma, 0.5]
        np.testing.assert_array_equal(
            zas_flow.singular_value(times, -sigma, depth),
            -zas_flow.singular_value(times, sigma, depth),
        )
    assert zas_flow.singular_value(2.0, 0.0, depth) == 0.0
    assert zas_flow.time_to(0.0, 0.0, depth) == 0.0


def test_explicit_case_and_first_moment() -> None:
    t = np.linspace(0.0, 3.0, 7)
    np.testing.assert_allclose(
        zas_flow.singular_value(t, 0.7, 1), -0.7 * np.expm1(-t), rtol=ROUNDING
    )
    for depth in (1, 2, 100):  # s = sigma t next to 0; the second order is t / 2
        np.testing.assert_allclose(
            zas_flow.singular_value(1e-13, 3.0, depth), 3e-13, rtol=10 * ROUNDING
        )


def test_broadcasting_equals_elementwise() -> None:
    time = np.linspace(0.0, 0.6, 4)
    target = np.array([-0.2, 0.0, 3.0])[:, None]
    depth = np.array([1, 2, 50])[:, None, None]
    whole = zas_flow.singular_value(time, target, depth)
    assert whole.shape == (3, 3, 4)
    for i, j, k in np.ndindex(whole.shape):
        one = zas_flow.singular_value(time[k], target[j, 0], depth[i, 0, 0])
        # Panels are chosen for the orbits at hand, hence differ by interpolation error.
        np.testing.assert_allclose(whole[i, j, k], one, rtol=10 * ROUNDING)
    crossed = zas_flow.singular_value(time[:, None, None], target, depth[:, 0, 0])
    np.testing.assert_allclose(crossed, np.transpose(whole, (2, 1, 0)), rtol=10 * ROUNDING)
    assert zas_flow.singular_value(time[:0], 2.0, 3).shape == (0,)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("time", lambda: zas_flow.singular_value(-1.0, 2.0, 3)),
        ("time", lambda: zas_flow.singular_value(np.nan, 2.0, 3)),
        ("target", lambda: zas_flow.singular_value(1.0, np.inf, 3)),
        ("target", lambda: zas_flow.singular_value(1.0, np.nan, 3)),
        ("depth", lambda: zas_flow.singular_value(1.0, 2.0, 0)),
        ("depth", lambda: zas_flow.rate(1.0, 2.5)),
        ("value", lambda: zas_flow.time_to(-0.5, 2.0, 3)),
        ("value", lambda: zas_flow.time_to(2.5, 2.0, 3)),
        ("value", lambda: zas_flow.time_to(0.3, 0.0, 3)),
        ("value", lambda: zas_flow.rate(np.inf, 3)),
        ("target", lambda: zas_flow.loss(1.0, [1.0, 2.0], 3)),
        ("target", lambda: zas_flow.end_to_end(1.0, [[np.nan]], 3)),
    ],
)
def test_outside_the_domain(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=name):
        call()
