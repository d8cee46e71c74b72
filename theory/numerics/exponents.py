"""Exponents of the depth: slopes of log against log, with the range of local slopes.

The data are exact, so there is no sampling error. What is uncertain is whether the curve is a power
at all; the interval therefore is the range of the slopes between neighbouring depths within the
window. A true power law has an interval of width zero.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

WINDOW = 64
"""Fits start at this depth where there are enough deeper ones: shallow nets are not asymptotic."""


def depth_exponent(depth: ArrayLike, value: ArrayLike, first: int = WINDOW) -> dict[str, Any]:
    """Least-squares slope of log value against log depth for depths >= `first`, and its interval.

    Returns {"slope", "low", "high", "window": [first, last depth]}; low and high are the least and
    the largest slope between neighbouring depths in the window. `depth` increasing, `value` > 0,
    same shape (n,). ValueError unless the window holds two depths and all values are positive.
    """
    L, y = np.asarray(depth, dtype=np.float64), np.asarray(value, dtype=np.float64)
    inside = first <= L
    if L.shape != y.shape or np.count_nonzero(inside) < 2:
        raise ValueError("depth must have the shape of value and hold two depths in the window")
    if not np.all((y > 0.0) & np.isfinite(y)) or not np.all(np.diff(L) > 0.0):
        raise ValueError("value must be > 0 and finite, depth increasing")
    x, z = np.log(L[inside]), np.log(y[inside])
    local = np.diff(z) / np.diff(x)
    return {
        "slope": float(np.polyfit(x, z, 1)[0]),
        "low": float(np.min(local)),
        "high": float(np.max(local)),
        "window": [int(L[inside][0]), int(L[-1])],
    }
