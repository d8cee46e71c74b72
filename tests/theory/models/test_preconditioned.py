"""Descent with a fixed diagonal: against the recursion itself, and plain descent as its case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from theory.models.fit_quadratic import general_losses
from theory.models.preconditioned import Preconditioned
from theory.models.quadratic import linear_steps

L, K, T = 3, 2, 15
STEPS = linear_steps(0.2, T)
TAUS = [0, 1, 7, T]


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hessian, optimum, draws."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(L * K, L * K))
    hessian = np.asarray(root @ root.T / (L * K)).reshape(L, K, L, K)
    return hessian, rng.normal(size=(L, K)), rng.normal(size=(L, K))


def descended(
    hessian: np.ndarray, optimum: np.ndarray, w: np.ndarray, diagonals: Any, tau: int
) -> float:
    """The loss after the recursion, step by step: tied until tau, the mean gradient over E."""
    for t, step in enumerate(STEPS):
        gradient = np.einsum("limj,mj->li", hessian, w - optimum)
        w = w - step * (
            gradient.mean(axis=0) / diagonals[1] if t < tau else gradient / diagonals[0]
        )
    return float(0.5 * np.einsum("li,limj,mj->", w - optimum, hessian, w - optimum))


def test_a_fixed_diagonal_is_its_recursion() -> None:
    hessian, optimum, draws = drawn(1)
    rng = np.random.default_rng(9)
    diagonals = rng.uniform(0.5, 2.0, (L, K)), rng.uniform(0.5, 2.0, K)
    found = Preconditioned.of(hessian, optimum, *diagonals).losses(draws, STEPS, TAUS)
    start = np.tile(draws[0], (L, 1))
    expected = [
        descended(hessian, optimum, draws, diagonals, 0),
        *(descended(hessian, optimum, start, diagonals, tau) for tau in TAUS),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_without_a_diagonal_it_is_plain_descent(scale: float) -> None:
    """Curvatures that would diverge are cut alike."""
    hessian, optimum, draws = drawn(2)
    found = Preconditioned.of(scale * hessian, optimum).losses(draws, STEPS, TAUS)
    plain = general_losses(scale * hessian, optimum, draws[0], STEPS, TAUS)
    np.testing.assert_allclose(found[1:], plain, rtol=1e-12)


def test_layers_alike_may_gain_by_a_diagonal_of_their_own() -> None:
    """H = I, which commutes with Q: never a gain plainly, and one where E is smaller than D."""
    hessian = np.eye(L * K).reshape(L, K, L, K)
    _, optimum, draws = drawn(3)
    plain = Preconditioned.of(hessian, optimum).losses(draws, STEPS, TAUS)[1:]
    assert np.diff(plain).min() > 0.0
    near = optimum.mean(axis=0) + 0.01 * (optimum - optimum.mean(axis=0))
    fast = Preconditioned.of(hessian, near, np.full((L, K), 2.0), np.full(K, 0.5))
    found = fast.losses(draws, STEPS, TAUS)[1:]
    assert found[2] < 0.5 * found[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hessian": np.eye(L * K)}, "hessian must have shape"),
        ({"diagonal": np.ones(K)}, "diagonal must have shape"),
        ({"tied_diagonal": np.zeros(K)}, "must be positive"),
        ({"diagonal": -np.ones((L, K))}, "must be positive"),
    ],
)
def test_what_is_no_quadratic_is_refused(change: dict[str, np.ndarray], words: str) -> None:
    hessian, optimum, _ = drawn(4)
    with pytest.raises(ValueError, match=words):
        Preconditioned.of(**({"hessian": hessian, "optimum": optimum} | change))
