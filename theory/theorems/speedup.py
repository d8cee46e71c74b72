r"""How much faster the shared flow is than the unshared one, in exact times (the claim ACC).

Deep linear network, R = 1/2 ||W_L .. W_1 - Phi||_F^2, Phi symmetric positive definite with
eigenvalues phi. T_shared and T_zas are the times at which the shared flow from the identity
(Theorem 2) and the unshared flow from the ZAS start (Theorem 1) reach R = eps R(0), each from its
own R(0). The paper compares the two bounds and reads a factor L. The ratio T_zas / T_shared itself:

* eps -> 1: both starts have the rates of Remark 1, and the ratio is L.
* eps -> 0, L fixed: the ratio of final rates. With b >= 0, b^2 (1 + b^2)^(L-1) = phi^2,

      ratio -> L b^(2-2/L) (1 + b^2)^(1/L) / (1 + L b^2)  <  1    for every phi and L >= 2,

  by the weighted means (b^2)^(1-1/L) (1+b^2)^(1/L) < (1-1/L) b^2 + (1+b^2)/L, and so for spectra
  without an eigenvalue 1, whose least eigenvalue has both final rates. (An eigenvalue 1 costs
  sharing nothing and may be ZAS's slowest: [1, 4] at L = 2 tends to 8 / sqrt(5).) In words: of all
  layers with one product, equal ones have the least sum of squared layer gradients, hence the
  slowest end; ZAS layers are unequal. It tends to 1 as L -> infinity and to 0 as phi -> 0.
* L -> infinity, eps fixed: sharing has L T -> C(phi, eps), the limit flow being s' = s^2 (phi - s);
  ZAS has theta' ~ phi exp(L theta^2 / 2) until it leaves s = 0, so sqrt(L) T -> sqrt(pi/2) / phi:

      ratio ~ sqrt(pi L / 2) / (phi C),  C = (1 - 1/s) / phi + (log s + log(1/eps) / 2) / phi^2,

  s = phi - (phi - 1) sqrt(eps). The exponent of L is 1/2, not 1. The two limits do not commute.

**One crossing.** Let u = log(1 / eps) / 2 and D(u) = T_zas - T_shared, so D(0) = 0. For phi != 1
and L >= 2, D is positive up to one u* and negative beyond. Proof. The gaps fall at the rates
r(s) = L s^p (sharing, p = 2 - 2/L) and Z(s) = (1 + B)^(L-2) (1 + L B), B (1 + B)^(L-1) = s^2 (ZAS);
with x = 1 - e^(-u) the flows are at s = 1 + (phi - 1) x and at phi x, and D' = 1 / Z - 1 / r has
the sign of F(x) = log r(1 + (phi - 1) x) - log Z(phi x). F(0) = log L > 0, and F(1) < 0 by the
means above. It is enough that F has one zero: D then rises, and falls for ever, in the end at a
constant rate. For phi < 1, r falls and Z rises with x: one zero. For phi > 1, differentiating
B (1 + B)^(L-1) = s^2 gives d log Z / d log s = p (1 - (1 + L B)^-2), so

    x F'(x) / p = (1 + L B)^-2 - (1 + (phi - 1) x)^-1 > 0  iff  k(s) < 1 - 1 / phi at s = phi x,

k = L B (2 + L B) / s. Along B, the sign of k' is that of 2 + (L + 4) B + (4 L - L^2) B^2: always
positive for L <= 4, else positive up to one B and then negative. So k rises from 0 and may fall
again, F rises, falls and may rise again, and where it ends by rising it rises to F(1) < 0: F has
one zero. []

Units: time of the paper's flows, eta per step. Reference: Yang et al., arXiv 2110.03848.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import erf, lambertw

from theory.linear import shared_flow, zas_flow
from theory.numerics.domain import Array, as_depth

METHODS = ("shared", "zas")

ANCHOR = 1e-12
"""Below this eps log R is linear in time up to O(sqrt(eps)); above it sqrt(eps) is no rounding."""


def flow_time(method: str, target: ArrayLike, depth: ArrayLike, eps: ArrayLike) -> Array:
    """Time to R = eps R(0) for a scalar target: `time_left` of the flow at the share sqrt(eps).

    `method` is "shared" (phi != 1) or "zas", 0 < eps < 1, phi > 0; broadcasts. Relative error 1e-9
    for every such phi in [1e-3, 1e3] and every eps, next to 1 and at the smallest float too.
    ValueError naming the argument.
    """
    phi, half = _as_targets(method, target), 0.5 * np.log(_as_eps(eps))
    flow = shared_flow if method == "shared" else zas_flow
    return flow.time_left(half, phi, depth)


def spectrum_time(method: str, spectrum: ArrayLike, depth: int, eps: float) -> float:
    """Time to R = eps R(0) for a positive definite target with these eigenvalues, shape (n,).

    R(t) = 1/2 sum_i (s_i(t) - phi_i)^2 falls monotonically. Each eigenvalue alone takes t_i, and
    the root lies between the least and the largest t_i; it is found to 1e-12 in log t.
    Eigenvalues 1 contribute nothing under sharing. ValueError as for `flow_time`, or if sharing
    starts at the target.
    """
    values = np.asarray(spectrum, dtype=np.float64)
    if values.ndim != 1 or not np.all((values > 0.0) & np.isfinite(values)):
        raise ValueError("spectrum must be a 1-D array of eigenvalues > 0")
    if method == "shared":
        values = values[values != 1.0]
    if not values.size:
        raise ValueError("spectrum must hold an eigenvalue other than 1: R(0) is 0")
    single = flow_time(method, values, depth, eps)
    low, high = float(np.min(single)), float(np.max(single))
    if high - low <= 1e-12 * high:
        return high
    gap = shared_flow.gap if method == "shared" else zas_flow.gap
    start = float(np.sum(gap(0.0, values, depth) ** 2))
    root = eps**0.5  # squares of differences below 1e-154 would underflow

    def excess(log_time: float) -> float:
        left = gap(float(np.exp(log_time)), values, depth) / root
        return float(np.log(np.sum(left**2) / start))

    # A nudge outwards: the ends solve R = eps R(0) only when all t_i agree.
    ends = np.log(low) - 1e-9, np.log(high) + 1e-9
    return float(np.exp(brentq(excess, *ends, xtol=1e-12)))


def time_ratio(target: ArrayLike, depth: ArrayLike, eps: ArrayLike) -> Array:
    """T_zas / T_shared, exact; ACC says L.

    `target` a number: one eigenvalue, closed form; `depth` and `eps` broadcast and so does the
    result. `target` of shape (n,): the spectrum of one positive definite target, `depth` and `eps`
    numbers, result (). For many scalar targets at once divide two `flow_time`. Assumptions and
    errors as for `flow_time` and `spectrum_time`.
    """
    if np.ndim(target) == 0:
        return flow_time("zas", target, depth, eps) / flow_time("shared", target, depth, eps)
    if np.ndim(depth) or np.ndim(eps):
        raise ValueError("depth and eps must be numbers when target is a spectrum")
    of = int(as_depth(depth)), float(_as_eps(eps))
    return np.asarray(spectrum_time("zas", target, *of) / spectrum_time("shared", target, *of))


def final_ratio(target: ArrayLike, depth: ArrayLike) -> Array:
    """Limit of T_zas / T_shared as eps -> 0, L fixed: L b^(2-2/L) (1+b^2)^(1/L) / (1 + L b^2).

    b^2 (1 + b^2)^(L-1) = phi^2. The quotient of the final rates -R'/R of the two flows; below 1
    for L >= 2 (module docstring), 1 for L = 1. For a spectrum without an eigenvalue 1 take its
    least eigenvalue: both final rates increase with phi. Broadcasts; ValueError for a bad argument.
    """
    phi = _as_targets("zas", target)
    return np.asarray(shared_flow.rate(phi, phi, depth) / zas_flow.rate(phi, depth))


def deep_shared_time(target: ArrayLike, depth: ArrayLike, eps: ArrayLike) -> Array:
    """T_shared to leading order as L -> infinity: C(phi, eps) / L, relative error O(1/L).

    C = int_1^s dx / (x^2 (phi - x)), see the module docstring. Broadcasts.
    """
    phi, eps_ = _as_targets("shared", target), _as_eps(eps)
    s = phi - np.sqrt(eps_) * (phi - 1.0)
    constant = (1.0 - 1.0 / s) / phi + (np.log(s) - 0.5 * np.log(eps_)) / phi**2
    return np.asarray(constant / as_depth(depth))


def deep_zas_time(
    target: ArrayLike, depth: ArrayLike, eps: ArrayLike, second_order: bool = True
) -> Array:
    """T_zas as L -> infinity: sqrt(pi / (2 L)) / phi, and the next order in 1/sqrt(L).

    Exactly, phi T = int cosh(theta)^(2-L) dtheta + (1/2) int dy / (phi - s), y = sinh(theta)^2,
    both from the start to the end. With L y = c, s^2 = c e^c / L: the first integral is Gaussian,
    cut at c = w = W(L phi^2) (Lambert); the second is w / (2 L phi) and, from the approach to phi,
    where dc = 2 c / (1 + c) ds / s, a tail proportional to log(1/eps):

        phi T ~ sqrt(pi / (2L)) erf(sqrt(w/2)) + (w + w / (1 + w) log(1/eps)) / (2 L phi).

    The second order is smaller by log(L / eps) / sqrt(L): at L = 4096 it still matters, which is
    why the exponent seen there is not yet 1/2. Broadcasts.
    """
    phi, L = _as_targets("zas", target), as_depth(depth)
    first = np.sqrt(np.pi / (2.0 * L)) / phi
    if not second_order:
        return np.asarray(first * np.ones_like(_as_eps(eps)))
    w = np.real(lambertw(L * phi**2, 0))
    tail = w - w / (1.0 + w) * np.log(_as_eps(eps))
    return np.asarray(first * erf(np.sqrt(w / 2.0)) + tail / (2.0 * L * phi**2))


def deep_ratio(
    target: ArrayLike, depth: ArrayLike, eps: ArrayLike, second_order: bool = True
) -> Array:
    """T_zas / T_shared as L -> infinity, eps fixed: sqrt(pi L / 2) / (phi C), or two orders."""
    zas = deep_zas_time(target, depth, eps, second_order)
    return np.asarray(zas / deep_shared_time(target, depth, eps))


def even_log10(target: ArrayLike, depth: ArrayLike) -> Array:
    """-log10(eps) at which both flows take the same time; sharing is the slower one beyond it.

    There is exactly one for every phi != 1 and L >= 2 (proof in the module docstring), so that
    bisection on the exact times finds it from any place where sharing is still faster; down to
    eps = 1e-12; further down log R is linear in time: a closed form of the crossing. Broadcasts.
    ValueError for L = 1 (ratio 1 throughout), and for a target whose two final rates differ by
    rounding only (L = 2 and phi above 3e4), where no crossing can be told.
    """
    phi, L = np.broadcast_arrays(_as_targets("shared", target), as_depth(depth))
    if np.any(L < 2.0):
        raise ValueError("depth must be >= 2")
    slow = 1.0 / shared_flow.rate(phi, phi, L)
    lost = slow - 1.0 / zas_flow.rate(phi, L)
    if not np.all(lost > 1e-10 * slow):  # a million roundings
        raise ValueError("target: its two final rates differ by rounding only; take it nearer to 1")

    def lead_at(decades: Array) -> Array:
        eps = 10.0**-decades
        return flow_time("zas", phi, L, eps) - flow_time("shared", phi, L, eps)

    low, high = np.full(phi.shape, 1e-3), np.full(phi.shape, -np.log10(ANCHOR))
    while np.any(behind := lead_at(low) <= 0.0):  # ends: near 0 the ratio is L
        low = np.where(behind, 0.1 * low, low)
    for _ in range(45):  # 12 / 2^45 is below rounding of the times
        middle = 0.5 * (low + high)
        faster = lead_at(middle) > 0.0
        low, high = np.where(faster, middle, low), np.where(faster, high, middle)
    lead = lead_at(np.full(phi.shape, -np.log10(ANCHOR)))
    later = -np.log10(ANCHOR) + lead / lost / np.log(10.0)
    return np.where(lead > 0.0, later, high)


def _as_targets(method: str, target: ArrayLike) -> Array:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}")
    phi = np.asarray(target, dtype=np.float64)
    if not np.all((phi > 0.0) & np.isfinite(phi)):
        raise ValueError("target must be > 0 and finite")
    if method == "shared" and np.any(phi == 1.0):
        raise ValueError("target must differ from 1, where sharing starts: R(0) is 0")
    return phi


def _as_eps(eps: ArrayLike) -> Array:
    value = np.asarray(eps, dtype=np.float64)
    if not np.all((value > 0.0) & (value < 1.0)):
        raise ValueError("eps must lie in (0, 1)")
    return value
