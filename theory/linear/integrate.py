"""The flows by a general ODE integrator on the full weight matrices: the second of three routes.

Slow on purpose and independent of the closed forms: it knows the layer gradients and nothing of
eigenvalues. Errors are the integrator's, about 1e2 * rtol over the spans used here. One unit of
time is eta per step. Reference: Yang et al., arXiv 2110.03848, the flows of Theorems 1 and 2.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from theory.linear import deep_linear
from theory.numerics.domain import Array, as_finite, as_time

RTOL, ATOL = 1e-11, 1e-13


def weight_flow(times: ArrayLike, target: ArrayLike, weights: ArrayLike, *, tied: bool) -> Array:
    """Weights along the flow W_l' = -dR/dW_l, or minus the mean over layers where `tied`.

    `times`: (n,) increasing from >= 0; `target`: (d, d); `weights`: (L, d, d) at time 0. Returns
    (n, L, d, d). The flow of Theorem 1 (not tied, ZAS start) or Theorem 2 (tied, identity start),
    but any start and target may be given. ValueError for bad shapes or times; RuntimeError if the
    integrator gives up.
    """
    when = as_time(times)
    phi = as_finite("target", target)
    start = as_finite("weights", weights)

    def field(_: float, flat: Array) -> Array:
        gradients = deep_linear.layer_gradients(flat.reshape(start.shape), phi)
        if tied:
            gradients = np.broadcast_to(gradients.mean(axis=0), start.shape)
        return -gradients.reshape(-1)

    return trajectory(field, when, start.reshape(-1)).T.reshape(when.size, *start.shape)


def shared_eigenvalue(times: ArrayLike, target: float, depth: int) -> Array:
    """One eigenvalue of the shared flow, s' = L s^(2 - 2/L) (phi - s), s(0) = 1, by DOP853.

    Written in log s, which removes the stiffness of the power. `times` (n,) increasing; (n,) out.
    What `benchmarks/closed_form.py` compares the closed form with. RuntimeError on failure.
    """
    power = 1.0 - 2.0 / depth

    def field(_: float, log_s: Array) -> Array:
        s = np.exp(log_s)
        return np.asarray(depth * np.exp(power * log_s) * (target - s))

    return np.exp(trajectory(field, as_time(times), [0.0])[0])


def zas_singular_value(times: ArrayLike, target: float, depth: int) -> Array:
    """One singular value of the ZAS flow by DOP853, from the layer equations for (log a, b).

    a' = -a^(L-2) b (a^(L-1) b - sigma), b' = -a^(L-1) (a^(L-1) b - sigma), a = 1, b = 0 at first.
    `times` (n,) increasing; (n,) out. RuntimeError on failure.
    """

    def field(_: float, state: Array) -> Array:
        log_a, b = state
        power = np.exp((depth - 1) * log_a)
        residual = power * b - target
        return np.array([-power * np.exp(-2.0 * log_a) * b * residual, -power * residual])

    log_a, b = trajectory(field, as_time(times), [0.0, 0.0])
    return np.asarray(np.exp((depth - 1) * log_a) * b)


def trajectory(
    field: Callable[[float, Array], Array],
    times: Array,
    start: ArrayLike,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> Array:
    """y(t) of y' = field(t, y), y(0) = `start` (m,), by DOP853; `times` (n,), result (m, n).

    RuntimeError if the integrator gives up.
    """
    result = solve_ivp(
        field,
        (0.0, float(times[-1])),
        np.asarray(start, dtype=np.float64),
        method="DOP853",
        t_eval=times,
        rtol=rtol,
        atol=atol,
    )
    if not result.success:
        raise RuntimeError(f"integrator stopped: {result.message}")
    path: Array = result.y
    return path
