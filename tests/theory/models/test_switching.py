"""The switching function against retraining, differences, matrix exponentials and its statement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import expm

from theory.models import switching
from theory.models.fit_quadratic import general_losses
from theory.models.quadratic import linear_steps
from theory.models.switching import Model, tie_derivatives, trajectory

L, K, T = 4, 3, 12
SKEW = np.arange(4.0).reshape(2, 1, 2, 1)


def random_hessian(rng: np.random.Generator, layers: int = L, width: int = K) -> np.ndarray:
    half = rng.normal(size=(layers * width, layers * width))
    H = half @ half.T / (layers * width) + 0.05 * np.eye(layers * width)
    return H.reshape(layers, width, layers, width)


def quadratic(H: np.ndarray, optimum: np.ndarray) -> Model:
    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum("limj,mj->li", H, v))

    return Model(lambda t, w: product(w - optimum), lambda t, w, v: product(v))


def quartic(seed: int) -> tuple[Model, np.ndarray]:
    """F_t = sum sin(A_t w) + |w|^4 / 4, another A each batch; and the last batch's A."""
    A = np.random.default_rng(seed).normal(size=(T + 1, 5, L * K)) / 3.0

    def gradient(t: int, w: np.ndarray) -> np.ndarray:
        flat = w.reshape(-1)
        return np.asarray((A[t].T @ np.cos(A[t] @ flat) + flat @ flat * flat).reshape(w.shape))

    def product(t: int, w: np.ndarray, v: np.ndarray) -> np.ndarray:
        flat, other = w.reshape(-1), v.reshape(-1)
        bent = -A[t].T @ (np.sin(A[t] @ flat) * (A[t] @ other))
        return np.asarray(
            (bent + flat @ flat * other + 2.0 * flat * (flat @ other)).reshape(w.shape)
        )

    return Model(gradient, product), A[T]


def quartic_loss(A: np.ndarray, w: np.ndarray) -> float:
    flat = w.reshape(-1)
    return float(np.sum(np.sin(A @ flat)) + (flat @ flat) ** 2 / 4.0)


def test_tie_derivatives_are_those_of_retraining() -> None:
    """Not quadratic, a new batch each update, any tie weights: central differences in each s_t."""
    rng = np.random.default_rng(0)
    model, A = quartic(1)
    start, steps = rng.normal(size=(L, K)) / 2.0, linear_steps(0.1, T)
    ties = rng.uniform(0.2, 0.8, T)
    found = tie_derivatives(model, start, steps, ties)
    for t in range(T):
        shift = 1e-5 * (np.arange(T) == t)
        up, down = (
            quartic_loss(A, trajectory(model, start, steps, ties + sign * shift)[-1])
            for sign in (1.0, -1.0)
        )
        # Differences of losses near 1: rounding 1e-16 / 1e-5, and shift^2.
        assert found[t] == pytest.approx((up - down) / 2e-5, abs=1e-9)


def test_switching_is_the_change_of_loss_by_one_more_tied_update() -> None:
    """Full retraining for each tau: what is left is second order in the rate."""
    model, A = quartic(2)
    start = np.tile(np.array([0.5, -0.3, 0.2]), (L, 1))
    left = []
    for eta in (0.002, 0.001):
        steps = linear_steps(eta, T)
        losses = [
            quartic_loss(A, trajectory(model, start, steps, np.arange(T) < tau)[-1])
            for tau in range(T + 1)
        ]
        left.append(np.abs(np.diff(losses) - switching.switching(model, start, steps)).max())
    assert left[0] / left[1] == pytest.approx(4.0, rel=0.15)


def test_on_a_quadratic_the_second_order_completes_it() -> None:
    rng = np.random.default_rng(3)
    H, optimum, start = random_hessian(rng), rng.normal(size=(L, K)), rng.normal(size=K)
    steps = linear_steps(0.3, T)  # below 2 / lmax: no curvature is cut
    model = quadratic(H, optimum)
    losses = general_losses(H, optimum, start, steps, list(range(T + 1)))
    sigma = switching.switching(model, np.tile(start, (L, 1)), steps)
    tied = trajectory(model, np.tile(start, (L, 1)), steps, np.ones(T))
    rest = [
        switching.quadratic_remainder(H, model.gradient(t, tied[t]), steps[t:]) for t in range(T)
    ]
    np.testing.assert_allclose(np.diff(losses), sigma + rest, atol=1e-12 * losses[0])
    assert min(rest) > 0.0


def flow_loss(H: np.ndarray, e: np.ndarray, tau: float, time: float) -> float:
    """By matrix exponentials of the tied and the untied flow."""
    n = e.size
    flat = H.reshape(n, n)
    mean = np.kron(np.full((L, L), 1.0 / L), np.eye(K))
    last = expm(-flat * (time - tau)) @ expm(-mean @ flat * tau) @ e.reshape(-1)
    return float(0.5 * last @ flat @ last)


def test_flow_switching_is_the_slope_of_the_loss_in_tau() -> None:
    rng = np.random.default_rng(4)
    H, e, time = random_hessian(rng), rng.normal(size=(L, K)), 2.0
    mean = np.kron(np.full((L, L), 1.0 / L), np.eye(K))
    flat = H.reshape(L * K, L * K)
    for tau in (0.1, 0.9, 1.9):
        g = (flat @ expm(-mean @ flat * tau) @ e.reshape(-1)).reshape(L, K)
        slope = (flow_loss(H, e, tau + 1e-4, time) - flow_loss(H, e, tau - 1e-4, time)) / 2e-4
        assert switching.flow_switching(H, g, time - tau) == pytest.approx(slope, rel=1e-6)


def test_exchangeable_layers_never_gain() -> None:
    """[H, Q] = 0: a square, for any gradient; and the loss of flow rises in tau."""
    rng = np.random.default_rng(5)
    own, common = (random_hessian(rng, 1, K)[0, :, 0] for _ in range(2))
    H = np.einsum("lm,ij->limj", np.eye(L), own) + common[None, :, None] / L
    assert switching.commutator(H) < 1e-14
    for remaining in (0.0, 0.5, 5.0):
        g = rng.normal(size=(L, K))
        root = expm(-H.reshape(L * K, L * K) * remaining) @ switching.apart(g).reshape(-1)
        assert switching.flow_switching(H, g, remaining) == pytest.approx(root @ root, rel=1e-10)
    with pytest.raises(ValueError, match="must not commute"):
        switching.helping_optimum(H, 1.0)


@pytest.mark.parametrize("time", [0.01, 1.0, 20.0])
def test_at_every_budget_some_optimum_gains(time: float) -> None:
    """By the loss itself: tied for a moment beats never tied, from the start 0."""
    H = random_hessian(np.random.default_rng(6))
    optimum = switching.helping_optimum(H, time)
    assert np.linalg.norm(optimum) == pytest.approx(1.0, rel=1e-12)
    assert switching.flow_switching(H, -np.einsum("limj,mj->li", H, optimum), time) < 0.0
    best = min(flow_loss(H, -optimum, tau, time) for tau in np.geomspace(1e-4, 0.5, 30) * time)
    assert best < flow_loss(H, -optimum, 0.0, time) * (1.0 - 1e-9)


def test_commutator_written_out() -> None:
    """h = (3, 1): H Q - Q H = [[0, -1], [1, 0]], |H| = sqrt(10)."""
    H = np.diag([3.0, 1.0]).reshape(2, 1, 2, 1)
    assert switching.commutator(H) == pytest.approx(np.sqrt(2.0 / 10.0), rel=1e-14)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("hessian must have shape", lambda: switching.commutator(np.eye(3))),
        ("hessian must be symmetric", lambda: switching.commutator(SKEW)),
        ("hessian must be positive", lambda: switching.helping_optimum(0.0 * SKEW, 1.0)),
        ("start must have shape", lambda: trajectory(quartic(0)[0], [1.0], [0.1], [0])),
        ("steps must be > 0", lambda: trajectory(quartic(0)[0], [[1.0]], [0.0], [0])),
        ("ties must lie", lambda: trajectory(quartic(0)[0], [[1.0]], [0.1], [2])),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=message):
        call()
