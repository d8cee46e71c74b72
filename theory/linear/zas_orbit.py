"""One singular value's path under the ZAS flow, and tables that read it as a function of time.

See `theory.linear.zas_flow` for the equations: theta = theta* (1 - e^-x) parametrises the path,
dt/dx is positive and smooth, time is its integral. `Orbit` evaluates along x, `Table` inverts t(x).
"""

from functools import cache

import numpy as np

from theory.numerics.quadrature import Array, gauss_legendre

FAR = 44.0
"""dt/dx differs from its limit by about L theta*^2 e^-x, relatively: below 1e-16 beyond FAR."""

TAIL = np.array([8.0, 9.0, 10.5, 12.0, 14.0, 16.5, 20.0, 26.0, 34.0, FAR])
"""Panel ends in x where e^-x has faded; the earlier ones are chosen by `_knots`."""
NODES = 12
"""Gauss points per panel, through which both the quadrature and the interpolation go."""
WIDTH = 0.4
"""Bound on the width of an early panel in x."""


class Orbit:
    """The path of one singular value, for sigma > 0 and L >= 1, both (n,); attributes (n, 1)."""

    def __init__(self, sigma: Array, depth: Array) -> None:
        self.sigma, self.depth = sigma[:, None], depth[:, None]
        self.end = theta_at(self.sigma, self.depth)
        self.sinh_end, self.cosh_end = np.sinh(self.end), np.cosh(self.end)
        self.log_cosh_end = 0.5 * np.log1p(self.sinh_end**2)
        tanh = np.tanh(self.end)
        self.final_rate = np.exp(
            np.log(self.sigma)
            + (self.depth - 2.0) * self.log_cosh_end
            + np.log(1.0 / tanh + (self.depth - 1.0) * tanh)
        )

    def at(self, x: Array) -> tuple[Array, Array, Array]:
        """(s/sigma, 1 - s/sigma, dt/dx) at x, shape (n, k); each to a few roundings, relative."""
        fade = np.exp(-x)
        delta = self.end * fade
        theta = -self.end * np.expm1(-x)
        middle, half = theta + delta / 2.0, 2.0 * np.sinh(delta / 2.0)
        sinh_missing = np.cosh(middle) * half / self.sinh_end
        sinh, cosh = np.sinh(theta), np.cosh(theta)
        log_ratio = -np.log1p(np.sinh(middle) * half / cosh)
        missing = sinh_missing - (1.0 - sinh_missing) * np.expm1((self.depth - 1.0) * log_ratio)
        shrink = np.exp((self.depth - 2.0) * log_ratio)
        part = sinh / self.sinh_end * (shrink * cosh / self.cosh_end)
        speed = self.sigma * np.exp((self.depth - 2.0) * self.log_cosh_end) * shrink
        return part, missing, delta / (speed * missing)

    def place(self, s: Array, missing: Array) -> Array:
        """x at the singular value s, where 1 - s/sigma = `missing` in (0, 1); all (n, 1)."""
        early = -np.log1p(-np.minimum(theta_at(s, self.depth) / self.end, 1.0 - 1e-12))
        speed = self.sigma * np.exp((self.depth - 2.0) * self.log_cosh_end)
        late = -np.log(missing * speed / (self.end * self.final_rate))
        x = np.where(missing < 1e-3, late, early)
        # Newton on log(1 - s/sigma), nearly -x + constant, where theta* - theta has cancelled.
        for _ in range(4):
            part, here, _ = self.at(x)
            tanh = np.tanh(-self.end * np.expm1(-x))
            fall = self.end * np.exp(-x) * part * (1.0 / tanh + (self.depth - 1.0) * tanh) / here
            x = np.where(missing < 0.5, x + np.log(here / missing) / fall, x)
        return x


def theta_at(s: Array, depth: Array) -> Array:
    """theta with sinh(theta) cosh(theta)^(L-1) = s > 0, to a rounding error; broadcasts.

    Newton on v + (L-1)/2 log(1 + e^(2v)) = log s, v = log sinh(theta): convex and increasing, so
    from v = log s, right of the root, it comes down monotonically.
    """
    goal = np.log(s)
    v = goal + 0.0 * depth
    for _ in range(200):
        excess = v - goal + (depth - 1.0) / 2.0 * np.logaddexp(0.0, 2.0 * v)
        slope = 1.0 + (depth - 1.0) / (1.0 + np.exp(-2.0 * v))
        step = excess / slope
        v = v - step
        if np.all(np.abs(step) <= 1e-15 * np.maximum(1.0, np.abs(v))):
            break
    return np.arcsinh(np.exp(v))


@cache
def _integrals() -> Array:
    """Integrals of the interpolant through the Gauss points, from 0 to each of them."""
    points, _ = gauss_legendre(NODES)
    basis = np.linalg.inv(np.polynomial.legendre.legvander(2.0 * points - 1.0, NODES - 1))
    return (
        np.array(
            [
                np.polynomial.legendre.legval(2.0 * points - 1.0, integral) / 2.0
                for integral in np.polynomial.legendre.legint(np.eye(NODES), lbnd=-1.0, axis=1)
            ]
        ).T
        @ basis
    )


def _knots(orbit: Orbit) -> Array:
    """Panel ends in x, common to the orbits at hand.

    On a panel x(t) and s/t must be smooth. For large targets and depths s all but blows up, like
    y' = e^(y^2 / 2) with y^2 = 2 L log cosh(theta): what is bounded is the sum of the increments
    of x / WIDTH, 2 y and y^2. That leaves 1e-11.
    """
    steepest = int(np.argmax(orbit.depth * orbit.log_cosh_end))
    x = np.linspace(0.0, TAIL[0], 257)
    theta = -orbit.end[steepest] * np.expm1(-x)
    y = np.sqrt(2.0 * orbit.depth[steepest] * np.log(np.cosh(theta)))
    measure = x / WIDTH + 2.0 * y + y**2
    inner = np.linspace(0.0, measure[-1], int(np.ceil(measure[-1])) + 1)
    return np.concatenate([np.interp(inner[:-1], measure, x), TAIL])


class Table:
    """s / (sigma t), or -log(1 - s/sigma) where the gap is asked for, as polynomials of time."""

    def __init__(self, sigma: Array, depth: Array, gap: bool) -> None:
        orbit = Orbit(sigma, depth)
        self.gap = gap
        points, weights = gauss_legendre(NODES)
        knots = _knots(orbit)
        width = np.diff(knots)
        x = (knots[:-1, None] + width[:, None] * points).reshape(1, -1)
        part, missing, slope = (value.reshape(sigma.size, width.size, -1) for value in orbit.at(x))
        slope *= width[:, None]
        # The whole panel by the Gauss rule, exact to rounding: a late time is a sum of all panels
        # and enters multiplied by the rate there. Points inside err by 1e-13 of one panel.
        self.length = slope @ weights
        time = slope @ _integrals().T
        self.start = np.zeros((sigma.size, width.size + 1))
        np.cumsum(self.length, axis=1, out=self.start[:, 1:])
        # Division by t keeps relative accuracy next to 0, where s = sigma t.
        values = -np.log(missing) if gap else part / (self.start[:, :-1, None] + time)
        self.coefficients = _interpolate(2.0 * time / self.length[:, :, None] - 1.0, values)
        self.final_rate = orbit.final_rate[:, 0]

    def read(self, rows: Array, time: Array) -> Array:
        """Values at times (1 or rows, n) for the given table rows; (rows, n)."""
        panels = self.length.shape[1]
        end = self.start[rows, -1:]
        inside = np.minimum(time, end)
        index = np.empty(inside.shape, dtype=np.intp)
        for i, row in enumerate(rows):
            index[i] = self.start[row, 1:-1].searchsorted(inside[i], side="right")
        index += (rows * panels)[:, None]
        flat = self.coefficients.reshape(NODES, -1)
        tau = inside - np.take(self.start[:, :-1].reshape(-1), index, mode="clip")
        tau /= np.take(self.length.reshape(-1), index, mode="clip") / 2.0
        tau -= 1.0
        value = np.take(flat[NODES - 1], index, mode="clip")
        term = np.empty_like(value)
        for power in range(NODES - 2, -1, -1):
            value *= tau
            value += np.take(flat[power], index, out=term, mode="clip")
        if not self.gap:
            value *= inside
            np.copyto(value, 1.0, where=time >= end)
            return value
        with np.errstate(over="ignore"):
            value += np.maximum(time - end, 0.0) * self.final_rate[rows, None]
        return -np.exp(-value)


def _interpolate(nodes: Array, values: Array) -> Array:
    """Monomial coefficients (n, ...) of the polynomials through (nodes, values), both (..., n)."""
    count = nodes.shape[-1]
    node = np.ascontiguousarray(np.moveaxis(nodes, -1, 0))
    divided = np.moveaxis(values, -1, 0).copy()
    for order in range(1, count):
        divided[order:] -= divided[order - 1 : -1].copy()
        divided[order:] /= node[order:] - node[:-order]
    result = np.zeros_like(divided)
    result[0] = divided[-1]
    for i in range(count - 2, -1, -1):
        filled = count - 1 - i
        shifted = result[:filled].copy()
        result[:filled] *= -node[i]
        result[0] += divided[i]
        result[1 : filled + 1] += shifted
    return result
