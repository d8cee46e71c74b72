r"""Targets outside the theorems: rotations, negative eigenvalues, and nets of one dimension.

**Normal targets move on a straight line.** From the identity, shared or not
(`theory.theorems.controls`), one complex eigenvalue obeys w' = -conj(w)^(L-1) (w^L - phi), w(0) =
1. With s = w^L and s' = L s w' / w, the phases of conj(w)^(L-1) and s / w cancel:

    s' = L |s|^p (phi - s),  p = 2 - 2/L,    s = 1 + x (phi - 1),   x' = L |s|^p (1 - x).

So s goes from 1 straight to phi and only its clock is curved, t(x) = (1/L) int_0^x dy / ((1 - y)
|1 + y (phi - 1)|^p). The point of the whole line that is nearest to zero has the parameter
y* = (1 - Re phi) / |1 - phi|^2. If Re phi < 1 and Re phi < |phi|^2, 0 < y* < 1 and s passes zero at
distance m = |Im phi| / |1 - phi|, at a cost that grows like m^(1-p) / L (L >= 3; like log(1 / m)
for L = 2); if Re phi >= 1 the least |s| is 1, at the start, and if Re phi >= |phi|^2 it is |phi|,
at the target. Theorem 2's bound holds with the least |s| on the line in place
of min(1, lmin), |s|^p for its square.

**A negative eigenvalue is never learnt.** For phi < 0 the line runs through zero, where the clock
stops (L >= 2): s -> 0 and R -> phi^2 / 2 for ever, exponentially for L = 2,
s = |phi| / ((1 + |phi|) e^(2 |phi| t) - 1), and like (L (p - 1) |phi| t)^(-1/(p-1)) for L >= 3.
Unsharing does not help: the layer gradients are all equal, at every t
(`theory.theorems.controls`). That the identity start fails there is Bartlett et al. 2018. ZAS
(Theorem 1) sees the modulus alone.

**When unsharing changes nothing.** At a tied point W, E = W^L - Phi, the layer gradients are
g_l = (W^T)^(L-l) E (W^T)^(l-1), and g_l - g_{l+1} = (W^T)^(L-l-1) [W^T, E] (W^T)^(l-1) for
l = 1 .. L-1. Hence: all g_l are equal at W iff (W^T)^(L-l-1) [W^T, E] (W^T)^(l-1) = 0 for these l,
for invertible W iff W^T commutes with W^L - Phi. Unsharing changes nothing from W on iff that
holds along the whole tied path; from W = c I it does iff Phi is normal
(`theory.theorems.controls`).

**One dimension.** R = (w_L .. w_1 - phi)^2 / 2, each w_i' = -(prod_{j != i} w_j)(prod w - phi), so
w_i^2 - w_j^2 is conserved. With x the layer of least modulus (it alone can change sign) and
c_i = w_i(0)^2 - x(0)^2, the others are sign_i sqrt(x^2 + c_i), q(x) is their product, and
    x' = q (phi - x q):   time to R = eps phi^2 / 2 is the quadrature int dx / (q (phi - x q)).
From w_i ~ N(0, 1), q ~ exp(L E log|N|) = exp(-0.635 L): time, and steps at a bounded step size,
exponential in L (Shamir 2019), E log|N| = -(gamma + log 2) / 2. All layers equal to one draw w:
s' = L |s|^p (phi - s) from s = w^L, so log T ~ (L - 2) log(1 / |w|) for |w| < 1 (median draw:
0.394 a layer), never for w < 0 and L odd. For |w| > 1 (0.317 of the draws) the flow is quick but
curvature at the start is of the size L w^(2L-2): that is the Gauss-Newton part, |d prod / dw|^2;
with the residual's (L - 1) w^(L-2) (w^L - phi) the largest eigenvalue of the Hessian, along equal
moves of all layers, is (2L-1) w^(2L-2) - (L-1) phi w^(L-2). So a constant step size must be
exponentially small, and the number of steps is exponential in L all the same. The mean of L draws,
|w| ~ L^(-1/2), is worse: log T ~ (L / 2) log L. So sharing may lower the exponent; averaging
independent starts makes it worse.

References: Yang et al., arXiv 2110.03848, Theorems 1 and 2; Bartlett, Helmbold, Long, ICML 2018;
Shamir, "Exponential convergence time of gradient descent for one-dimensional deep linear neural
networks", COLT 2019.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.stats import t as student

from theory.numerics.domain import Array, as_depth, as_finite

LOG_MODULUS = -(np.euler_gamma + np.log(2.0)) / 2.0
"""E log|N(0, 1)| = -0.635: digamma(1/2) / 2 + log(2) / 2."""
MEDIAN_MODULUS = 0.6744897501960817
"""Median of |N(0, 1)|."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def line_time(part: ArrayLike, target: complex, depth: int) -> Array:
    """Time at which s = 1 + part (phi - 1) on the line of a normal target's eigenvalue.

    t = (1/L) int_0^part dy / ((1 - y) |1 + y (phi - 1)|^p), adaptive quadrature, relative error
    below 1e-9. `part` in [0, 1): 1 minus the square root of R / R(0). Infinity beyond a zero of the
    line (phi <= 0, L >= 2). ValueError naming the argument outside.
    """
    parts = as_finite("part", part)
    if not np.all((parts >= 0.0) & (parts < 1.0)):
        raise ValueError("part must lie in [0, 1)")
    L = float(as_depth(depth))
    p = 2.0 - 2.0 / L
    step = complex(target) - 1.0
    if not np.isfinite(step):
        raise ValueError("target must be finite")
    nearest = 0.0 if step == 0 else float(np.clip(-step.real / abs(step) ** 2, 0.0, 1.0))
    blocked = L > 1.0 and abs(1.0 + nearest * step) < 1e-14  # rounding of the distance to zero

    def slow(u: float) -> float:  # y = 1 - e^-u removes the pole at y = 1
        return float(abs(1.0 - np.expm1(-u) * step) ** -p)

    out = np.empty(parts.shape)
    for index, y in np.ndenumerate(parts):
        if blocked and y >= nearest:
            out[index] = np.inf
            continue
        end = -np.log1p(-float(y))
        turn = -np.log1p(-nearest) if nearest < 1.0 else np.inf
        points = [turn] if 0.0 < turn < end else None
        out[index] = quad(slow, 0.0, end, points=points, limit=400, epsrel=1e-11)[0] / L
    return out


def line_distance(target: complex) -> float:
    """The least |s| on the line from 1 to phi; ValueError for a target that is not finite."""
    step = complex(target) - 1.0
    if not np.isfinite(step):
        raise ValueError("target must be finite")
    nearest = 0.0 if step == 0 else float(np.clip(-step.real / abs(step) ** 2, 0.0, 1.0))
    return float(abs(1.0 + nearest * step))


def negative_value(time: ArrayLike, target: float) -> Array:
    """s(t) for L = 2 and phi < 0: |phi| / ((1 + |phi|) e^(2 |phi| t) - 1), which tends to 0."""
    if not -np.inf < target < 0.0:
        raise ValueError("target must be negative and finite")
    size = -target
    fade = np.exp(-2.0 * size * as_finite("time", time))
    return np.asarray(size * fade / (1.0 + size - fade))


def equal_gradients(weights: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """(W^T)^(L-l-1) [W^T, W^L - Phi] (W^T)^(l-1) for l = 1 .. L-1: all zero iff unsharing at the
    tied point W changes nothing at that moment.

    `weights`: the one layer W (d, d); returns (L - 1, d, d), g_l - g_{l+1}. ValueError for bad
    shapes.
    """
    W, phi = as_finite("weights", weights), as_finite("target", target)
    if W.ndim != 2 or W.shape != phi.shape or W.shape[0] != W.shape[1]:
        raise ValueError("weights and target must have one shape (d, d)")
    L = int(as_depth(depth))
    power = np.linalg.matrix_power
    E = power(W, L) - phi
    bracket = W.T @ E - E @ W.T
    gaps = [power(W.T, L - k - 1) @ bracket @ power(W.T, k - 1) for k in range(1, L)]
    return np.stack(gaps) if gaps else np.empty((0, *W.shape))


def log_scalar_times(weights: ArrayLike, target: float, eps: float) -> Array:
    """log of the time at which one-dimensional nets (B, L) reach R = eps phi^2 / 2, unshared.

    The module's quadrature in log x-coordinates, phi > 0; the product may have any sign. Relative
    error of the time below 1e-6 (checked against an integrator), at any depth: q is kept as a
    logarithm. Infinity for a negative product whose two least moduli are equal: they fall to zero
    together and stick. ValueError naming the argument for phi <= 0, eps outside (0, 1), a zero
    weight or L < 2.
    """
    w = as_finite("weights", weights)
    if w.ndim != 2 or w.shape[1] < 2 or not np.all(w != 0.0):
        raise ValueError("weights must have shape (B, L), L >= 2, none zero")
    if not 0.0 < target < np.inf:
        raise ValueError("target must be > 0 and finite")
    if not 0.0 < eps < 1.0:
        raise ValueError("eps must lie in (0, 1)")
    out = np.empty(w.shape[0])
    for k, row in enumerate(w):
        order = np.argsort(np.abs(row))
        least, rest = row[order[0]], row[order[1:]]
        excess = (np.abs(rest) - abs(least)) * (np.abs(rest) + abs(least))
        # In the frame where the others' product is positive, x starts at +-|least|.
        start = float(least * np.prod(np.sign(rest)))
        out[k] = _log_travel(start, excess, target, eps)
    return out


def _log_q(x: Array, excess: Array) -> Array:
    return np.asarray(0.5 * np.sum(np.log(x[..., None] ** 2 + excess), axis=-1))


def _log_travel(start: float, excess: Array, target: float, eps: float) -> float:
    """log int dx / (q (phi - x q)) from `start` to where |x q - phi| = sqrt(eps) phi."""

    def product(x: float) -> float:
        with np.errstate(over="ignore"):
            return float(x * np.exp(_log_q(np.array(x), excess)))

    first = product(start)
    if abs(first - target) <= eps**0.5 * target:
        return -np.inf
    if start < 0.0 and np.min(excess) == 0.0:  # 1 / q is not integrable at x = 0
        return np.inf
    goal = target * (1.0 - eps**0.5 if first < target else 1.0 + eps**0.5)
    low, high = (start, max(1.0, abs(start))) if first < target else (0.0, start)
    while product(high) < goal:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if product(middle) < goal else (low, middle)
    end = 0.5 * (low + high)
    # q changes on the scale of the second-least modulus: panels graded towards x = 0 from either
    # side resolve it whatever it is; towards the goal the integrand grows by 1 / sqrt(eps) only.
    scale = float(np.sqrt(np.min(excess))) or abs(start)
    breaks = [start, end]
    if min(start, end) < 0.0 < max(start, end):
        breaks.append(0.0)
    graded = np.geomspace(min(scale, abs(start)) * 1e-2, max(abs(start), abs(end), scale), 120)
    both = np.concatenate([breaks, graded, -graded, end - graded, start + graded, start - graded])
    inside = np.unique(both[(both >= min(start, end)) & (both <= max(start, end))])
    half, middle_ = np.diff(inside) / 2.0, (inside[1:] + inside[:-1]) / 2.0
    x = middle_[:, None] + half[:, None] * NODES
    log_q = _log_q(x, excess)
    rest = np.abs(target - x * np.exp(log_q))
    logs = np.log(half[:, None] * WEIGHTS) - log_q - np.log(rest)
    top = float(np.max(logs))
    return top + float(np.log(np.sum(np.exp(logs - top))))


def log_tied_times(weights: ArrayLike, target: float, eps: float, depth: int) -> Array:
    """log of the time at which tied one-dimensional nets (B,) reach R = eps phi^2 / 2.

    w' = -w^(L-1) (w^L - phi), phi > 0; infinity for w < 0 and odd L (stuck at zero). An even L sees
    |w|. Time = int dw / (w^(L-1) (phi - w^L)), by quadrature in log w. Errors as above.
    """
    w = as_finite("weights", weights)
    if w.ndim != 1 or not np.all(w != 0.0):
        raise ValueError("weights must have shape (B,), none zero")
    if not 0.0 < target < np.inf:
        raise ValueError("target must be > 0 and finite")
    if not 0.0 < eps < 1.0:
        raise ValueError("eps must lie in (0, 1)")
    L = int(as_depth(depth))
    out = np.empty(w.size)
    for k, value in enumerate(w):
        if value < 0.0 and L % 2:
            out[k] = np.inf
            continue
        log_s = L * float(np.log(abs(value)))
        side = -1.0 if log_s < np.log(target) else 1.0
        goal = float(np.log(target * (1.0 + side * eps**0.5)))
        if side * (goal - log_s) >= 0.0:
            out[k] = -np.inf
            continue
        # With y = log s, y' = L s^(1 - 2/L) (phi - s); 1 / (phi - s) grows by 1 / sqrt(eps) at the
        # end: panels of a fifth of an e-folding, and graded towards the end, resolve both.
        ends = np.linspace(log_s, goal, 64 + 5 * int(abs(goal - log_s)))
        fine = goal + (log_s - goal) * np.geomspace(1e-8, 1.0, 80)
        both = np.unique(np.concatenate([ends, fine]))
        half, middle = np.diff(both) / 2.0, (both[1:] + both[:-1]) / 2.0
        y = middle[:, None] + half[:, None] * NODES
        with np.errstate(over="ignore"):
            far = np.log(np.abs(target - np.exp(y)))
        logs = np.log(half[:, None] * WEIGHTS) - np.log(L) - (1.0 - 2.0 / L) * y - far
        top = float(np.max(logs))
        out[k] = top + float(np.log(np.sum(np.exp(logs - top))))
    return out


def slope_with_interval(depths: ArrayLike, values: ArrayLike) -> dict[str, float]:
    """Least-squares slope of `values` over `depths`, both (n,), and its 95 % interval.

    Student's t at n - 2 degrees of freedom, which is exact where the values scatter about a line
    independently, normally and with one variance: at six depths, 4 degrees of freedom, it is 2.78
    standard errors wide to either side, where a normal quantile would cover 88 %. What bends off a
    line only widens it. ValueError for fewer than three depths, or depths that are all equal.
    """
    x, y = as_finite("depths", depths), as_finite("values", values)
    if x.ndim != 1 or x.shape != y.shape or x.size < 3 or np.ptp(x) == 0.0:
        raise ValueError("depths and values must have one shape (n,), n >= 3, depths not all equal")
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    slope = float(x @ y) / spread
    freedom = x.size - 2
    error = float(np.sum((y - slope * x) ** 2) / freedom / spread) ** 0.5
    half = float(student.ppf(0.975, freedom)) * error
    return {"slope": slope, "low": slope - half, "high": slope + half}
