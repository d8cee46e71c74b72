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

**Certificate.** With v = phi^(1/L) < w = s^(1/L) <= 1, substituting x = u^L in the time's integral,

    log(R(0)/R) = 2 log((1 - v) h_(L-1)(1, v) / ((w - v) h_(L-1)(w, v))),
    log(R(0)/R) - 2 L phi^p t = 2 L int_w^1 u^(1-L) h_(2L-3)(u, v) / h_(L-1)(u, v) du =: slack,

h_n(a, b) = sum_i a^i b^(n-i). `identity` certifies the second line by exact algebra at each depth
that is asked for: along w' = -w^(L-1) (w^L - v^L) both sides have one derivative, an identity of
polynomials in u and v, and the integrand is a quotient of polynomials with positive coefficients.
So slack > 0 for EVERY lmin < 1 and every moment: no box is needed for that. What has no such form,
that a larger exponent and the prose's fail, is decided by boxes: the path from 1 to w is cut into
pieces and the integrand enclosed on each of them (theory.numerics.intervals), for a whole box of
targets; as slack grows along the path, the signs hold for every lmin in the box. Reference: Yang et
al., arXiv 2110.03848.
"""

from collections.abc import Callable
from typing import Any

from mpmath import iv

from theory.numerics.intervals import (
    Box,
    Enclosure,
    enclosure,
    homogeneous,
    interval,
    precision,
    root,
)
from theory.numerics.symbolic import polynomials, positive, rational

PIECES = 4
"""Pieces of the path from the start. Signs need few; an enclosure of width w needs about 1 / w."""


def _integrand(u: Any, v: Any, depth: int) -> tuple[Any, Any]:
    """Numerator and denominator of slack's integrand over 2 L."""
    return homogeneous(u, v, 2 * depth - 3), u ** (depth - 1) * homogeneous(u, v, depth - 1)


def identity(
    depth: int,
    factor: str = "1",
    integrand: Callable[[Any, Any, int], tuple[Any, Any]] = _integrand,
) -> bool:
    """Whether log(R(0)/R) - factor x 2 L phi^p t = 2 L int_w^1 `integrand` du, a positive one.

    With s = u^L the flow is u' = -u^(L-1) G, G = u^L - v^L, R ~ G^2, so per -du the left side grows
    by 2 G' / G - factor x 2 L v^(2L-2) / (u^(L-1) G): multiplied out, an identity in QQ[u, v]. True
    certifies R(t) <= exp(-factor x 2 L phi^p t) R(0) for all phi in (0, 1) and all t at this depth
    >= 2 (ValueError below it). `slack`, `excess` and `prose_excess` enclose the same integrand.
    """
    if depth < 2:
        raise ValueError("depth must be >= 2: for L = 1 the slack is zero")
    u, v = polynomials("u", "v")
    gap = u**depth - v**depth
    above, below = integrand(u, v, depth)
    grows = gap.diff(u) * u ** (depth - 1) - rational(factor) * depth * v ** (2 * depth - 2)
    same = grows * below == depth * above * u ** (depth - 1) * gap
    # `_log_fall` takes G as a product.
    return same and gap == (u - v) * homogeneous(u, v, depth - 1) and positive(above * below)


def slack(target: Box, distance: str, depth: int, pieces: int = PIECES) -> Enclosure:
    """log(R(0)/R) - 2 L phi^p t where w - v = (1 - v) distance, for all phi in `target`.

    `target` = (low, high) inside (0, 1); `distance` in (0, 1) as a decimal string, so that it is
    enclosed too: 1 is the start, 0 the target. `depth` >= 2. ValueError outside.
    """
    with precision():
        return enclosure(_slack(*_arguments(target, distance, depth), depth, pieces))


def excess(
    target: Box, distance: str, depth: int, factor: str = "1", pieces: int = PIECES
) -> Enclosure:
    """log(R/R(0)) + factor x 2 L phi^p t: above zero refutes the exponent factor x 2 L phi^p.

    Arguments and errors as for `slack`. With factor 1 it is -slack, never above zero; with any
    factor above one it is positive near the target.
    """
    with precision():
        v, g = _arguments(target, distance, depth)
        f = iv.mpf(factor)
        return enclosure((f - 1) * _log_fall(v, g, depth) - f * _slack(v, g, depth, pieces))


def prose_excess(target: Box, distance: str, depth: int, pieces: int = PIECES) -> Enclosure:
    """log(R/R(0)) + 2 L phi t, the prose's exponent: above zero refutes the prose.

    phi = phi^p v^(2-L), so this is `excess` with the factor v^(2-L): 1 for L = 2, more for any
    other depth. Arguments and errors as for `slack`.
    """
    with precision():
        v, g = _arguments(target, distance, depth)
        f = 1 / v ** (depth - 2)
        return enclosure((f - 1) * _log_fall(v, g, depth) - f * _slack(v, g, depth, pieces))


def _slack(v: Any, g: Any, depth: int, pieces: int) -> Any:
    total = iv.mpf(0)
    for piece in range(pieces):
        # u = 1 - (1 - v) far, far from 0 to 1 - g: each box enters u once.
        ends = [(1 - g) * k / pieces for k in (piece, piece + 1)]
        far = iv.mpf([ends[0].a, ends[1].b])
        u = 1 - (1 - v) * far
        above, below = _integrand(u, v, depth)
        total += above / below / pieces
    return 2 * depth * (1 - v) * (1 - g) * total


def _log_fall(v: Any, g: Any, depth: int) -> Any:
    """log(R(0)/R)."""
    w = 1 - (1 - v) * (1 - g)
    return 2 * iv.log(homogeneous(iv.mpf(1), v, depth - 1) / (g * homogeneous(w, v, depth - 1)))


def _arguments(target: Box, distance: str, depth: int) -> tuple[Any, Any]:
    """v = phi^(1/L) and the distance, as intervals."""
    if depth < 2:
        raise ValueError("depth must be >= 2: for L = 1 the slack is zero")
    phi = interval("target", target, 0.0, 1.0)
    if not (target[0] > 0.0 and target[1] < 1.0):
        raise ValueError("target must be an interval inside (0, 1)")
    g = iv.mpf(distance)
    if not (g.a > 0 and g.b < 1):
        raise ValueError("distance must lie in (0, 1)")
    return root(phi, depth), g
