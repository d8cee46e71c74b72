"""Both flows on full matrices for a batch of networks at once, where no closed form exists.

Perturbed starts and non-normal targets couple all layers; there the flows W_l' = -dR/dW_l (not
tied) and W_l' = -(1/L) sum_i dR/dW_i (the mean rule) are integrated by DOP853, all members of the
batch in one system. One unit of time is eta per step. Reference: Yang et al., arXiv 2110.03848,
the flows of Theorems 1 and 2.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.linear import deep_linear
from theory.linear.integrate import trajectory
from theory.numerics.domain import Array, as_finite, as_time

RTOL, ATOL = 1e-9, 1e-11
"""Residuals are then good to some 1e-9, losses above 1e-12 to some per cent of a per cent."""


def weights_along(times: ArrayLike, targets: ArrayLike, weights: ArrayLike, tied: bool) -> Array:
    """Weights (n, B, L, d, d) of B networks at increasing `times` (n,).

    `targets`: (B, d, d); `weights`: (B, L, d, d), the starts. Tied networks move by the mean of
    their layer gradients, whether or not the start is tied. ValueError for bad times or shapes;
    RuntimeError if the integrator gives up.
    """
    when = as_time(times)
    phi = as_finite("targets", targets)
    start = as_finite("weights", weights)
    if start.ndim != 4 or phi.shape != (start.shape[0], *start.shape[2:]):
        raise ValueError("weights must have shape (B, L, d, d) with targets (B, d, d)")

    def field(_: float, flat: Array) -> Array:
        if not np.all(np.isfinite(flat)):
            return np.full_like(flat, np.nan)  # DOP853 rejects the step and tries a shorter one
        gradients = deep_linear.layer_gradients(flat.reshape(start.shape), phi)
        if tied:
            gradients = np.broadcast_to(gradients.mean(axis=1, keepdims=True), start.shape)
        return -gradients.reshape(-1)

    # Near the end only stability limits the step; a trial step beyond it may overflow in a power
    # of depth L before it is rejected, which is no news.
    with np.errstate(over="ignore", invalid="ignore"):
        path = trajectory(field, when, start.reshape(-1), RTOL, ATOL)
    return path.T.reshape(when.size, *start.shape)


def first_time(times: ArrayLike, losses: ArrayLike, goals: ArrayLike) -> Array:
    """When each falling loss first reaches its goal; infinity where it does not.

    `times` (n,), `losses` (n, B), `goals` (B,); log R is interpolated linearly in time, which is
    exact for an exponential. Returns (B,). ValueError for shapes that do not match.
    """
    when, path = np.asarray(times, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    goal = np.asarray(goals, dtype=np.float64)
    if path.shape != (when.size, goal.size):
        raise ValueError("losses must have shape (n, B) for times (n,) and goals (B,)")
    below = path <= goal
    at = np.argmax(below, axis=0)
    reached = below.any(axis=0)
    late = np.maximum(at, 1)
    member = np.arange(goal.size)
    high, low = np.log(path[late - 1, member]), np.log(path[late, member])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((high - np.log(goal)) / (high - low), 0.0, 1.0)
    found = when[late - 1] + part * (when[late] - when[late - 1])
    return np.where(reached, np.where(at == 0, when[0], found), np.inf)
