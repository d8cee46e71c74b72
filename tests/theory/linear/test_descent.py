"""Gradient descent: its exact scalar reductions, its limit (the flow), and the four theorems."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from theory.linear import deep_linear, descent, shared_flow, zas_flow
from theory.theorems import bounds

REDUCTION = 1e-9
"""Full matrices and scalars run the same algorithm: rounding over some hundred steps."""
SLACK = 1.0 + 1e-9
"""A bound may be attained (THM2 at L = 1 or phi = 1), so rounding needs room."""


def random_basis(d: int, seed: int) -> NDArray[np.float64]:
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return np.asarray(basis)


eigenvalues = st.lists(st.floats(0.05, 4.0), min_size=1, max_size=4)
seeds = st.integers(0, 2**32 - 1)


@given(eigenvalues, st.integers(1, 12), seeds)
@settings(deadline=None, max_examples=25)
def test_shared_reduction_and_commutation(phi: list[float], depth: int, seed: int) -> None:
    """Lemma 1 in steps: layers stay equal and commute with the target, eigenvalues go alone."""
    basis = random_basis(len(phi), seed)
    target = (basis * phi) @ basis.T
    eta = 0.3 / (depth * max([*phi, 1.0]) ** 2)
    run = descent.shared(target, descent.identity_start(depth, len(phi)), eta, 40)
    values = descent.shared_values(phi, depth, eta, 40)
    np.testing.assert_allclose(
        run.losses, descent.value_losses(values, phi), rtol=REDUCTION, atol=1e-20
    )
    layer = run.weights[0]
    np.testing.assert_allclose(run.weights, np.broadcast_to(layer, run.weights.shape), atol=1e-12)
    np.testing.assert_allclose(layer @ target, target @ layer, atol=1e-12)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=4), st.integers(1, 12), seeds)
@settings(deadline=None, max_examples=25)
def test_zas_reduction(sigma: list[float], depth: int, seed: int) -> None:
    d = len(sigma)
    target = (random_basis(d, seed) * sigma) @ random_basis(d, seed ^ 1).T
    eta = 0.1 / (depth * max([*sigma, 1.0]) ** 2)
    run = descent.zas(target, depth, eta, 40)
    losses = descent.value_losses(descent.zas_values(sigma, depth, eta, 40), sigma)
    np.testing.assert_allclose(run.losses, losses, rtol=REDUCTION, atol=1e-20)


def test_lemma1_step_written_out() -> None:
    """From the identity one shared step is W_0 - eta (I - Phi): the factors L and 1/L cancel."""
    target = np.array([[2.0, 0.5], [0.5, 1.0]])
    for depth in (1, 2, 9):
        run = descent.shared(target, descent.identity_start(depth, 2), 0.1, 1)
        expected = np.eye(2) - 0.1 * (np.eye(2) - target)
        np.testing.assert_allclose(run.weights, np.tile(expected, (depth, 1, 1)), rtol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 5, 24])
@pytest.mark.parametrize("method", ["shared", "zas"])
def test_descent_tends_to_the_flow_at_first_order(depth: int, method: str) -> None:
    """Third route: |R_descent - R_flow| at a fixed time falls like eta, slope 1 +- 0.1."""
    basis = random_basis(3, depth)
    target = (basis * [0.4, 1.6, 2.2]) @ basis.T
    time = 0.4 / depth if method == "shared" else 0.4
    errors = []
    counts = [160, 320, 640, 1280] if depth > 5 else [40, 80, 160, 320]
    for steps in counts:
        eta = time / steps
        if method == "shared":
            run = descent.shared(target, descent.identity_start(depth, 3), eta, steps)
            exact = shared_flow.loss(time, target, depth)
        else:
            run = descent.zas(target, depth, eta, steps)
            exact = zas_flow.loss(time, target, depth)
        errors.append(abs(run.losses[-1] - exact))
    slope = np.polyfit(-np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - 1.0) < 0.1  # the second-order term at the largest eta is a few per cent


times = st.lists(st.floats(0.0, 8.0), min_size=1, max_size=6)


@given(
    st.lists(st.floats(-4.0, 4.0), min_size=1, max_size=9),
    st.integers(1, 3),
    st.integers(1, 512),
    times,
)
@settings(deadline=None, max_examples=60)
def test_theorem1(entries: list[float], rows: int, depth: int, when: list[float]) -> None:
    """Any target: rectangular, rank-deficient, indefinite."""
    target = np.resize(np.array(entries), (rows, len(entries)))
    ratio = zas_flow.loss(when, target, depth)
    assert np.all(ratio <= zas_flow.loss(0.0, target, depth) * bounds.theorem1(when) * SLACK)


@given(st.lists(st.floats(1e-2, 20.0), min_size=1, max_size=5), st.integers(1, 512), times, seeds)
@settings(deadline=None, max_examples=60)
def test_theorem2_and_its_exact_exponent(
    phi: list[float], depth: int, when: list[float], seed: int
) -> None:
    basis = random_basis(len(phi), seed)
    target = (basis * phi) @ basis.T
    t = np.array(when) / depth
    found, start = shared_flow.loss(t, target, depth), shared_flow.loss(0.0, target, depth)
    least = bounds.least_eigenvalue(target)
    assert np.all(found <= start * bounds.theorem2_exact(t, least, depth) * SLACK + 1e-290)
    assert np.all(
        bounds.theorem2_exact(t, least, depth) <= bounds.theorem2(t, least, depth) * SLACK
    )
    if depth <= 2 or least >= 1.0:
        assert np.all(found <= start * bounds.theorem2_prose(t, least, depth) * SLACK + 1e-290)


def test_theorem2_prose_is_false_beyond_two_layers() -> None:
    """The prose's lmin for lmin^2 fails at L > 2, lmin < 1: the asymptotic rate is smaller."""
    for depth in (3, 8, 64):
        late = 40.0 / (depth * 0.3**2)
        ratio = shared_flow.loss(late, [[0.3]], depth) / shared_flow.loss(0.0, [[0.3]], depth)
        assert ratio > 1e3 * bounds.theorem2_prose(late, 0.3, depth)
        assert ratio < bounds.theorem2(late, 0.3, depth)


def test_exact_exponent_is_attained() -> None:
    for depth in (2, 3, 8, 64):
        exact = 2 * depth * 0.3 ** (2 - 2 / depth)
        late = np.array([30.0, 31.0]) / exact
        slope = -np.diff(np.log(shared_flow.loss(late, [[0.3]], depth))) / np.diff(late)
        np.testing.assert_allclose(slope, exact, rtol=1e-4)  # e^-15 from the limit, times constants
        early = np.array([0.0, 1e-6]) / depth
        slope = -np.diff(np.log(shared_flow.loss(early, [[2.0]], depth))) / np.diff(early)
        np.testing.assert_allclose(slope, 2 * depth, rtol=1e-5)  # first order in 1e-6


def test_theorem2_needs_a_definite_target() -> None:
    """Indefinite, even depth: the shared eigenvalue cannot pass zero; R stays above phi^2 / 2."""
    target = np.diag([1.0, -0.5])
    run = descent.shared(target, descent.identity_start(4, 2), 0.01, 2000)
    assert run.losses[-1] > 0.5 * 0.5**2
    assert run.losses[-1] > run.losses[0] * bounds.theorem2(20.0, 0.5, 4)


def test_theorem1_needs_the_zero_asymmetric_start() -> None:
    """W = 0 everywhere is a saddle for L >= 2: the loss never moves."""
    target = np.diag([1.0, 2.0])
    run = descent.unshared(target, np.zeros((3, 2, 2)), 0.01, 100)
    assert run.losses[-1] == run.losses[0] > run.losses[0] * bounds.theorem1(1.0)


@given(
    st.lists(st.floats(0.0, 2.0), min_size=1, max_size=4), st.integers(1, 40), st.floats(0.01, 1.0)
)
@settings(deadline=None, max_examples=40)
def test_theorem3(sigma: list[float], depth: int, part: float) -> None:
    eta = part * descent.zas_admissible_step(np.diag(sigma), depth)
    losses = descent.value_losses(descent.zas_values(sigma, depth, eta, 500), sigma)
    assert np.all(losses <= losses[0] * bounds.theorem3(np.arange(501), eta) * SLACK + 1e-30)


@given(
    st.lists(st.floats(0.1, 2.5), min_size=1, max_size=4), st.integers(1, 40), st.floats(0.01, 1.0)
)
@settings(deadline=None, max_examples=40)
def test_theorem4(phi: list[float], depth: int, part: float) -> None:
    eta = part * descent.shared_admissible_step(np.diag(phi), depth)
    losses = descent.value_losses(descent.shared_values(phi, depth, eta, 500), phi)
    bound = bounds.theorem4(np.arange(501), eta, min(phi), depth)
    assert np.all(losses <= losses[0] * bound * SLACK + descent.loss_floor(phi, eta))


def test_theorems_3_and_4_need_a_small_step() -> None:
    """Far above the admissible step both descents leave their bound."""
    phi, depth, steps = [2.0], 8, np.arange(51)
    eta = 0.3
    assert eta > 500.0 * descent.zas_admissible_step(np.diag(phi), depth)
    losses = descent.value_losses(descent.zas_values(phi, depth, eta, 4), phi)
    assert np.any(losses > losses[0])
    eta = 300.0 * descent.shared_admissible_step(np.diag(phi), depth)
    losses = descent.value_losses(descent.shared_values(phi, depth, eta, 50), phi)
    assert np.any(losses > losses[0] * bounds.theorem4(steps, eta, 2.0, depth) * SLACK)


def test_admissible_steps_written_out() -> None:
    # L = 9, Phi = I_4: lmin = lmax = 1, d = 4; ||Phi||_F = 2, xi = 4.
    np.testing.assert_allclose(descent.shared_admissible_step(np.eye(4), 9), 1 / (4 * 2 * 81))
    np.testing.assert_allclose(
        descent.zas_admissible_step(np.eye(4), 9), min(1 / (4 * 729 * 4**6), 1 / (144 * 81 * 4**4))
    )


@pytest.mark.parametrize("wrong", [0.5, 1.01])
def test_a_wrong_mean_rule_is_detected(wrong: float) -> None:
    """The comparison of the suite sees one per cent in the step and a sum in place of a mean."""
    target = np.diag([0.5, 2.0])
    run = descent.shared(target, descent.identity_start(4, 2), wrong * 0.01, 40)
    losses = descent.value_losses(descent.shared_values([0.5, 2.0], 4, 0.01, 40), [0.5, 2.0])
    assert np.max(np.abs(run.losses / losses - 1.0)) > 100 * REDUCTION


def test_step_reduces_the_loss_by_the_gradient() -> None:
    """One small unshared step lowers R by eta ||gradient||^2 to first order."""
    rng = np.random.default_rng(5)
    weights, target = np.eye(3) + 0.2 * rng.normal(size=(4, 3, 3)), rng.normal(size=(3, 3))
    fall = deep_linear.loss(weights, target) - deep_linear.loss(
        descent.unshared_step(weights, target, 1e-7), target
    )
    square = np.sum(deep_linear.layer_gradients(weights, target) ** 2)
    np.testing.assert_allclose(fall, 1e-7 * square, rtol=1e-4)  # second order: eta * curvature


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("eta", lambda: descent.shared(np.eye(2), descent.identity_start(2, 2), 0.0, 3)),
        ("eta", lambda: descent.zas_values([1.0], 3, np.nan, 3)),
        ("steps", lambda: descent.shared_values([1.0], 3, 0.1, -1)),
        ("weights", lambda: descent.unshared(np.eye(2), np.ones((2, 3, 3)), 0.1, 3)),
        ("target", lambda: descent.zas(np.ones((2, 3)), 3, 0.1, 3)),
        ("target", lambda: descent.shared_admissible_step(-np.eye(2), 3)),
        ("target", lambda: descent.zas_admissible_step([[np.nan]], 3)),
        ("depth", lambda: descent.identity_start(0, 2)),
        ("d must", lambda: descent.zas_start(2, 0)),
        ("eta", lambda: bounds.theorem3(1, 2.0)),
        ("eta", lambda: bounds.theorem4(1, 0.0, 1.0, 2)),
        ("steps", lambda: bounds.theorem3(-1, 0.1)),
        ("time", lambda: bounds.theorem1(-1.0)),
        ("least", lambda: bounds.theorem2(1.0, 0.0, 2)),
        ("depth", lambda: bounds.theorem2(1.0, 1.0, 0)),
        ("target", lambda: bounds.least_eigenvalue([[1.0, 2.0], [2.0, 1.0]])),
    ],
)
def test_outside_the_domain(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=name):
        call()
