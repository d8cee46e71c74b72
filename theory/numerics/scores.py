"""How large the largest of many |z| is by chance: the word that a z of a long list needs."""

import numpy as np
from scipy.special import erfc, ndtri


def typical_largest(count: int, share: float = 0.5) -> float:
    """z below which the largest of `count` independent |normals| stays in `share` of all cases.

    (2 Phi(z) - 1)^count = share. Dependent scores have a smaller one (Sidak 1967), so it is never
    too small. ValueError unless count >= 1 and 0 < share < 1.
    """
    _check(count)
    if not 0.0 < share < 1.0:
        raise ValueError("share must lie in (0, 1)")
    tail = -np.expm1(np.log(share) / count)  # 1 - share^(1/count), exact for many
    return float(-ndtri(tail / 2.0))


def chance_of_largest(z: float, count: int) -> float:
    """Probability that the largest of `count` independent |normals| is `z` or more.

    1 - (2 Phi(z) - 1)^count; an upper limit for dependent ones. ValueError unless z >= 0 and
    count >= 1.
    """
    _check(count)
    if not z >= 0.0:
        raise ValueError("z must be >= 0")
    with np.errstate(divide="ignore"):  # z = 0: log 0, and the chance is 1
        return float(-np.expm1(count * np.log1p(-erfc(z / 2.0**0.5))))


def _check(count: int) -> None:
    if not (count >= 1 and count == int(count)):
        raise ValueError("count must be an integer >= 1")
