r"""The unshared gradient flow from the ZAS start, solved exactly for any target (Theorem 1).

Deep linear network W_L .. W_1, R = 1/2 ||W_L .. W_1 - Phi||_F^2, every layer moved by its own
gradient, from W_1 = .. = W_{L-1} = I, W_L = 0 (zero-asymmetric start, Wu et al. 2019). In the
singular vectors of Phi the first L - 1 layers are diag(a), the last is diag(b), a^2 - b^2 = 1 is
conserved, so a = cosh(theta), b = sinh(theta), and per singular value sigma

    s = sinh(theta) cosh(theta)^(L-1),    theta' = cosh(theta)^(L-2) (sigma - s),  theta(0) = 0.

With u = -log(1 - s/sigma): u' = r(theta) = cosh(theta)^(2L-4) (1 + L sinh(theta)^2) >= 1, which is
Theorem 1 again, now with the exact rate. Time is a quadrature in x, theta = theta* (1 - e^-x),
s(theta*) = sigma: dt/dx is positive, analytic near the axis and tends to 1 / r(theta*). Powers are
taken through logarithms, differences through products of hyperbolic functions, so that nothing
overflows at L = 4096 and nothing cancels.

A unit of time is a unit of the paper's flow: step size eta corresponds to t = eta per step.

References: Yang et al., arXiv 2110.03848, Theorem 1; Wu, Wang, Wang, Zou, "Global convergence of
gradient descent for deep linear residual networks", NeurIPS 2019 (the start).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.linear.zas_orbit import FAR, Orbit, Table, theta_at
from theory.numerics.domain import as_depth, as_finite, as_time
from theory.numerics.quadrature import Array, PairGrid, panel_integral

SMALLEST, LARGEST = 1e-100, 1e100
"""Range of non-zero |target|: squares stay far from overflow."""

PAIRS_TOGETHER = 128
"""Tables built at once: enough to make the cost of numpy calls small, and still in cache."""


def singular_value(time: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """End-to-end singular value s(t) of the unshared flow from the ZAS start.

    theta' = cosh^(L-2)(theta) (sigma - s), s = sinh(theta) cosh^(L-1)(theta), s(0) = 0: Theorem 1's
    flow for one singular value. Any real `target`: the flow is odd in it (a singular vector
    changes sign), zero stays zero; non-zero |target| in [1e-100, 1e100]. `time` >= 0 in units of
    the flow (eta per step), infinity gives the target; `depth` = L integer >= 1. All broadcast.
    Relative error below 1e-10 for |target| in [1e-3, 1e3]. ValueError outside this domain.
    """
    return _evaluate(time, target, depth, gap=False)


def gap(time: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """s(t) - target of the ZAS flow, with relative accuracy down to the smallest float.

    The difference that the loss needs, free of cancellation. Domain, shapes, units and errors as
    for `singular_value` (Theorem 1).
    """
    return _evaluate(time, target, depth, gap=True)


def time_to(value: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """Time at which the ZAS flow reaches the end-to-end singular value `value`.

    The inverse of `singular_value`, relative error below 1e-10 also next to 0. `value` lies between
    0 and the target, both included: value = 0 gives 0, else value = target gives infinity.
    Broadcasts. ValueError naming the argument outside.
    """
    sigma = _as_target(target)
    L = as_depth(depth)
    s, sigma, L = np.broadcast_arrays(as_finite("value", value), sigma, L)
    if not np.all((s * np.sign(sigma) >= 0.0) & (np.abs(s) <= np.abs(sigma))):
        raise ValueError("value must lie between 0 and target")
    shape = s.shape
    s, sigma, L = np.abs(s).reshape(-1), np.abs(sigma).reshape(-1), L.reshape(-1)
    time = np.where(s == 0.0, 0.0, np.inf)
    open_ = (s != 0.0) & (s != sigma)
    s, sigma, L = s[open_], sigma[open_], L[open_]
    if s.size:
        part = s / sigma
        missing = (sigma - s) / sigma
        away = -np.log(np.where(part < 0.5, 0.5, missing))
        away = np.where(part < 0.5, -np.log1p(-np.minimum(part, 0.5)), away)
        time[open_] = _time(away, s, missing, sigma, L)
    return time.reshape(shape)


def time_left(log_left: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """Time at which s - target is exp(`log_left`) times what it was at the start, `log_left` <= 0.

    `time_to` of s = (1 - exp(log_left)) target, for shares at which that s is rounding. Relative
    error below 1e-10 throughout; target != 0, -infinity gives infinity; broadcasts. ValueError
    naming the argument outside.
    """
    sigma, L = np.abs(_as_target(target)), as_depth(depth)
    away = -np.asarray(log_left, dtype=np.float64)
    if not np.all(away >= 0.0):
        raise ValueError("log_left must be <= 0 and not NaN")
    if np.any(sigma == 0.0):
        raise ValueError("target must differ from 0, where the flow starts")
    away, sigma, L = np.broadcast_arrays(away, sigma, L)
    shape = away.shape
    away, sigma, L = away.reshape(-1), sigma.reshape(-1), L.reshape(-1)
    time = np.where(away == 0.0, 0.0, np.inf)
    open_ = (away > 0.0) & np.isfinite(away)
    away, sigma, L = away[open_], sigma[open_], L[open_]
    if away.size:
        time[open_] = _time(away, -np.expm1(-away) * sigma, np.exp(-away), sigma, L)
    return time.reshape(shape)


def end_to_end(time: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """End-to-end matrix of the ZAS flow: U diag(s_i(t)) V^T for target U diag(sigma) V^T.

    Theorem 1's flow. `target`: any finite real matrix (m, n); for a rectangular one the last layer
    is (m, n) and zero, the others are identities (n, n). `time`: any shape, which becomes the
    leading axes of the result (..., m, n). ValueError as for `singular_value`.
    """
    left, values, right = np.linalg.svd(_as_matrix(target), full_matrices=False)
    s = singular_value(np.asarray(time, dtype=np.float64)[..., None], _clean(values), depth)
    product: Array = (left * s[..., None, :]) @ right
    return product


def loss(time: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """Loss R(t) = 1/2 sum_i (s_i(t) - sigma_i)^2 of the ZAS flow, with relative accuracy.

    Theorem 1's R(t). `target`: any finite real matrix; the result has the shape of `time`.
    ValueError as for `singular_value`.
    """
    values = _clean(np.linalg.svd(_as_matrix(target), compute_uv=False))
    difference = gap(np.asarray(time, dtype=np.float64)[..., None], values, depth)
    return np.asarray(0.5 * np.sum(difference**2, axis=-1))


def rate(value: ArrayLike, depth: ArrayLike) -> Array:
    """Instantaneous rate -R'/R = 2 cosh^(2L-4)(theta) (1 + L sinh^2(theta)) at s = `value`.

    2 at s = 0 (Remark 1), increasing in |s|; at s = sigma the asymptotic rate. Theorem 1 is the
    lower bound 2. Broadcasts; ValueError for a non-finite value or a bad depth.
    """
    s = np.abs(as_finite("value", value))
    L = as_depth(depth)
    s, L = np.broadcast_arrays(s, L)
    theta = np.where(s > 0.0, theta_at(np.where(s > 0.0, s, 1.0), L), 0.0)
    log_cosh = 0.5 * np.log1p(np.sinh(theta) ** 2)
    return np.asarray(2.0 * np.exp((2.0 * L - 4.0) * log_cosh) * (1.0 + L * np.sinh(theta) ** 2))


def _as_target(target: ArrayLike) -> Array:
    sigma = as_finite("target", target)
    size = np.abs(sigma)
    if not np.all((size == 0.0) | ((size >= SMALLEST) & (size <= LARGEST))):
        raise ValueError(f"target must be 0 or have modulus in [{SMALLEST:g}, {LARGEST:g}]")
    return sigma


def _as_matrix(target: ArrayLike) -> Array:
    matrix = as_finite("target", target)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError("target must be a matrix of shape (m, n)")
    return matrix


def _clean(values: NDArray[np.floating]) -> Array:
    """Singular values below the domain are rounding errors of zero."""
    return np.where(values < SMALLEST, 0.0, values)


def _time(away: Array, s: Array, missing: Array, sigma: Array, depth: Array) -> Array:
    """Time from 0 to s, where 1 - s / sigma = `missing` = exp(-`away`); all (n,)."""
    time = away.copy()  # L = 1: t = u
    deep = depth > 1.0
    if np.any(deep):
        time[deep] = _travel(s[deep], missing[deep], sigma[deep], depth[deep])
    return time


def _travel(s: Array, missing: Array, sigma: Array, depth: Array) -> Array:
    """Time from 0 to s: the quadrature of dt/dx. All (n,), L >= 2."""
    orbit = Orbit(sigma, depth)
    x = orbit.place(s[:, None], missing[:, None])[:, 0]
    inside = np.minimum(x, FAR)
    spent = panel_integral(lambda y: orbit.at(y)[2], np.zeros_like(x), inside, panel_width=0.5)
    return spent + (x - inside) / orbit.final_rate[:, 0]


def _evaluate(time: ArrayLike, target: ArrayLike, depth: ArrayLike, gap: bool) -> Array:
    signed = _as_target(target)
    grid = PairGrid(as_time(time), signed, as_depth(depth))
    size = np.abs(grid.target)
    grid.values[size == 0.0] = 0.0
    deep = (size > 0.0) & (grid.depth > 1.0)
    for rows, t, cut in grid.blocks(np.flatnonzero((size > 0.0) & (grid.depth == 1.0))):
        sigma = grid.target[rows, None]
        grid.values[rows, cut] = -sigma * (np.exp(-t) if gap else np.expm1(-t))
    members = np.flatnonzero(deep)
    for first in range(0, members.size, PAIRS_TOGETHER):
        chosen = members[first : first + PAIRS_TOGETHER]
        table = Table(size[chosen], grid.depth[chosen], gap)
        position = np.full(grid.target.size, -1)
        position[chosen] = np.arange(chosen.size)
        for rows, t, cut in grid.blocks(chosen):
            grid.values[rows, cut] = grid.target[rows, None] * table.read(position[rows], t)
    return grid.result()
