r"""Theorem 2's exponent, decided: lmin^(2 - 2/L); lmin^2 is not needed, the prose's lmin is false.

Shared flow from the identity, positive definite target, m = min(1, lmin), p = 2 - 2/L.

**Exact exponent.** R(t) <= exp(-2 L m^p t) R(0), and no larger constant will do. Proof: per
eigenvalue (s - phi)' = -L s^p (s - phi) with s between 1 and phi, so -R'/R is a mean of the
2 L s_i^p with weights (s_i - phi_i)^2, each at least 2 L min(1, phi_i)^p. If lmin < 1 its term
decays slowest, s -> lmin, and -R'/R -> 2 L lmin^p; if lmin >= 1 then -R'/R = 2 L at t = 0. So the
theorem's lmin^2 is never attained at a finite L, and is the best power of lmin free of L.

**Prose.** "lmin" in place of lmin^2 holds for L <= 2, where p <= 1, and fails for every L > 2 and
lmin < 1 once t is large, where p > 1. A counter-example that needs no library, L = 4, Phi = (1/4):

    w, eta, n = 1.0, 1e-3, 6000
    for _ in range(n): w -= eta * w**3 * (w**4 - 0.25)
    print(((w**4 - 0.25) / 0.75) ** 2, 2.718281828459045 ** (-2 * 4 * 0.25 * eta * n))

prints a loss ratio twelve times the "bound". `prose_excess` certifies it for the flow itself.

**Certificate.** For L = 4 everything is elementary. With c = sqrt(phi), r = sqrt(s), c < r <= 1,

    log(R(0)/R) = 2 log((1 - c^2) / (r^2 - c^2)),
    log(R(0)/R) - 2 L phi^p t = 4 log((1 + c) / (r + c)) + 4 c (1/r - 1) =: slack >= 0,

evaluated in interval arithmetic (mpmath.iv, outward rounding) on boxes that cover a range of c, so
the signs below are proved for all c in the range. Reference: Yang et al., arXiv 2110.03848.
"""

from itertools import pairwise
from typing import Any, NamedTuple

from mpmath import iv

PRECISION = 128
"""Bits. r - c = (1 - c) g enters by its own formula, so no precision is lost next to c."""


class Enclosure(NamedTuple):
    """An interval that contains the true value, as two floats rounded outwards enough to read."""

    low: float
    high: float


def slack(root_target: tuple[float, float], distance: str) -> Enclosure:
    """log(R(0)/R) - 2 L phi^p t at r = c + (1 - c) distance, L = 4, all c in `root_target`.

    `root_target` = (low, high) inside (0, 1) encloses c = sqrt(phi); `distance` in (0, 1) as a
    decimal string, so that it is enclosed too. ValueError outside.
    """
    with _Precision():
        c, g = _box(root_target, distance)
        return _enclosure(_slack(c, g))


def excess(root_target: tuple[float, float], distance: str, factor: str = "1") -> Enclosure:
    """log(R/R(0)) + factor x 2 L phi^p t: above zero refutes the exponent factor x 2 L phi^p.

    L = 4; arguments as for `slack`. With factor 1 it is -slack, never above zero; with any factor
    above one it is positive near the target. ValueError as for `slack`.
    """
    with _Precision():
        c, g = _box(root_target, distance)
        return _enclosure((iv.mpf(factor) - 1) * _log_fall(c, g) - iv.mpf(factor) * _slack(c, g))


def prose_excess(root_target: tuple[float, float], distance: str) -> Enclosure:
    """log(R/R(0)) + 2 L phi t, the prose's exponent, L = 4: above zero refutes the prose.

    phi = phi^p / c for L = 4, so this is `excess` with the factor 1/c. ValueError as for `slack`.
    """
    with _Precision():
        c, g = _box(root_target, distance)
        return _enclosure((1 / c - 1) * _log_fall(c, g) - _slack(c, g) / c)


def boxes(low: float, high: float, count: int) -> list[tuple[float, float]]:
    """Neighbouring boxes that cover [low, high]: shared end points, no gap. `count` >= 1."""
    if not (0.0 < low < high < 1.0 and count >= 1):
        raise ValueError("low and high must satisfy 0 < low < high < 1, count >= 1")
    ends = [low + (high - low) * k / count for k in range(count)] + [high]
    return list(pairwise(ends))


def _slack(c: Any, g: Any) -> Any:
    """Written so that both terms are logarithms or multiples of something visibly positive."""
    ahead = (1 - c) * (1 - g)  # 1 - r
    return 4 * iv.log(1 + ahead / (c * (2 - g) + g)) + 4 * c * ahead / (c * (1 - g) + g)


def _log_fall(c: Any, g: Any) -> Any:
    """log(R(0)/R), as (1 - c^2) / (r^2 - c^2) = (1 + c) / (g (r + c))."""
    return 2 * iv.log((1 + c) / (g * (2 * c + (1 - c) * g)))


def _box(root_target: tuple[float, float], distance: str) -> tuple[Any, Any]:
    low, high = root_target
    if not 0.0 < low <= high < 1.0:
        raise ValueError("root_target must be an interval inside (0, 1)")
    if not 0.0 < float(distance) < 1.0:
        raise ValueError("distance must lie in (0, 1)")
    return iv.mpf([low, high]), iv.mpf(distance)


def _enclosure(value: Any) -> Enclosure:
    """Ends as floats; signs survive the rounding to nearest."""
    return Enclosure(float(value.a.a), float(value.b.b))


class _Precision:
    """PRECISION bits inside, the caller's setting restored after."""

    def __enter__(self) -> None:
        self.before = iv.prec
        iv.prec = PRECISION

    def __exit__(self, *_: object) -> None:
        iv.prec = self.before
