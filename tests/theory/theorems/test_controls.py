"""Identity start without sharing: the same descent for normal targets, and how it parts else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear, descent, integrate, layer_flow, shared_flow
from theory.theorems import controls

STEP_BY_STEP = 1e-12
"""Two hundred steps of products near the identity round to some 1e-15 each."""
seeds = st.integers(0, 2**32 - 1)


@given(st.sampled_from(["symmetric", "rotation"]), st.integers(1, 24), st.integers(2, 5), seeds)
@settings(deadline=None, max_examples=25)
def test_normal_targets_give_the_same_descent(family: str, depth: int, d: int, seed: int) -> None:
    target = controls.draw_target(np.random.default_rng(seed), family, d)
    eta = 0.2 / (depth * max(1.0, float(np.linalg.norm(target, 2))) ** 2)
    assert controls.largest_difference(target, depth, eta, 200) < STEP_BY_STEP


def test_indefinite_symmetric_targets_too() -> None:
    target = np.array([[0.3, 1.1], [1.1, -0.7]])
    assert controls.largest_difference(target, 6, 0.01, 300) < STEP_BY_STEP


def test_another_clock_would_be_seen() -> None:
    """Mutation: a sum in place of the mean, or a step 1 % longer, is not the same descent."""
    target = controls.draw_target(np.random.default_rng(0), "symmetric", 3)
    one = descent.unshared(target, descent.identity_start(8, 3), 0.01, 50).weights
    other = descent.shared(target, descent.identity_start(8, 3), 0.0101, 50).weights
    assert np.max(np.abs(one - other)) > 1e-4


@pytest.mark.parametrize("family", ["near-symmetric", "triangular"])
@pytest.mark.parametrize("depth", [2, 5, 12])
def test_early_deviation_of_other_targets(family: str, depth: int) -> None:
    """Measured at t and t / 2 and extrapolated: the error of the limit is O(t^2) then."""
    target = controls.draw_target(np.random.default_rng(depth), family, 3)
    times = np.array([2e-3, 4e-3]) / depth
    start = descent.identity_start(depth, 3)
    path = integrate.weight_flow(times, target, start, tied=False)
    ratio = (path - path.mean(axis=1, keepdims=True)) / times[:, None, None, None] ** 2
    found = 2.0 * ratio[0] - ratio[1]
    predicted = controls.early_deviation(target, depth)
    size = np.max(np.abs(predicted))
    # The integrator's 1e-13 over t^2 = 1e-8, and third derivatives times t^2.
    assert np.max(np.abs(found - predicted)) < 2e-3 * size
    assert np.max(np.abs(found - 1.01 * predicted)) > 2e-3 * size


def test_commutator_tells_normal_targets() -> None:
    rng = np.random.default_rng(1)
    normal = [
        np.max(np.abs(controls.commutator(controls.draw_target(rng, f, 4))))
        for f in controls.FAMILIES
    ]
    assert max(normal[:2]) < 1e-13
    assert min(normal[2:]) > 0.05


def test_arrival_times_against_the_closed_form() -> None:
    """Symmetric target, exact start: all three arms are Theorem 2's flow, known in closed form."""
    rng = np.random.default_rng(2)
    targets = np.stack([controls.draw_target(rng, "symmetric", 3) for _ in range(3)])
    starts = np.stack([descent.identity_start(8, 3)] * 3)
    found = controls.times_to_goal(targets, starts, 1e-4, 15.0)
    for k, target in enumerate(targets):
        goal = 0.5e-4 * np.sum(target**2)
        for arm in controls.ARMS:  # linear interpolation of log R between 250 times
            at = float(shared_flow.loss(found[arm][k], target, 8))
            assert abs(np.log(at / goal)) < 2e-2
            assert abs(np.log(shared_flow.loss(1.02 * found[arm][k], target, 8) / goal)) > 2e-2
    np.testing.assert_allclose(found["alignment"], 1.0, rtol=1e-12)


def test_batched_flow_is_the_single_flow() -> None:
    rng = np.random.default_rng(3)
    targets = np.stack([controls.draw_target(rng, f, 3) for f in controls.FAMILIES])
    starts = np.stack([controls.perturbed_start(rng, 4, 3, 0.1) for _ in targets])
    times = np.array([0.01, 0.1, 0.3])
    for tied in (False, True):
        path = layer_flow.weights_along(times, targets, starts, tied)
        for k, target in enumerate(targets):
            one = integrate.weight_flow(times, target, starts[k], tied=tied)
            np.testing.assert_allclose(path[:, k], one, atol=1e-7)  # 1e2 times the integrator's


def test_a_trial_step_that_overflows_is_only_rejected() -> None:
    # Depth 64 from I + 0.3 G: at first a step of the whole span is tried.
    rng = np.random.default_rng(6)
    target = controls.draw_target(rng, "triangular", 2)
    start = controls.perturbed_start(rng, 64, 2, 0.3)
    times = np.array([0.0, 0.01, 0.4])
    for tied in (False, True):
        path = layer_flow.weights_along(times, target[None], start[None], tied)
        losses = deep_linear.loss(path[:, 0], target)
        assert np.all(np.isfinite(path))
        assert np.all(np.diff(losses) < 0.0)


def test_first_time_written_out() -> None:
    times = np.array([0.0, 1.0, 3.0])
    losses = np.exp(-np.outer(times, [1.0, 2.0, 0.1]))
    goals = np.exp([-2.0, -1.0, -1.0])
    found = layer_flow.first_time(times, losses, goals)
    np.testing.assert_allclose(found, [2.0, 0.5, np.inf], rtol=1e-13)
    assert layer_flow.first_time(times, losses[:, :1], np.array([2.0]))[0] == 0.0


def test_credit_adds_up_and_counts() -> None:
    zas, own = np.array([4.0, 8.0, 1.0]), np.array([2.0, 4.0, 1.0])
    equal, shared = np.array([1.0, 2.0, 1.0]), np.array([2.0, 1.0, np.inf])
    found = controls.credit(zas, own, equal, shared)
    assert (found["n"], found["arrived"]) == (3, 2)
    assert (found["tying helps"], found["tying hurts"]) == (1, 1)
    assert [found[k]["mean"] for k in ("total", "start", "averaging", "tying")] == [2, 1, 1, 0]
    assert found["tying"]["error"] == pytest.approx(1.0)


def test_bad_arguments_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="family"):
        controls.draw_target(rng, "odd", 3)
    with pytest.raises(ValueError, match="d must"):
        controls.draw_target(rng, "symmetric", 1)
    with pytest.raises(ValueError, match="eps"):
        controls.perturbed_start(rng, 3, 3, -0.1)
    with pytest.raises(ValueError, match="weights"):
        layer_flow.weights_along([1.0], np.eye(2)[None], np.ones((1, 2, 3, 3)), tied=True)
    with pytest.raises(ValueError, match="losses"):
        layer_flow.first_time([0.0, 1.0], np.ones((3, 1)), np.ones(1))


def test_tied_is_the_mean() -> None:
    weights = controls.perturbed_start(np.random.default_rng(0), 5, 2, 0.3)
    for layer in controls.tied(weights):
        np.testing.assert_array_equal(layer, weights.mean(axis=0))
