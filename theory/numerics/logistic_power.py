"""The integral of a power of the logistic function, and its inverse: the shared flow's clock.

With sigma(x) = 1 / (1 + e^-x) and a fixed power kappa, write E(x) for the antiderivative with
E' = kappa sigma^kappa. Its constant: for kappa > 0, E(-inf) = 0; for kappa < 0, E(x) - 1 - kappa x
-> 0 at +inf. The "straightened" coordinate is explicit in E,

    q = log(E) / kappa       while x is small   (E < 1 for kappa > 0, E > 1 for kappa < 0),
    q = (E - 1) / kappa      afterwards,

and x - q is bounded, tends to a constant exponentially at both ends, and is analytic on either
side of q = 0. So a table of local polynomials with uniform knots in q (one of them at q = 0)
inverts E by direct indexing. The table is smooth in kappa too: it is stored at Chebyshev nodes in
kappa, and one matrix product gives the table of any kappa.

What speaks for this rather than Newton steps: no evaluation of E per point at all; and rather than
2F1: `scipy.special.hyp2f1` is badly wrong for some of these parameters.
"""

from functools import cache

import numpy as np

from theory.numerics.quadrature import Array, panel_integral

FAR = 40.0
"""exp(-FAR) < 5e-18: beyond this the integrand equals its limit in float64."""

KNOT = 0.125
DEGREE = 7
LOWEST, HIGHEST = -24.0, 38.0
"""Panel width, degree and range of the table in q. The nearest branch point is at distance about
pi/2: a relative error of (KNOT / (4 * pi/2))^8 = 2e-14 before constants; measured 1e-12. Below
LOWEST lie only targets beyond 1e10, which go to `solve`."""

Family = tuple[float, float, int]
BELOW: Family = (1.0, 2.0, 12)
"""kappa = 2 - 2/L for targets below one, L >= 2: range, and Chebyshev nodes that reach 1e-12."""
ABOVE: Family = (-1.0, -1.0 / 3.0, 20)
"""kappa = 2/L - 1 for targets above one, L >= 3."""


def sigma_power(x: Array, kappa: Array | float) -> Array:
    """sigma(x)^kappa for x > -700; broadcasts."""
    return np.exp(-kappa * np.log1p(np.exp(-x)))


def power_integral(low: Array, width: Array, kappa: Array, log_scale: Array) -> Array:
    """Integral of exp(log_scale) sigma(x)^kappa over [low, low + width], width >= 0; all (n,).

    Every term is positive. Beyond x = FAR the integrand is its limit and the rest is a product.
    `log_scale` enters the exponent, so that neither factor over- nor underflows by itself.
    """
    inside = np.clip(FAR - low, 0.0, width)
    value = panel_integral(
        lambda x: np.exp(log_scale[:, None] - kappa[:, None] * np.log1p(np.exp(-x))), low, inside
    )
    return value + np.exp(log_scale) * (width - inside)


def potential(x: Array, kappa: Array) -> Array:
    """E(x) for kappa in BELOW or ABOVE, to a few rounding errors relative; x, kappa: (n,)."""
    zero = np.zeros_like(x)
    base = np.minimum(x, 0.0)
    below = panel_integral(lambda y: sigma_power(y, kappa[:, None]), base - FAR, zero + FAR)
    tail = panel_integral(
        lambda y: np.expm1(-kappa[:, None] * np.log1p(np.exp(-y))), zero, zero + FAR
    )
    with np.errstate(over="ignore"):
        left = power_integral(base, -base, kappa, zero)
        right = power_integral(zero, np.maximum(x, 0.0), kappa, zero)
    start = np.where(kappa > 0.0, kappa * below, 1.0 - kappa * tail - kappa * left)
    return start + kappa * right


def straighten(energy: Array, kappa: Array | float) -> Array:
    """The coordinate q of E; elementwise, E > 0 where kappa > 0."""
    curved = np.where(np.asarray(kappa) > 0.0, np.minimum(energy, 1.0), np.maximum(energy, 1.0))
    return np.log(curved) / kappa + np.maximum((energy - 1.0) / kappa, 0.0)


def solve(q: Array, kappa: float) -> Array:
    """x with straighten(E(x)) = q by Newton's method; q: (n,) finite, kappa: one number.

    Slow and free of tables: it builds them, and serves targets outside their range. q(x) is
    increasing and within a bounded distance of x, so the integral starts from the integer below q
    and seven steps leave nothing to correct.
    """
    x = q.copy()
    anchors, which = np.unique(np.floor(q), return_inverse=True)
    start = potential(anchors, np.full_like(anchors, kappa))[which]
    anchor = anchors[which]
    for _ in range(7):
        energy = start + kappa * panel_integral(lambda y: sigma_power(y, kappa), anchor, x - anchor)
        slope = sigma_power(x, kappa)
        linear = (energy - 1.0) / kappa > 0.0
        slope = np.where(linear, slope, slope / energy)
        x = x - (straighten(energy, kappa) - q) / slope
    return x


def chebyshev_nodes(count: int, low: float, high: float) -> Array:
    """Chebyshev nodes of the first kind on [low, high], ascending; (count,)."""
    angle = (np.arange(count) + 0.5) * np.pi / count
    return (low + high) / 2.0 - (high - low) / 2.0 * np.cos(angle)


@cache
def inverse_table(family: Family) -> Array:
    """Chebyshev modes (in kappa) of the local polynomials of x - q in the fraction of a panel.

    Returns (modes, DEGREE + 1, panels), lowest power first. Built once, in about 0.2 s.
    """
    low, high, count = family
    kappas = chebyshev_nodes(count, low, high)
    fraction = chebyshev_nodes(DEGREE + 1, 0.0, 1.0)
    knots = np.arange(LOWEST, HIGHEST, KNOT)
    q = (knots[:, None] + KNOT * fraction).reshape(-1)
    x = np.array([solve(q, float(kappa)) for kappa in kappas])
    offset = (x - q).reshape(count, knots.size, DEGREE + 1)
    local = np.linalg.inv(np.vander(fraction, increasing=True))
    modes = np.linalg.inv(kappa_modes(kappas, family))
    return np.ascontiguousarray(np.einsum("ck,kpn,dn->cdp", modes, offset, local))


def kappa_modes(kappa: Array, family: Family) -> Array:
    """Chebyshev polynomials of kappa; (n, modes)."""
    low, high, count = family
    place = (2.0 * kappa - low - high) / (high - low)
    return np.asarray(np.polynomial.chebyshev.chebvander(place, count - 1), dtype=np.float64)


def inverse(energy: Array, kappa: Array, modes: Array, family: Family) -> Array:
    """x with E(x) = energy, through the table; energy (pairs, n), kappa (pairs,). Uses `energy`.

    `modes` is `kappa_modes` of kappa, computed once for many blocks. The caller sees to it that
    q >= LOWEST. The buffers are reused in place: at this size memory traffic costs more than
    arithmetic.
    """
    pairs, columns = energy.shape
    rate = kappa[:, None]
    q = np.minimum(energy, 1.0) if family is BELOW else np.maximum(energy, 1.0)
    np.log(q, out=q)
    q *= 1.0 / rate
    energy -= 1.0
    energy *= 1.0 / rate
    np.maximum(energy, 0.0, out=energy)
    q += energy

    place = np.clip(q, None, HIGHEST - 1e-9, out=energy)
    first = max(0, int((float(np.min(place)) - LOWEST) / KNOT))
    last = int((float(np.max(place)) - LOWEST) / KNOT) + 1
    table = inverse_table(family)[:, :, first:last]
    count = last - first
    local = modes @ table.reshape(table.shape[0], -1)
    local = local.reshape(pairs, DEGREE + 1, count)

    place -= LOWEST + KNOT * first
    place *= 1.0 / KNOT
    index = place.astype(np.intp)
    place -= index
    index += (np.arange(pairs) * (DEGREE + 1) * count)[:, None]
    flat = local.reshape(-1)
    value = np.take(flat[DEGREE * count :], index, mode="clip")
    term = np.empty((pairs, columns))
    for power in range(DEGREE - 1, -1, -1):
        value *= place
        value += np.take(flat[power * count :], index, out=term, mode="clip")
    value += q
    return value
