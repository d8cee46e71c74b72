"""Gauss-Legendre panels, and the bookkeeping by which one table serves many times.

Both flows give time as the integral of a positive, analytic function that tends to a constant:
composite Gauss-Legendre on panels of width two or less then reaches rounding error with every
term positive, hence without cancellation.
"""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORDER = 12
"""Nodes per panel: a singularity at distance pi and width 2 give an error of about 6.4^-24."""

BLOCK = 16384
"""Points handled together: few enough for the temporaries to stay in cache, and enough to make
the cost of numpy calls small; 16384 was the best power of two or within 5 % of it."""


@cache
def gauss_legendre(order: int = ORDER) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1]; shapes (order,), (order,)."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return (nodes + 1.0) / 2.0, weights / 2.0


def panel_integral(
    integrand: Callable[[Array], Array],
    low: Array,
    width: Array,
    panel_width: float = 2.0,
) -> Array:
    """Integral of `integrand` over [low, low + width], elementwise.

    `low`, `width`: (n,), width of either sign and finite. `integrand` maps (n, order) to the same
    shape, row i belonging to interval i. Returns (n,). Each interval is cut into the same number
    of equal panels, enough for the widest one.
    """
    nodes, weights = gauss_legendre()
    panels = max(1, int(np.ceil(np.max(np.abs(width), initial=0.0) / panel_width)))
    step = width / panels
    total = np.zeros_like(step)
    for panel in range(panels):
        x = low[:, None] + step[:, None] * (panel + nodes)
        total += integrand(x) @ weights
    return total * step


class PairGrid:
    """Broadcast (time, target, depth) and walk it in cache-sized blocks of (pairs, times).

    The axes on which target or depth vary are the pair axes, all others carry times only; a table
    is then built once per pair. A time grid common to all pairs is never copied out.
    """

    def __init__(self, time: Array, target: Array, depth: Array) -> None:
        self.shape = np.broadcast_shapes(time.shape, target.shape, depth.shape)
        pair_shape = np.broadcast_shapes(target.shape, depth.shape)
        pair_shape = (1,) * (len(self.shape) - len(pair_shape)) + pair_shape
        self._pair_axes = [i for i, n in enumerate(pair_shape) if n != 1]
        self._time_axes = [i for i, n in enumerate(pair_shape) if n == 1]
        self.target = np.broadcast_to(target, pair_shape).reshape(-1)
        self.depth = np.broadcast_to(depth, pair_shape).reshape(-1)
        columns = int(np.prod([self.shape[i] for i in self._time_axes], dtype=np.int64))
        time = time.reshape((1,) * (len(self.shape) - time.ndim) + time.shape)
        common = all(time.shape[i] == 1 for i in self._pair_axes)
        time = np.broadcast_to(
            time, [1 if common and i in self._pair_axes else n for i, n in enumerate(self.shape)]
        )
        rows = 1 if common else self.target.size
        self._time = time.transpose(self._pair_axes + self._time_axes).reshape(rows, columns)
        self.values = np.empty((self.target.size, columns))

    def blocks(self, chosen: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], Array, slice]]:
        """Yield (pair indices, times, column slice); times is (1 or pairs, columns)."""
        columns = self.values.shape[1]
        wide = max(1, min(BLOCK, columns))
        tall = max(1, BLOCK // wide)
        for first in range(0, chosen.size, tall):
            rows = chosen[first : first + tall]
            for left in range(0, columns, wide):
                cut = slice(left, left + wide)
                times = self._time[:, cut] if self._time.shape[0] == 1 else self._time[rows, cut]
                yield rows, times, cut

    def result(self) -> Array:
        """The values, back in the broadcast shape."""
        order = self._pair_axes + self._time_axes
        stacked = self.values.reshape([self.shape[i] for i in order])
        return stacked.transpose(np.argsort(np.array(order, dtype=np.intp)))
