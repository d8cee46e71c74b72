"""The projections by their definition, and the statement that no such model gains by sharing."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from theory.models.commuting import commuting, exchangeable
from theory.models.fit_quadratic import general_losses
from theory.models.quadratic import linear_steps
from theory.models.switching import commutator

L, K, T = 3, 2, 12


def hessian(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(L * K, L * K))
    return np.asarray(root @ root.T / (L * K)).reshape(L, K, L, K)


def test_projections_are_those_of_their_definitions() -> None:
    """By the matrices P and Q, and by the mean over all orders of the layers."""
    H = hessian(1)
    mean = np.kron(np.full((L, L), 1.0 / L), np.eye(K))
    rest, flat = np.eye(L * K) - mean, H.reshape(L * K, L * K)
    kept = commuting(H)
    np.testing.assert_allclose(
        kept.reshape(L * K, -1), mean @ flat @ mean + rest @ flat @ rest, atol=1e-14
    )
    orders = [np.array(order) for order in permutations(range(L))]
    everywhere = np.mean([H[order][:, :, order] for order in orders], axis=0)
    np.testing.assert_allclose(exchangeable(H), everywhere, atol=1e-14)


def test_what_is_dropped_is_the_commutator() -> None:
    H = hessian(2)
    dropped = float(np.linalg.norm(H - commuting(H)) / np.linalg.norm(H))
    assert dropped == pytest.approx(commutator(H), rel=1e-12)
    assert dropped > 0.1
    for part in (commuting(H), exchangeable(H)):
        assert commutator(part) < 1e-14
        assert np.linalg.eigvalsh(part.reshape(L * K, -1))[0] > 0.0
        np.testing.assert_allclose(commuting(part), part, atol=1e-14)  # a projection
    np.testing.assert_allclose(exchangeable(commuting(H)), exchangeable(H), atol=1e-14)


def test_what_commutes_never_gains_over_the_equal_start() -> None:
    """Any curvature below 2 / rate; the full one gains from some starts and some optima."""
    steps, gains = linear_steps(0.3, T), 0
    for seed in range(20):
        H = hessian(seed)
        assert 0.3 * np.linalg.eigvalsh(H.reshape(L * K, -1))[-1] < 1.95  # nothing is cut
        rng = np.random.default_rng([seed, 1])
        optimum, start = rng.normal(size=(L, K)), rng.normal(size=K)
        curves = [
            general_losses(part, optimum, start, steps, list(range(T + 1)))
            for part in (commuting(H), exchangeable(H), H)
        ]
        for curve in curves[:2]:
            assert np.diff(curve).min() > -1e-13 * curve[0]
        gains += curves[2].min() < 0.999 * curves[2][0]
    assert gains >= 5


def test_a_hessian_of_another_shape_is_refused() -> None:
    for wrong in (np.eye(6), np.zeros((2, 3, 3, 2))):
        with pytest.raises(ValueError, match="shape"):
            commuting(wrong)
