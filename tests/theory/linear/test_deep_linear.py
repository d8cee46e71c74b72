"""Products, losses and gradients against finite differences and small written-out cases."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.linear import deep_linear


def test_order_of_the_layers() -> None:
    """weights[0] is W_1, applied first: the product is W_2 W_1."""
    first, second = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0]])
    np.testing.assert_array_equal(deep_linear.end_to_end([first, second]), [[0.0, 2.0], [0.0, 0.0]])
    assert deep_linear.loss([first, second], np.zeros((2, 2))) == 2.0  # 1/2 * 2^2


def test_one_dimensional_gradient_written_out() -> None:
    """R = 1/2 (6 - 5)^2 with w = (2, 3): dR/dw = (3, 2) * 1."""
    weights = np.array([[[2.0]], [[3.0]]])
    np.testing.assert_array_equal(deep_linear.layer_gradients(weights, [[5.0]]), [[[3.0]], [[2.0]]])


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_gradient_against_central_differences(depth: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = np.eye(d) + 0.3 * rng.normal(size=(depth, d, d))
    target = rng.normal(size=(d, d))
    gradients = deep_linear.layer_gradients(weights, target)
    step = 1e-5
    bumps = step * np.eye(weights.size).reshape(weights.size, *weights.shape)
    rise = deep_linear.loss(weights + bumps, target) - deep_linear.loss(weights - bumps, target)
    # step^2 truncation plus eps / step rounding, each near 1e-10, times products of six layers.
    scale = 1.0 + np.max(np.abs(gradients))
    np.testing.assert_allclose(
        rise / (2 * step), gradients.reshape(-1), rtol=0.0, atol=1e-7 * scale**2
    )


def test_batch_is_elementwise() -> None:
    rng = np.random.default_rng(3)
    weights, target = rng.normal(size=(2, 3, 4, 5, 5)), rng.normal(size=(3, 5, 5))
    gradients = deep_linear.layer_gradients(weights, target)
    assert gradients.shape == weights.shape
    for i, j in np.ndindex(2, 3):
        one = deep_linear.layer_gradients(weights[i, j], target[j])
        np.testing.assert_allclose(gradients[i, j], one, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(
            deep_linear.loss(weights, target)[i, j], deep_linear.loss(weights[i, j], target[j])
        )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("weights", lambda: deep_linear.end_to_end(np.ones((2, 2)))),
        ("weights", lambda: deep_linear.end_to_end(np.ones((3, 2, 1)))),
        ("weights", lambda: deep_linear.end_to_end(np.ones((0, 2, 2)))),
        ("weights", lambda: deep_linear.loss(np.full((1, 2, 2), np.nan), np.eye(2))),
        ("target", lambda: deep_linear.loss(np.ones((1, 2, 2)), np.full((2, 2), np.inf))),
        ("target", lambda: deep_linear.layer_gradients(np.ones((1, 2, 2)), [[np.nan]])),
    ],
)
def test_outside_the_domain(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=name):
        call()
