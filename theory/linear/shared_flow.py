r"""The gradient flow with shared weights, solved exactly (the setting of Theorem 2).

Deep linear network W_L .. W_1, loss R = 1/2 ||W_L .. W_1 - Phi||_F^2, all layers equal and moved by
the mean of their gradients, W_l' = -(1/L) sum_i dR/dW_i, from W_l = I. For symmetric positive
definite Phi the layer stays a function of Phi (Lemma 1), and per eigenvalue phi of Phi the
end-to-end eigenvalue s = w^L obeys

    s' = L s^p (phi - s),    p = 2 - 2/L,    s(0) = 1.

With x = log(s / |phi - s|) for phi > 1, x = log(phi / |phi - s|) for phi < 1, and the logistic
function sigma, so that s = phi sigma(x) or s = phi / sigma(x), time is one positive quadrature

    L phi^p t = int_{x0}^{x} sigma(y)^kappa dy,    kappa = 1 - p (phi > 1) or p (phi < 1).

Explicit cases: L = 1, s = phi + (1 - phi) e^-t; L = 2, s = phi / (1 + (phi - 1) e^(-2 phi t)).
In general, with z = sigma(x) the integral is [z^kappa / kappa 2F1(1, kappa; kappa + 1; z)] between
z0 = min(phi, 1/phi) and z. It is tested against mpmath but not used: library versions of 2F1 lose
all digits for some of these parameters, and near z = 1 the bracket cancels.

A unit of time is a unit of the paper's flow: step size eta corresponds to t = eta per step.

Reference: Yang, Hou, Song, Liu, Zhou, "Speeding up Deep Model Training by Sharing Weights and Then
Unsharing", arXiv 2110.03848, Lemma 1 and Theorem 2.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.numerics.domain import as_depth, as_finite, as_positive_definite, as_time
from theory.numerics.logistic_power import (
    ABOVE,
    BELOW,
    FAR,
    LOWEST,
    Family,
    inverse,
    kappa_modes,
    potential,
    power_integral,
    solve,
    straighten,
)
from theory.numerics.quadrature import Array, PairGrid

SMALLEST, LARGEST = 1e-100, 1e100
"""Range of targets: phi^p, p < 2, stays far from overflow."""


def eigenvalue(time: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """End-to-end eigenvalue s(t) of the shared flow from the identity.

    s' = L s^(2 - 2/L) (phi - s), s(0) = 1, the flow of Theorem 2 for one eigenvalue phi of a
    positive definite target. Time in units of the flow (eta per step). `time` >= 0 (infinity
    gives phi), `target` = phi in [1e-100, 1e100], `depth` = L integer >= 1; all broadcast, and so
    does the result. Relative error below 1e-10 for phi in [1e-3, 1e3]. For a large target the flow
    is nearly a blow-up, and s is as sensitive as phi rounding errors of time. ValueError outside
    this domain.
    """
    return _evaluate(time, target, depth, gap=False)


def gap(time: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """s(t) - phi of the shared flow, with relative accuracy down to the smallest float.

    The difference that the loss needs, free of the cancellation in eigenvalue(...) - target.
    Domain, shapes, units and errors as for `eigenvalue` (Theorem 2).
    """
    return _evaluate(time, target, depth, gap=True)


def time_to(value: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """Time at which the shared flow reaches the end-to-end eigenvalue `value`.

    t = (1/L) int_1^s dx / (x^p (phi - x)), the inverse of `eigenvalue`; relative error below 1e-10,
    also next to s = 1. `value` lies between 1 and the target, both included: value = 1 gives 0,
    else value = target gives infinity. Broadcasts. ValueError naming the argument outside.
    """
    phi = _as_target(target)
    L = as_depth(depth)
    s, phi, L = np.broadcast_arrays(as_finite("value", value), phi, L)
    if not np.all((s >= np.minimum(1.0, phi)) & (s <= np.maximum(1.0, phi))):
        raise ValueError("value must lie between 1 and target")
    shape = s.shape
    s, phi, L = s.reshape(-1), phi.reshape(-1), L.reshape(-1)
    time = np.where(s == 1.0, 0.0, np.inf)
    open_ = (s != 1.0) & (s != phi)
    s, phi, L = s[open_], phi[open_], L[open_]
    if s.size:
        # log((phi - 1) / (phi - s)), without cancellation at either end.
        part = (s - 1.0) / (phi - 1.0)
        near = np.where(part < 0.5, -np.log1p(-np.minimum(part, 0.5)), 0.0)
        late = np.log(np.where(part < 0.5, 1.0, (phi - 1.0) / (phi - s)))
        time[open_] = _travel(near + late, s - 1.0, phi, L)
    return time.reshape(shape)


def time_left(log_left: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """Time at which s - phi is exp(`log_left`) times what it was at the start, `log_left` <= 0.

    `time_to` of s = phi + exp(log_left) (1 - phi), for arguments at which that s is rounding:
    targets next to 1, shares next to 1 and below 1e-16. Relative error below 1e-10 throughout;
    phi != 1, -infinity gives infinity; broadcasts. ValueError naming the argument outside.
    """
    phi, L = _as_target(target), as_depth(depth)
    away = -np.asarray(log_left, dtype=np.float64)
    if not np.all(away >= 0.0):
        raise ValueError("log_left must be <= 0 and not NaN")
    if np.any(phi == 1.0):
        raise ValueError("target must differ from 1, where sharing starts")
    away, phi, L = np.broadcast_arrays(away, phi, L)
    shape = away.shape
    away, phi, L = away.reshape(-1), phi.reshape(-1), L.reshape(-1)
    time = np.where(away == 0.0, 0.0, np.inf)
    open_ = (away > 0.0) & np.isfinite(away)
    away, phi, L = away[open_], phi[open_], L[open_]
    if away.size:
        time[open_] = _travel(away, -np.expm1(-away) * (phi - 1.0), phi, L)
    return time.reshape(shape)


def end_to_end(time: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """End-to-end matrix W(t)^L of the shared flow: Q diag(s_i(t)) Q^T for target Q diag(phi) Q^T.

    Theorem 2's flow. `target`: symmetric positive definite (d, d); `time`: any shape, which
    becomes the leading axes of the result (..., d, d). ValueError as for `eigenvalue`.
    """
    values, vectors = as_positive_definite("target", target)
    s = eigenvalue(np.asarray(time, dtype=np.float64)[..., None], values, depth)
    product: Array = (vectors * s[..., None, :]) @ vectors.T
    return product


def loss(time: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """Loss R(t) = 1/2 sum_i (s_i(t) - phi_i)^2 of the shared flow, with relative accuracy.

    Theorem 2's R(t). `target`: symmetric positive definite (d, d); the result has the shape of
    `time`. ValueError as for `eigenvalue`.
    """
    values, _ = as_positive_definite("target", target)
    difference = gap(np.asarray(time, dtype=np.float64)[..., None], values, depth)
    return np.asarray(0.5 * np.sum(difference**2, axis=-1))


def rate(value: ArrayLike, target: ArrayLike, depth: ArrayLike) -> Array:
    """Instantaneous rate -R'/R = 2 L s^(2 - 2/L) of one eigenvalue at s = `value`.

    At s = 1 it is 2 L for every target (Remark 1); at s = phi it is the asymptotic rate
    2 L phi^(2 - 2/L). Over s between 1 and phi the least is 2 L min(1, phi^(2 - 2/L)), the exact
    exponent that Theorem 2 weakens to 2 L min(1, phi^2). Broadcasts. ValueError for value <= 0.
    """
    _as_target(target)
    L = as_depth(depth)
    s = as_finite("value", value)
    if not np.all(s > 0.0):
        raise ValueError("value must be > 0")
    return np.asarray(2.0 * L * s ** (2.0 - 2.0 / L))


def _as_target(target: ArrayLike) -> Array:
    phi = np.asarray(target, dtype=np.float64)
    if not np.all((phi >= SMALLEST) & (phi <= LARGEST)):
        raise ValueError(f"target must be positive and lie in [{SMALLEST:g}, {LARGEST:g}]")
    return phi


def _travel(away: Array, moved: Array, phi: Array, depth: Array) -> Array:
    """Time from 1 to s = 1 + `moved`, where log((phi - 1) / (phi - s)) = `away` > 0; all (n,).

    The way in x is `away`, plus log s above one: both are positive.
    """
    p = 2.0 - 2.0 / depth
    above = phi > 1.0
    width = away + np.where(above, np.log1p(np.where(above, moved, 0.0)), 0.0)
    kappa = np.where(above, 1.0 - p, p)
    return power_integral(_start(phi), width, kappa, -p * np.log(phi) - np.log(depth))


def _start(phi: Array) -> Array:
    """x0 = logit(min(phi, 1/phi)), for phi != 1."""
    return np.where(phi > 1.0, 0.0, np.log(np.minimum(phi, 1.0))) - np.log(np.abs(phi - 1.0))


def _evaluate(time: ArrayLike, target: ArrayLike, depth: ArrayLike, gap: bool) -> Array:
    grid = PairGrid(as_time(time), _as_target(target), as_depth(depth))
    phi, L = grid.target, grid.depth
    alike = phi == 1.0
    grid.values[alike] = 0.0 if gap else 1.0
    # Overflow of a finite time to infinity is the right answer, saturation.
    with np.errstate(over="ignore"):
        _linear(grid, ~alike & (L == 1.0), gap)
        _logistic(grid, ~alike & (L == 2.0), gap)
        _tabulated(grid, (phi < 1.0) & (L >= 3.0), BELOW, gap)
        _tabulated(grid, (phi > 1.0) & (L >= 3.0), ABOVE, gap)
    return grid.result()


def _linear(grid: PairGrid, chosen: NDArray[np.bool_], gap: bool) -> None:
    for rows, t, cut in grid.blocks(np.flatnonzero(chosen)):
        phi = grid.target[rows, None]
        if gap:
            grid.values[rows, cut] = (1.0 - phi) * np.exp(-t)
        else:  # for either branch the form whose terms are both positive
            rising = 1.0 - (phi - 1.0) * np.expm1(-t)
            grid.values[rows, cut] = np.where(phi > 1.0, rising, phi + (1.0 - phi) * np.exp(-t))


def _logistic(grid: PairGrid, chosen: NDArray[np.bool_], gap: bool) -> None:
    for rows, t, cut in grid.blocks(np.flatnonzero(chosen)):
        phi = grid.target[rows, None]
        fade = np.exp(-2.0 * phi * t)
        below = phi * fade - np.expm1(-2.0 * phi * t)  # both terms positive
        grid.values[rows, cut] = phi * ((1.0 - phi) * fade if gap else 1.0) / below


def _tabulated(grid: PairGrid, chosen: NDArray[np.bool_], family: Family, gap: bool) -> None:
    members = np.flatnonzero(chosen)
    if not members.size:
        return
    phi, L = grid.target[members], grid.depth[members]
    p = 2.0 - 2.0 / L
    kappa = p if family is BELOW else 1.0 - p
    energy = np.zeros(grid.target.size)
    speed = np.zeros(grid.target.size)
    power = np.zeros(grid.target.size)
    energy[members] = potential(_start(phi), kappa)
    speed[members] = kappa * L * phi**p
    power[members] = kappa
    modes = np.zeros((grid.target.size, family[2]))
    modes[members] = kappa_modes(kappa, family)
    in_table = straighten(energy[members], kappa) >= LOWEST
    for rows, t, cut in grid.blocks(members[in_table]):
        now = speed[rows, None] * t
        now += energy[rows, None]
        x = inverse(now, power[rows], modes[rows], family)
        _read(grid, rows, cut, x, family, gap)
    for row in members[~in_table]:
        for rows, t, cut in grid.blocks(np.array([row])):
            q = straighten(energy[row] + speed[row] * t[0], power[row])
            x = q.copy()
            far = q > FAR
            x[~far] = solve(q[~far], float(power[row]))
            _read(grid, rows, cut, x[None], family, gap)


def _read(
    grid: PairGrid, rows: NDArray[np.intp], cut: slice, x: Array, family: Family, gap: bool
) -> None:
    phi = grid.target[rows, None]
    np.negative(x, out=x)
    np.exp(x, out=x)
    out = grid.values[rows[0] : rows[-1] + 1, cut] if _adjacent(rows) else np.empty_like(x)
    if gap and family is BELOW:  # s - phi = phi e^-x
        np.multiply(x, phi, out=out)
    elif gap:  # s - phi = -phi (1 - sigma)
        np.divide(x, -1.0 - x, out=out)
        out *= phi
    else:
        x += 1.0
        if family is BELOW:  # s = phi / sigma
            np.multiply(phi, x, out=out)
        else:  # s = phi sigma
            np.divide(phi, x, out=out)
    if not _adjacent(rows):
        grid.values[rows, cut] = out


def _adjacent(rows: NDArray[np.intp]) -> bool:
    return bool(rows[-1] - rows[0] == rows.size - 1)
