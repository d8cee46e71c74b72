"""Gradient noise: closed forms against a linear recursion, differences, scalars and simulation."""

import json
from typing import Any

import numpy as np
import pytest

from theory.claims import gradient_noise as gradient_noise_claims
from theory.linear import deep_linear
from theory.studies import gradient_noise as gradient_noise_study
from theory.studies.gradient_noise import minimum, run
from theory.theorems.gradient_noise import (
    apart,
    curvature,
    expected_loss,
    first_order_floor,
    jacobians,
    noise_floor,
)

TARGET = np.array([[1.2, 0.5], [0.5, 0.9]])
WEIGHTS = minimum(TARGET, "identity", 5)


def test_jacobians_are_the_product_s_derivatives() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3))
    moved = rng.normal(size=weights.shape)
    h = 1e-6
    slope = (
        deep_linear.end_to_end(weights + h * moved) - deep_linear.end_to_end(weights - h * moved)
    ) / (2.0 * h)
    found = sum(J @ m.reshape(-1) for J, m in zip(jacobians(weights), moved, strict=True))
    np.testing.assert_allclose(found, slope.reshape(-1), rtol=1e-7, atol=1e-7)  # h^2


def test_curvature_of_a_tied_minimum_is_its_formula() -> None:
    depth = len(WEIGHTS)
    v = np.linalg.eigvalsh(TARGET) ** (1.0 / depth)
    own = [
        sum(a ** (2 * i) * b ** (2 * (depth - 1 - i)) for i in range(depth)) for a in v for b in v
    ]
    common = [
        sum(a**i * b ** (depth - 1 - i) for i in range(depth)) ** 2 / depth for a in v for b in v
    ]
    for tied, values in ((False, own), (True, common)):
        found = np.linalg.eigvalsh(curvature(WEIGHTS, tied=tied))
        np.testing.assert_allclose(found, np.sort(values), rtol=1e-12)
    gap = np.linalg.eigvalsh(curvature(WEIGHTS, tied=False) - curvature(WEIGHTS, tied=True))
    assert gap[0] > -1e-12  # K_0 <= K
    assert gap[-1] > 1e-3


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("overlap", [0.0, 0.4, 1.0])
def test_floor_solves_the_recursion_of_second_moments(tied: bool, overlap: float) -> None:
    eta, sigma = 0.05, 0.3
    each = jacobians(WEIGHTS)
    depth, width = each.shape[:2]
    into = np.concatenate(list(each), axis=1)  # (d^2, L d^2)
    layers = np.full((depth, depth), overlap) + (1.0 - overlap) * np.eye(depth)
    mean = np.full((depth, depth), 1.0 / depth)
    mixing = np.kron(mean, np.eye(width)) if tied else np.eye(depth * width)
    noise = into @ mixing @ np.kron(layers, np.eye(width)) @ mixing.T @ into.T
    keep = np.eye(width) - eta * into @ mixing @ into.T
    moment = np.zeros((width, width))
    for _ in range(2000):
        moment = keep @ moment @ keep.T + eta**2 * sigma**2 * noise
    found = noise_floor(WEIGHTS, eta, sigma, tied=tied, overlap=overlap)
    np.testing.assert_allclose(found, 0.5 * np.trace(moment), rtol=1e-10)
    if overlap == 0.0:
        error = np.array([[0.1, -0.2], [0.05, 0.3]])
        q = error.reshape(-1)
        moment = np.outer(q, q)
        path = []
        for _ in range(6):
            path.append(0.5 * np.trace(moment))
            moment = keep @ moment @ keep.T + eta**2 * sigma**2 * noise
        along = expected_loss(np.arange(6), WEIGHTS, error, eta, sigma, tied=tied)
        np.testing.assert_allclose(along, path, rtol=1e-12)
        late = expected_loss([1e5], WEIGHTS, error, eta, sigma, tied=tied)
        np.testing.assert_allclose(late, [found], rtol=1e-12)


def test_spread_of_the_layers_by_the_recursion() -> None:
    eta, sigma = 0.05, 0.3
    each = jacobians(WEIGHTS)
    depth, width = each.shape[:2]
    into = np.concatenate(list(each), axis=1)
    keep = np.eye(depth * width) - eta * into.T @ into
    off = np.eye(depth * width) - np.kron(np.full((depth, depth), 1.0 / depth), np.eye(width))
    moment = np.zeros_like(keep)
    path = []
    for _ in range(40):
        path.append(np.trace(off @ moment))
        moment = keep @ moment @ keep + eta**2 * sigma**2 * np.eye(depth * width)
    found = apart(np.arange(40), WEIGHTS, eta, sigma)
    np.testing.assert_allclose(found, path, rtol=1e-10, atol=1e-15)


def test_first_order_knows_neither_method_nor_depth_nor_target() -> None:
    for depth, start in ((2, "identity"), (9, "identity"), (4, "zas")):
        end = minimum(TARGET, start, depth)
        for tied in (False, True) if start == "identity" else (False,):
            # The next order is eta kappa / 2 of it.
            found = noise_floor(end, 1e-7, 0.5, tied=tied) / first_order_floor(2, 1e-7, 0.5)
            np.testing.assert_allclose(found, 1.0, rtol=1e-5)


def test_equal_sensitivities_make_one_process() -> None:
    weights = np.tile(1.1 * np.eye(2), (6, 1, 1))
    for overlap in (0.0, 0.5, 1.0):
        one, other = (
            noise_floor(weights, 0.02, 1.0, tied=tied, overlap=overlap) for tied in (False, True)
        )
        np.testing.assert_allclose(one, other, rtol=1e-12)
    # Common noise is L times as strong and no one averages it.
    alone, common = (noise_floor(weights, 0.02, 1.0, tied=True, overlap=o) for o in (0.0, 1.0))
    np.testing.assert_allclose(common, 6.0 * alone, rtol=1e-12)


def test_unstable_steps_have_no_floor() -> None:
    largest = np.linalg.eigvalsh(curvature(WEIGHTS, tied=False))[-1]
    assert noise_floor(WEIGHTS, 2.01 / largest, 1.0, tied=False) == np.inf
    assert noise_floor(WEIGHTS, 1.99 / largest, 1.0, tied=False) < np.inf


def test_run_is_descent_and_counts_what_diverges() -> None:
    rng = np.random.default_rng(0)
    starts = np.tile(WEIGHTS, (3, 1, 1, 1)) + 0.01
    loss, weights = run(TARGET, starts, [0.01, 0.02], 0.0, False, 1, 1, rng)
    expected = WEIGHTS + 0.01
    expected = expected - 0.02 * deep_linear.layer_gradients(expected, TARGET)
    np.testing.assert_allclose(weights[1, 2], expected, rtol=1e-12)
    np.testing.assert_allclose(loss[1], deep_linear.loss(expected, TARGET), rtol=1e-12)
    loss, weights = run(TARGET, starts, [0.01, 50.0], 0.1, False, 5, 1, rng)
    assert np.all(np.isfinite(loss[0]))
    assert np.all(np.isinf(loss[1]))
    assert np.all(np.isfinite(weights))


def test_tied_runs_share_one_noise_of_variance_one_over_depth() -> None:
    rng = np.random.default_rng(0)
    starts = np.tile(WEIGHTS, (4000, 1, 1, 1))
    _, weights = run(TARGET, starts, [0.1], 1.0, True, 1, 1, rng)
    moved = (weights[0] - WEIGHTS) / 0.1
    np.testing.assert_array_equal(moved[:, 0], moved[:, 3])
    # 16000 normals: the standard error of a variance is sqrt(2 / 16000) of it.
    np.testing.assert_allclose(np.var(moved[:, 0]), 1.0 / len(WEIGHTS), rtol=5 * (2 / 16000) ** 0.5)


def test_study_is_json_and_reproducible() -> None:
    data = gradient_noise_study.study(0, "smoke")
    json.dumps(data, allow_nan=False)
    assert data == gradient_noise_study.study(0, "smoke")
    assert data["figure"] == "gradient_noise"
    with pytest.raises(ValueError, match="scale"):
        gradient_noise_study.study(0, "tiny")


def test_a_wrong_formula_differs() -> None:
    def more(*a: Any, **k: Any) -> float:
        return 1.2 * noise_floor(*a, **k)

    def averaged(*a: Any, tied: bool) -> float:
        """What "sharing averages L noises" suggests."""
        share = gradient_noise_study.DEPTH if tied else 1
        return noise_floor(*a, tied=tied) / share

    assert gradient_noise_claims.check_floor(0, "smoke").verdict == "holds"
    assert gradient_noise_claims.check_floor(0, "smoke", more).verdict == "fails"
    assert gradient_noise_claims.check_floor(0, "smoke", averaged).verdict == "fails"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"eta": 0.0}, "eta"),
        ({"sigma": -1.0}, "sigma"),
        ({"overlap": 1.5}, "overlap"),
        ({"weights": np.zeros((3, 2, 2))}, "weights"),
        ({"weights": np.zeros((2, 2))}, "weights"),
    ],
)
def test_what_is_outside_is_refused(arguments: dict[str, Any], name: str) -> None:
    given: dict[str, Any] = {"weights": WEIGHTS, "eta": 0.1, "sigma": 1.0} | arguments
    with pytest.raises(ValueError, match=name):
        noise_floor(**given, tied=False)
    with pytest.raises(ValueError, match="d must"):
        first_order_floor(0, 0.1, 1.0)
