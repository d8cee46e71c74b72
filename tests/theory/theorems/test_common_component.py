"""The orthonormal split, and stage two's theorem as a property: any target, any tied point."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear, descent, integrate
from theory.studies import beyond_sharing
from theory.theorems import common_component as cc
from theory.theorems import controls

ROUNDING = 1e-12
"""A step through products of a dozen small matrices near the identity."""
seeds = st.integers(0, 2**32 - 1)


@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.0, 0.5), seeds)
@settings(deadline=None, max_examples=50)
def test_descent_on_the_common_component_is_the_mean_rule(
    depth: int, d: int, kick: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = controls.perturbed_start(rng, depth, d, kick)
    target = rng.normal(size=(d, d))
    found = cc.common_step(weights, target, 0.01)
    expected = descent.shared_step(weights, target, 0.01)
    size = max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * size)
    common, apart = cc.split(weights)
    np.testing.assert_allclose(apart.sum(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(cc.join(common, apart), weights, atol=1e-14)
    assert sum(cc.energies(weights)) == pytest.approx(np.sum(weights**2), rel=1e-13)


def test_a_step_one_per_cent_longer_is_not_the_mean_rule() -> None:
    weights = controls.perturbed_start(np.random.default_rng(0), 6, 3, 0.1)
    found = cc.common_step(weights, 2.0 * np.eye(3), 0.0101)
    assert np.max(np.abs(found - descent.shared_step(weights, 2.0 * np.eye(3), 0.01))) > 1e-6


def test_split_by_finite_differences_of_the_loss() -> None:
    """dR/dw_0 is a derivative of R: moving w_0 by h changes R by h times the slope used."""
    rng = np.random.default_rng(1)
    weights, target = controls.perturbed_start(rng, 5, 2, 0.2), rng.normal(size=(2, 2))
    common, apart = cc.split(weights)
    moved, _ = cc.split(cc.common_step(weights, target, 1.0))
    slope = common - moved
    for index in np.ndindex(2, 2):
        h = np.zeros((2, 2))
        h[index] = 1e-6
        change = deep_linear.loss(cc.join(common + h, apart), target)
        change = (change - deep_linear.loss(cc.join(common - h, apart), target)) / 2e-6
        assert change == pytest.approx(slope[index], abs=1e-8)


def tied_case(
    depth: int, d: int, part: float, spread: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A tied point, singular values in [0.9 / (1 + spread), 0.9 (1 + spread)], and a target at
    `part` of the basin in a random direction."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(d, d)))
    right, _ = np.linalg.qr(rng.normal(size=(d, d)))
    values = 0.9 * (1.0 + spread) ** rng.uniform(-1.0, 1.0, d)
    layer = (left * values) @ right
    direction = rng.normal(size=(d, d))
    direction *= part * cc.basin(float(values.min()), depth) / np.linalg.norm(direction)
    target = np.linalg.matrix_power(layer, depth) - direction
    return np.tile(layer, (depth, 1, 1)), target


@given(st.integers(1, 10), st.integers(1, 3), st.floats(0.01, 0.999), st.floats(0.0, 0.3), seeds)
@settings(deadline=None, max_examples=25)
def test_stage_two(depth: int, d: int, part: float, spread: float, seed: int) -> None:
    weights, target = tied_case(depth, d, part, spread, seed)
    mark = cc.certify(weights, target)
    assert mark.holds  # the basin's explicit radius is enough
    least = float(np.linalg.svd(weights[0], compute_uv=False)[-1])
    explicit = 2.0 * np.exp(-2.0) * depth * least ** (2.0 * (depth - 1))
    assert mark.rate >= explicit * (1.0 - 1e-9)
    times = np.array([0.2, 1.0, 4.0]) / mark.rate
    path = integrate.weight_flow(times, target, weights, tied=False)
    start = float(deep_linear.loss(weights, target))
    losses = deep_linear.loss(path, target)
    # DOP853 at 1e-11: the residual is good to 1e-9 of the weights.
    assert np.all(np.sqrt(losses) <= np.sqrt(start * np.exp(-mark.rate * times)) + 1e-9)
    assert np.max(np.linalg.norm(path - weights, axis=(-2, -1))) <= mark.radius + 1e-9


def test_the_rate_is_attained_at_once_in_one_dimension() -> None:
    """-R' / R = 2 L c^(2(L-1)) at a tied point with d = 1: one per cent more would be false."""
    for depth in (1, 2, 7):
        weights, target = np.full((depth, 1, 1), 0.8), np.array([[0.8**depth - 1e-9]])
        gradients = deep_linear.layer_gradients(weights, target)
        found = np.sum(gradients**2) / deep_linear.loss(weights, target)
        mark = cc.certify(weights, target)
        assert found == pytest.approx(mark.rate, rel=1e-6)  # r is about 1e-9
        assert found < 1.01 * mark.rate


def test_the_condition_matters() -> None:
    """A negative target from a positive tied point: not certified, and never learnt."""
    weights, target = np.full((4, 1, 1), 0.9), np.array([[-0.1]])
    assert not cc.certify(weights, target).holds
    path = integrate.weight_flow([200.0], target, weights, tied=False)
    assert deep_linear.loss(path[-1], target) > 0.5 * 0.1**2


def test_certificate_picks_the_least_radius() -> None:
    for loss, largest in ((1e-4, 1.0), (1e-3, 1.3), (1e-6, 5.0)):
        mark = cc.certificate(0.95, largest, loss, 6)
        assert mark.holds
        for radius, enough in ((mark.radius * 1.001, True), (mark.radius * 0.999, False)):
            inner = (0.95 - radius) ** 5
            rooms = [radius * 6**0.5 * inner, radius * 6 * inner**2 / (largest + radius) ** 5]
            assert (max(rooms) > (2 * loss) ** 0.5) == enough
    assert cc.certificate(0.9, 1.0, 0.0, 3) == (0.0, 6.0 * 0.9**4)
    assert not cc.certificate(0.0, 1.0, 0.1, 3).holds


@given(st.floats(0.01, 0.3), seeds)
@settings(deadline=None, max_examples=30)
def test_no_tied_network_of_even_depth_meets_the_split_target(gap: float, seed: int) -> None:
    """R >= min(gap, 1 - gap)^2 / 2 for real W^L: near its best, and anywhere."""
    rng = np.random.default_rng(seed)
    target = beyond_sharing.split_target(gap, 2)
    for depth in (2, 4, 10):
        near = (
            beyond_sharing.rotation(np.pi / depth)
            + rng.normal(size=(40, 2, 2)) * rng.uniform(0, 0.5) / depth
        )
        product = np.linalg.matrix_power(near, depth)
        losses = 0.5 * np.sum((product - target) ** 2, axis=(-2, -1))
        assert np.min(losses) >= 0.5 * min(gap, 1.0 - gap) ** 2 * (1 - 1e-9)


def test_that_floor_is_sharp() -> None:
    """m = -1, h = k = gap / 2 is the limit of even powers: its R is gap^2 / 2."""
    gap = 0.1
    best = np.array([[-1 - gap / 2, -gap / 2 - 1e-6], [gap / 2 + 1e-6, -1 + gap / 2]])
    values = np.linalg.eigvals(best)
    assert np.min(np.abs(values.imag)) > 0.0  # hence it has a real root of every order
    lost = 0.5 * np.sum((best - beyond_sharing.split_target(gap, 2)) ** 2)
    assert lost == pytest.approx(0.5 * gap**2, rel=1e-3)


def test_study() -> None:
    data = beyond_sharing.study(0, "smoke")
    json.dumps(data, allow_nan=False)
    for row in data["beyond"]:
        assert row["shared"] is None
        assert row["identity"] is None
        assert row["shared_floor"] >= row["floor_bound"]
        assert row["swe"] <= row["certified_time"]
        assert row["moved"] <= row["radius"]
        assert row["least_true_rate"] >= row["rate"]
    sure = data["guarantee"]
    assert np.all(np.array(sure["swe"])[1:] < np.array(sure["zas"])[1:])
    apart = {(r["family"], r["flow"]): r["apart"][-1] for r in data["energy"]}
    assert all(r["reached"] for r in data["energy"])
    assert max(apart[f, "shared"] for f in controls.FAMILIES) < 1e-20
    assert max(apart[f, "identity"] for f in ("symmetric", "rotation")) < 1e-20
    assert min(apart[f, "identity"] for f in ("near-symmetric", "triangular")) > 1e-4


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="weights"):
        cc.split(np.ones(3))
    with pytest.raises(ValueError, match="least"):
        cc.certificate(2.0, 1.0, 0.1, 3)
    with pytest.raises(ValueError, match="loss"):
        cc.certificate(0.5, 1.0, -0.1, 3)
    with pytest.raises(ValueError, match="gap"):
        beyond_sharing.split_target(1.0, 2)
    with pytest.raises(ValueError, match="d must"):
        beyond_sharing.split_target(0.1, 1)
    with pytest.raises(ValueError, match="least"):
        cc.basin(-1.0, 3)
