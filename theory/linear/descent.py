"""Gradient descent on the deep linear network: the algorithms of Theorems 3 and 4, step by step.

The matrix routines say what the paper's update rules say, with every layer's own gradient. The
scalar routines run the same algorithms one eigen- or singular value at a time: from their starts
all layers stay diagonal in the target's basis, so the reduction is exact, not an approximation.
One step is eta units of the flow's time. Reference: Yang et al., arXiv 2110.03848.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import deep_linear
from theory.numerics.domain import Array, as_depth, as_finite, as_positive_definite, as_square


class Descent(NamedTuple):
    """What a run leaves: losses (steps + 1,), R before each step and at the end; final weights."""

    losses: Array
    weights: Array


def identity_start(depth: int, d: int) -> Array:
    """W_1 = .. = W_L = I (Theorems 2 and 4); shape (L, d, d). ValueError for depth or d < 1."""
    _check_size(depth, d)
    return np.tile(np.eye(d), (depth, 1, 1))


def zas_start(depth: int, d: int) -> Array:
    """W_1 = .. = W_{L-1} = I, W_L = 0 (Theorems 1 and 3); shape (L, d, d). Errors as above."""
    weights = identity_start(depth, d)
    weights[-1] = 0.0
    return weights


def shared(target: ArrayLike, weights: ArrayLike, eta: float, steps: int) -> Descent:
    """Descent with sharing: W_l <- W_l - (eta / L) sum_i dR/dW_i (Lemma 1, Theorem 4).

    Weight tying written as the paper writes it: every layer moves with the mean of the layers'
    gradients. `target` (d, d), `weights` (L, d, d) the start, eta > 0. Theorem 4 assumes a positive
    definite target, `identity_start` and eta up to `shared_admissible_step`; the rule does not.
    ValueError naming the argument for bad shapes or a bad eta.
    """
    return _run(target, weights, eta, steps, tied=True)


def unshared(target: ArrayLike, weights: ArrayLike, eta: float, steps: int) -> Descent:
    """Plain descent: W_l <- W_l - eta dR/dW_l (Theorem 3 from `zas_start`).

    Theorem 3 assumes eta up to `zas_admissible_step` and allows any target. Arguments and errors
    as for `shared`.
    """
    return _run(target, weights, eta, steps, tied=False)


def zas(target: ArrayLike, depth: int, eta: float, steps: int) -> Descent:
    """`unshared` from the ZAS start: Theorem 3's run. `target` (d, d), any real square matrix."""
    matrix = as_square("target", target)
    return unshared(matrix, zas_start(depth, matrix.shape[0]), eta, steps)


def shared_step(weights: ArrayLike, target: ArrayLike, eta: float) -> Array:
    """One step of `shared`; weights (L, d, d) in, new weights out."""
    gradients = deep_linear.layer_gradients(weights, target)
    moved: Array = np.asarray(weights) - eta * np.mean(gradients, axis=-3, keepdims=True)
    return moved


def unshared_step(weights: ArrayLike, target: ArrayLike, eta: float) -> Array:
    """One step of `unshared`; weights (L, d, d) in, new weights out."""
    moved: Array = np.asarray(weights) - eta * deep_linear.layer_gradients(weights, target)
    return moved


def shared_values(target: ArrayLike, depth: int, eta: float, steps: int) -> Array:
    """End-to-end eigenvalues s = w^L of shared descent from the identity.

    w <- w - eta w^(L-1) (w^L - phi), Lemma 1 per eigenvalue; the mean rule's factors L and 1/L
    cancel. `target` = phi, shape (n,), any real; returns (steps + 1, n). ValueError for a bad depth
    or eta.
    """
    phi = np.atleast_1d(as_finite("target", target))
    L = int(as_depth(depth))
    _check_run(eta, steps)
    w = np.ones_like(phi)
    history = np.empty((steps + 1, phi.size))
    for step in range(steps + 1):
        before = w ** (L - 1)
        history[step] = w * before
        w = w - eta * before * (history[step] - phi)
    return history


def zas_values(target: ArrayLike, depth: int, eta: float, steps: int) -> Array:
    """End-to-end singular values of descent from the ZAS start, L >= 2, any real target.

    a <- a - eta a^(L-2) b (a^(L-1) b - sigma) for the first L - 1 layers,
    b <- b - eta a^(L-1) (a^(L-1) b - sigma) for the last, from a = 1, b = 0. `target` = sigma (n,);
    returns (steps + 1, n). L = 1 has b alone. ValueError for a bad depth or eta.
    """
    sigma = np.atleast_1d(as_finite("target", target))
    L = int(as_depth(depth))
    _check_run(eta, steps)
    a, b = np.ones_like(sigma), np.zeros_like(sigma)
    history = np.empty((steps + 1, sigma.size))
    for step in range(steps + 1):
        inner = a ** (L - 2) if L > 1 else 1.0 / a
        power = inner * a
        history[step] = power * b
        residual = history[step] - sigma
        a, b = a - (eta * inner * b * residual if L > 1 else 0.0), b - eta * power * residual
    return history


def value_losses(values: Array, target: ArrayLike) -> Array:
    """R = 1/2 sum (s - phi)^2 over the last axis of (steps + 1, n)."""
    return np.asarray(0.5 * np.sum((values - np.asarray(target)) ** 2, axis=-1))


def loss_floor(target: ArrayLike, eta: float) -> float:
    """Losses of `value_losses` below this are rounding, of two kinds per eigen- or singular value.

    s itself is good to some 1e-13 of the target; and descent stalls when a step no longer changes
    a layer w near phi^(1/L): eta w^(L-1) |s - phi| < eps w, that is |s - phi| < eps max(1, 1/phi)
    / eta up to a small factor (4 is taken). The second matters at the theorems' tiny steps.
    """
    phi = np.maximum(np.abs(np.asarray(target)), np.finfo(np.float64).tiny)
    stall = 4.0 * np.finfo(np.float64).eps / eta * np.maximum(1.0, 1.0 / phi)
    return 0.5 * float(np.sum((1e-13 * np.maximum(phi, 1.0) + stall) ** 2))


def shared_admissible_step(target: ArrayLike, depth: int) -> float:
    """THM4's largest eta: min(lmin^2, 1) / (4 sqrt(d) L^2 max(lmax^4, 1)).

    `target`: symmetric positive definite (d, d). ValueError if it is not, or so extreme that the
    step is no float.
    """
    values, _ = as_positive_definite("target", target)
    L = float(as_depth(depth))
    with np.errstate(over="ignore", under="ignore"):
        scale = 4.0 * values.size**0.5 * L**2 * max(values[-1] ** 4, 1.0)
        return _a_float(min(values[0] ** 2, 1.0) / scale)


def zas_admissible_step(target: ArrayLike, depth: int) -> float:
    """THM3's largest eta: min{1/(4 L^3 xi^6), 1/(144 L^2 xi^4)}.

    xi = max{2 ||Phi||_F, 3 / sqrt(L), 1}. `target`: any finite real matrix. ValueError otherwise,
    or where the step is no float.
    """
    L = float(as_depth(depth))
    with np.errstate(over="ignore", under="ignore"):
        norm = np.linalg.norm(as_finite("target", target))
        xi = np.float64(max(2.0 * norm, 3.0 / L**0.5, 1.0))
        return _a_float(min(1.0 / (4.0 * L**3 * xi**6), 1.0 / (144.0 * L**2 * xi**4)))


def _a_float(step: float) -> float:
    if not step >= np.finfo(np.float64).tiny:
        raise ValueError("target: the theorem's step for it is below the smallest float")
    return float(step)


def _run(target: ArrayLike, weights: ArrayLike, eta: float, steps: int, tied: bool) -> Descent:
    _check_run(eta, steps)
    phi = as_square("target", target)
    current = as_finite("weights", weights)
    if current.ndim != 3 or current.shape[1:] != phi.shape:
        raise ValueError("weights must have shape (L, d, d) with the target's d")
    losses = np.empty(steps + 1)
    for step in range(steps):
        losses[step] = deep_linear.loss(current, phi)
        current = (shared_step if tied else unshared_step)(current, phi, eta)
    losses[steps] = deep_linear.loss(current, phi)
    return Descent(losses, current)


def _check_run(eta: float, steps: int) -> None:
    if not 0.0 < eta < np.inf:
        raise ValueError("eta must be > 0 and finite")
    if steps < 0:
        raise ValueError("steps must be >= 0")


def _check_size(depth: int, d: int) -> None:
    as_depth(depth)
    if d < 1:
        raise ValueError("d must be >= 1")
