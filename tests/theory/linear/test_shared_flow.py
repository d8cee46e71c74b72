"""The shared flow: closed form against mpmath, an integrator on full matrices, and itself."""

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from theory.linear import integrate, shared_flow
from theory.linear.descent import identity_start

DEPTHS = [1, 2, 3, 4, 5, 10, 33, 256, 4096]
TARGETS = [1e-3, 0.03, 0.5, 0.9, 0.999, 1.0 + 1e-6, 1.1, 2.0, 3.0, 40.0, 1e3]
PARTS = [1e-6, 1e-3, 0.2, 0.6, 0.95, 1 - 1e-6]

EXACT = 1e-10
"""Relative error promised against 50-digit arithmetic; what is seen is below 3e-12."""
INTEGRATOR = 1e-8
"""DOP853 at rtol 1e-11 over thousands of steps."""
ROUNDING = 1e-12
"""A few hundred float64 roundings."""


def time_by_2f1(s: float, phi: float, depth: float) -> mpmath.mpf:
    """The closed form of the module's docstring, in 50 digits."""
    with mpmath.workdps(50):
        s_, phi_, p = mpmath.mpf(s), mpmath.mpf(phi), 2 - mpmath.mpf(2) / depth
        kappa, start, end = (1 - p, 1 / phi_, s_ / phi_) if phi > 1 else (p, phi_, phi_ / s_)
        if kappa == 0:
            travel = mpmath.log(end / (1 - end)) - mpmath.log(start / (1 - start))
        else:
            travel = sum(
                sign * z**kappa / kappa * mpmath.hyp2f1(1, kappa, kappa + 1, z)
                for sign, z in ((1, end), (-1, start))
            )
        return travel / (depth * phi_**p)


def time_by_definition(s: float, phi: float, depth: int) -> mpmath.mpf:
    """t = (1/L) int_1^s dx / (x^p (phi - x)), by adaptive quadrature in u = log(distance)."""
    with mpmath.workdps(40):
        phi_, p = mpmath.mpf(phi), 2 - mpmath.mpf(2) / depth
        last = mpmath.log((phi_ - 1) / (phi_ - s))
        panels = mpmath.linspace(0, last, int(last) + 2)
        return mpmath.quad(lambda u: (phi_ - (phi_ - 1) * mpmath.exp(-u)) ** -p, panels) / depth


@pytest.mark.parametrize("depth", DEPTHS)
def test_closed_form_against_mpmath(depth: int) -> None:
    for phi in TARGETS:
        values = 1.0 + (phi - 1.0) * np.array(PARTS)
        times = [time_by_2f1(float(s), phi, depth) for s in values]
        for s, expected, found in zip(
            values, times, shared_flow.time_to(values, phi, depth), strict=True
        ):
            assert abs(found / expected - 1) < EXACT, (phi, s)
        back = shared_flow.eigenvalue([float(t) for t in times], phi, depth)
        np.testing.assert_allclose(back, values, rtol=EXACT)


@pytest.mark.parametrize(("phi", "s"), [(1e-3, 0.01), (0.9, 0.95), (2.0, 1.5), (1e3, 900.0)])
@pytest.mark.parametrize("depth", [1, 2, 10, 4096])
def test_the_2f1_form_is_the_defining_integral(depth: int, phi: float, s: float) -> None:
    expected = time_by_definition(s, phi, depth)
    assert abs(time_by_2f1(s, phi, depth) / expected - 1) < 1e-20  # both in 40 digits or more


@given(
    depth=st.integers(1, 4096),
    log_target=st.floats(-3.0, 3.0),
    part=st.floats(1e-9, 1.0 - 1e-9),
)
@settings(deadline=None, max_examples=150)
def test_time_and_value_are_inverse(depth: int, log_target: float, part: float) -> None:
    phi = 10.0**log_target
    s = 1.0 + (phi - 1.0) * part
    time = shared_flow.time_to(s, phi, depth)
    if np.isfinite(time):
        np.testing.assert_allclose(shared_flow.eigenvalue(time, phi, depth), s, rtol=EXACT)
    if 0.0 < time < np.inf and part < 0.9:
        # The gap carries time's rounding times the rate: relative accuracy of phi roundings.
        gap = shared_flow.gap(time, phi, depth)
        np.testing.assert_allclose(gap, s - phi, rtol=EXACT, atol=1e-13 * abs(s))


def test_every_depth_inverts_the_quadrature() -> None:
    """The table against the positive quadrature, which mpmath has checked, at all 4096 depths."""
    depth = np.arange(1, 4097)[:, None]
    for phi in (1e-3, 0.11, 0.97, 1.03, 2.7, 1e3):
        s = 1.0 + (phi - 1.0) * np.array([1e-7, 0.03, 0.41, 0.87, 0.9999])
        back = shared_flow.eigenvalue(shared_flow.time_to(s, phi, depth), phi, depth)
        np.testing.assert_allclose(back, np.broadcast_to(s, back.shape), rtol=EXACT)


@given(st.integers(1, 4096), st.floats(-3.0, 3.0), st.floats(0.0, 0.9), st.floats(0.0, 0.9))
@settings(deadline=None, max_examples=100)
def test_restart_midway(depth: int, log_target: float, one: float, two: float) -> None:
    """Autonomous: from s1 the flow needs t(s2) - t(s1), so t(s1) + (that) lands on s2."""
    phi = 10.0**log_target
    # Nearer to 1 a place on the way is rounded to one of its ends, where time is 0 or infinite.
    assume(phi == 1.0 or abs(phi - 1.0) > 1e-12)
    first, second = 1.0 + (phi - 1.0) * min(one, two), 1.0 + (phi - 1.0) * max(one, two)
    start = shared_flow.time_to(first, phi, depth)
    rest = shared_flow.time_to(second, phi, depth) - start
    assert rest >= 0.0
    np.testing.assert_allclose(shared_flow.eigenvalue(start + rest, phi, depth), second, rtol=EXACT)


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 64])
def test_against_integrator_on_full_matrices(depth: int) -> None:
    """Also: the layers stay equal, and each commutes with the target (Lemma 1)."""
    rng = np.random.default_rng(depth)
    basis, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    target = (basis * [0.2, 0.9, 2.5]) @ basis.T
    times = np.array([0.0, 0.1, 0.5, 2.0]) / depth
    weights = integrate.weight_flow(times, target, identity_start(depth, 3), tied=True)
    product = shared_flow.end_to_end(times, target, depth)
    by_integrator = weights[:, 0].copy()
    for layer in range(1, depth):
        by_integrator = weights[:, layer] @ by_integrator
    np.testing.assert_allclose(product, by_integrator, rtol=0.0, atol=INTEGRATOR)
    assert np.max(np.abs(weights - weights[:, :1])) < ROUNDING
    commutator = weights[:, 0] @ target - target @ weights[:, 0]
    assert np.max(np.abs(commutator)) < 1e-10  # equal up to the integrator's own rounding
    expected = 0.5 * np.sum((by_integrator - target) ** 2, axis=(1, 2))
    np.testing.assert_allclose(
        shared_flow.loss(times, target, depth), expected, rtol=10 * INTEGRATOR, atol=INTEGRATOR
    )


def disagreement(flow: Callable[..., object], depth: int, phi: float) -> float:
    """The suite's comparison of a candidate closed form with the scalar integrator."""
    end = shared_flow.time_to(1.0 + 0.99 * (phi - 1.0), phi, depth)
    times = np.linspace(0.0, 1.0, 9) * end
    expected = integrate.shared_eigenvalue(times, phi, depth)
    return float(np.max(np.abs(np.asarray(flow(times, phi, depth)) / expected - 1.0)))


@pytest.mark.parametrize("depth", [1, 2, 7, 128, 4096])
@pytest.mark.parametrize("phi", [1e-3, 0.3, 1.5, 1e3])
def test_against_scalar_integrator(depth: int, phi: float) -> None:
    # Near blow-up, phi times the integrator's error in time is its error in s.
    assert disagreement(shared_flow.eigenvalue, depth, phi) < INTEGRATOR * max(1.0, phi / 10.0)


@pytest.mark.parametrize("depth", [3, 128])
@pytest.mark.parametrize("phi", [0.3, 1.5])
def test_one_per_cent_is_detected(depth: int, phi: float) -> None:
    wrong: list[Callable[..., object]] = [
        lambda t, f, n: shared_flow.eigenvalue(1.01 * t, f, n),
        lambda t, f, n: shared_flow.eigenvalue(t, 1.01 * f, n),
        lambda t, f, n: 1.01 * shared_flow.eigenvalue(t, f, n),
        lambda t, f, n: shared_flow.eigenvalue(t * f ** (0.01 * (2 - 2 / n)), f, n),
    ]
    for candidate in wrong:
        assert disagreement(candidate, depth, phi) > 100 * INTEGRATOR


@example(depth=1, log_target=-12.0, logs=[2.0])  # 1 - (1 - phi)(1 - e^-t) cancels
@given(
    st.integers(1, 4096),
    st.floats(-90.0, 90.0),
    st.lists(st.floats(-30.0, 300.0), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=100)
def test_no_overflow_and_monotone_for_any_target(
    depth: int, log_target: float, logs: list[float]
) -> None:
    """Far outside the range of the accuracy promise: finite, ordered, between 1 and the target."""
    phi = 10.0**log_target
    times = np.sort(10.0 ** np.array(logs))
    s = shared_flow.eigenvalue(times, phi, depth)
    assert np.all((s >= min(1.0, phi) * (1 - EXACT)) & (s <= max(1.0, phi) * (1 + EXACT)))
    assert np.all(np.diff(s) * np.sign(phi - 1.0) >= -EXACT * s[1:])


@pytest.mark.parametrize("depth", [1, 2, 3, 4096])
def test_ends(depth: int) -> None:
    for phi in TARGETS:
        np.testing.assert_allclose(shared_flow.eigenvalue(0.0, phi, depth), 1.0, rtol=ROUNDING)
        np.testing.assert_allclose(shared_flow.eigenvalue(np.inf, phi, depth), phi, rtol=1e-15)
        np.testing.assert_allclose(shared_flow.eigenvalue(1e12, phi, depth), phi, rtol=1e-15)
        assert shared_flow.gap(np.inf, phi, depth) == 0.0
        assert shared_flow.time_to(1.0, phi, depth) == 0.0
        assert shared_flow.time_to(phi, phi, depth) == np.inf
    assert shared_flow.eigenvalue(3.0, 1.0, depth) == 1.0
    assert shared_flow.gap(3.0, 1.0, depth) == 0.0
    assert shared_flow.time_to(1.0, 1.0, depth) == 0.0


def test_explicit_cases() -> None:
    t = np.linspace(0.0, 3.0, 7)
    np.testing.assert_allclose(
        shared_flow.eigenvalue(t, 0.25, 1), 0.25 + 0.75 * np.exp(-t), rtol=ROUNDING
    )
    np.testing.assert_allclose(
        shared_flow.eigenvalue(t, 4.0, 2), 4.0 / (1.0 + 3.0 * np.exp(-8.0 * t)), rtol=ROUNDING
    )


def test_first_moments_next_to_the_start() -> None:
    """t = (s - 1) / (L (phi - 1)) to first order: no digit is lost at s = 1 + 1e-12."""
    s = 1.0 + 2.0**-40
    for phi in (1e-3, 0.5, 2.0, 1e3):
        for depth in (1, 2, 3, 100):
            if (s - 1.0) * (phi - 1.0) > 0.0:
                expected = (s - 1.0) / (depth * (phi - 1.0))
                # Second order: (s - 1) p / 2, at most 1e-12.
                np.testing.assert_allclose(
                    shared_flow.time_to(s, phi, depth), expected, rtol=2 * ROUNDING
                )


def test_broadcasting_equals_elementwise() -> None:
    time = np.linspace(0.0, 0.3, 5)
    target = np.array([0.2, 1.0, 3.0])[:, None]
    depth = np.array([1, 2, 3, 50])[:, None, None]
    whole = shared_flow.eigenvalue(time, target, depth)
    assert whole.shape == (4, 3, 5)
    for i, j, k in np.ndindex(whole.shape):
        one = shared_flow.eigenvalue(time[k], target[j, 0], depth[i, 0, 0])
        assert one.shape == ()
        np.testing.assert_allclose(whole[i, j, k], one, rtol=ROUNDING)
    crossed = shared_flow.eigenvalue(time[:, None, None], target, depth[:, 0, 0])
    np.testing.assert_array_equal(crossed, np.transpose(whole, (2, 1, 0)))
    assert shared_flow.eigenvalue(time[:0], 2.0, 3).shape == (0,)
    assert shared_flow.eigenvalue(1.0, target[:0], depth).shape == (4, 0, 1)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("time", lambda: shared_flow.eigenvalue(-1.0, 2.0, 3)),
        ("time", lambda: shared_flow.eigenvalue(np.nan, 2.0, 3)),
        ("target", lambda: shared_flow.eigenvalue(1.0, 0.0, 3)),
        ("target", lambda: shared_flow.eigenvalue(1.0, -2.0, 3)),
        ("target", lambda: shared_flow.eigenvalue(1.0, np.inf, 3)),
        ("depth", lambda: shared_flow.eigenvalue(1.0, 2.0, 0)),
        ("depth", lambda: shared_flow.eigenvalue(1.0, 2.0, 2.5)),
        ("depth", lambda: shared_flow.eigenvalue(1.0, 2.0, np.inf)),
        ("value", lambda: shared_flow.time_to(0.5, 2.0, 3)),
        ("value", lambda: shared_flow.time_to(2.5, 2.0, 3)),
        ("value", lambda: shared_flow.time_to(0.3, 0.5, 3)),
        ("value", lambda: shared_flow.time_to(np.nan, 0.5, 3)),
        ("value", lambda: shared_flow.rate(0.0, 0.5, 3)),
        ("target", lambda: shared_flow.loss(1.0, [[1.0, 2.0], [0.0, 1.0]], 3)),
        ("target", lambda: shared_flow.loss(1.0, [[1.0, 2.0], [2.0, 1.0]], 3)),
        ("target", lambda: shared_flow.end_to_end(1.0, np.ones((2, 3)), 3)),
    ],
)
def test_outside_the_domain(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=name):
        call()
