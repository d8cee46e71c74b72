r"""Theorem 4's step, certified: one step of shared descent, by algebra; what is false, on boxes.

The claim is `theory.theorems.admissible`'s sharper form: R_k <= (1 - eta L m^p)^(2k) R_0 for eta
at most 1 / (L M^p), M = max(1, lmax), m = min(1, lmin), p = 2 - 2/L. It follows by induction
from one step of one eigenvalue phi, at every eta up to its own step 1 / (L max(1, phi)^p): no
spectrum that contains it allows a longer one. With v = phi^(1/L) and w between 1 and v, write

    w = v + (1 - v) g,  g in [0, 1] (1 the start, 0 the target),  eta = part / (L max(1, phi)^p);

one step goes the fraction k = eta w^(L-1) h_(L-1)(w, v) of the way from w to v, where
h_n(a, b) = sum_i a^i b^(n-i). Two things are to be certified:

    covered = k <= 1:  the step does not pass the target, so the next place is in [0, 1] again;
    slack = (1 - eta L min(1, phi)^p - (phi - s+) / (phi - s)) / (eta L) >= 0.

Every difference in the slack divides out, so that what is left has only positive terms:

    phi <= 1:  L slack = (w - v) (sum_j v^(L-1-j) h_(L-2+j)(w, v)
                                  + (1 - k) w^(L-1) sum_j v^(L-1-j) h_(j-1)(w, w+)),
    phi >= 1:  slack = (w - 1) h_(2L-3)(w, 1) + w^(2L-2) sum_(j>=2) C(L, j) d^(j-1) / L,

d = eta w^(L-2) (phi - s) the relative step of w. `identity` certifies both lines, and `covered`, by
exact algebra at each depth that is asked for, from the update rule: identities of polynomials, so
for EVERY eigenvalue, place and step, and no box is needed. Boxes decide what is false, sharply,
thanks to the division by eta L: a rate 1 % larger is refuted next to the target (phi < 1) or at the
start (phi > 1), a step 1 % longer overshoots, and one 2 % longer than twice repels (phi >= 1).

The paper's inequality follows, as L m^p >= L m^2 for m <= 1 and (1 - x)^2 <= e^(-2x); and the
paper's step is shorter. Reference: Yang et al., arXiv 2110.03848, Theorem 4.
"""

from collections.abc import Callable
from math import comb, inf
from typing import Any, NamedTuple

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


class _Step(NamedTuple):
    """One step on a box: all intervals."""

    v: Any
    g: Any
    w: Any
    eta: Any
    k: Any


def covered(target: Box, place: Box, part: Box, depth: int) -> Enclosure:
    """k, the fraction of the way from w to v that one step goes; the claim is k <= 1.

    `target`: eigenvalues phi, all <= 1 or all >= 1; `place`: g inside [0, 1]; `part`: eta over the
    eigenvalue's own admissible step, >= 0, the claim being made up to 1; `depth` >= 1. ValueError
    naming the argument outside.
    """
    with precision():
        return enclosure(_step(target, place, part, depth).k)


def slack(target: Box, place: Box, part: Box, depth: int, factor: str = "1") -> Enclosure:
    """(1 - factor x eta L min(1, phi)^p - (phi - s+) / (phi - s)) / (eta L); the claim is >= 0.

    Below zero it refutes the rate factor x L min(1, phi)^p. `factor` a decimal string, so that it
    is enclosed too. Arguments and errors as for `covered`.
    """
    with precision():
        step = _step(target, place, part, depth)
        more = iv.mpf(factor) - 1
        if target[1] <= 1.0:
            after = step.v + (1 - step.v) * step.g * (1 - step.k)
            sums = _below(step.v, step.w, after, step.k, depth) / depth
            value = (1 - step.v) * step.g * sums
            return enclosure(value - more * step.v ** (2 * depth - 2))
        rise = (step.v - 1) * (1 - step.g)
        gap = (step.v - 1) * step.g * homogeneous(step.w, step.v, depth - 1)  # phi - s
        d = step.eta * gap * step.w ** (depth - 2)
        return enclosure(_above(rise, step.w, d, depth) - more)


def shrinkage(target: Box, place: Box, part: Box, depth: int) -> Enclosure:
    """(phi - s+) / (phi - s) = (1 - k) h_(L-1)(w+, v) / h_(L-1)(w, v), by its definition.

    Below -1 the step repels from the target. Arguments and errors as for `covered`.
    """
    with precision():
        step = _step(target, place, part, depth)
        ahead = (1 / step.v - 1) * step.g  # w / v - 1: in units of v a box of targets matters less
        after, before = 1 + ahead * (1 - step.k), 1 + ahead
        one = iv.mpf(1)
        quotient = homogeneous(after, one, depth - 1) / homogeneous(before, one, depth - 1)
        return enclosure((1 - step.k) * quotient)


Terms = Callable[..., Any]


def _fraction(part: Any, w: Any, v: Any, depth: int) -> Any:
    """k for eta = part / L: part w^(L-1) h_(L-1)(w, v) / L."""
    # The division last: the most that the sum can be, L, must give 1 and not a rounding more.
    return part * w ** (depth - 1) * homogeneous(w, v, depth - 1) / depth


def _below(v: Any, w: Any, after: Any, k: Any, depth: int) -> Any:
    """L slack / (w - v) of phi <= 1; `after` is the next place of w."""
    first = second = 0 * w
    for j in range(depth):
        scale = v ** (depth - 1 - j)
        if depth > 1:
            first += scale * homogeneous(w, v, depth - 2 + j)
        if j:
            second += scale * homogeneous(w, after, j - 1)
    return first + (1 - k) * w ** (depth - 1) * second


def _above(rise: Any, w: Any, d: Any, depth: int) -> Any:
    """The slack of phi >= 1; `rise` is w - 1, given apart so that no difference is enclosed."""
    first = rise * homogeneous(w, w**0, 2 * depth - 3) if depth > 1 else 0 * w
    tail = 0 * w
    for j in range(depth, 1, -1):
        tail = (tail + comb(depth, j)) * d
    return first + w ** (2 * depth - 2) * tail / depth


def identity(
    depth: int,
    factor: str = "1",
    reach: str = "1",
    below: Terms = _below,
    above: Terms = _above,
) -> bool:
    """Whether one step, eta up to `reach` times the proved one, shrinks by 1 - factor x eta L m^p.

    From w+ = w - eta w^(L-1) (w^L - v^L), in QQ[v, w, k, d]: that k is the fraction of the way, at
    most `reach` (its coefficients are positive, so it is largest at w = v = 1); that the slack is
    the sum of the module docstring, for phi <= 1 by k, for phi >= 1 by d, up to (1 - factor) m^p;
    and that the sums have positive coefficients in v, w, w+, 1 - k and w - 1, w, d. All of it and
    factor <= 1 certify the claim for every eigenvalue > 0 at this depth >= 2 (ValueError below it).
    """
    if depth < 2:
        raise ValueError("depth must be >= 2: for L = 1 the rate is exact")
    v, w, k, d, rise = polynomials("v", "w", "k", "d", "rise")
    one, more = w**0, rational(factor) - 1
    slow = depth * v ** (2 * depth - 2)  # L phi^p
    gap, product = w**depth - v**depth, w ** (depth - 1) * homogeneous(w, v, depth - 1)
    way = _fraction(rational(reach) * one, w, v, depth)
    y = rise  # w / v
    moves = (
        # k (w - v) = eta w^(L-1) (w^L - v^L): with eta = 1 / L, and with 1 / (L v^(2L-2)), w = y v.
        depth * _fraction(one, w, v, depth) * (w - v) == w ** (depth - 1) * gap
        and slow * _fraction(one, y, one, depth) * (y - 1) * v
        == (y * v) ** (depth - 1) * ((y * v) ** depth - v**depth)
        and positive(way)
        and sum(way.coeffs()) <= 1
    )
    # phi <= 1, with eta = k / product: (1 - shrinkage) gap / eta - factor L phi^p gap.
    after = w - k * (w - v)
    fallen = (w**depth - after**depth).exquo(k) * product
    low = fallen - (1 + more) * slow * gap == gap * (
        (w - v) * below(v, w, after, k, depth) - more * slow
    )
    # phi >= 1, with eta (phi - s) = d / w^(L-2) and w+ = w (1 + d): slack L d.
    risen = w ** (depth - 2) * ((w + w * d) ** depth - w**depth)
    high = risen - (1 + more) * depth * d == depth * d * (above(w - 1, w, d, depth) - more)
    signs = positive(below(v, w, d, 1 - k, depth)) and positive(above(rise, w, d, depth))
    return moves and low and high and signs and more <= 0


def _step(target: Box, place: Box, part: Box, depth: int) -> _Step:
    phi = _target(target, depth)
    if target[0] < 1.0 < target[1]:
        raise ValueError("target must be an interval on one side of 1")
    v = root(phi, depth)
    g, part_ = interval("place", place, 0.0, 1.0), interval("part", part, 0.0, inf)
    if target[1] <= 1.0:
        v = iv.mpf([v.a, min(v.b, iv.mpf(1))])  # the root of 1 is rounded outwards
        w = 1 - (1 - v) * (1 - g)
        eta = part_ / depth
        k = _fraction(part_, w, v, depth)
    else:
        v = iv.mpf([max(v.a, iv.mpf(1)), v.b])
        w = 1 + (v - 1) * (1 - g)
        eta = part_ / (depth * v ** (2 * depth - 2))
        y = 1 - (1 - 1 / v) * g  # w / v
        k = _fraction(part_, y, iv.mpf(1), depth)
    return _Step(v, g, w, eta, k)


def _target(target: Box, depth: int) -> Any:
    if depth < 1:
        raise ValueError("depth must be >= 1")
    phi = interval("target", target, 0.0, inf)
    if not (target[0] > 0.0 and target[1] < inf):
        raise ValueError("target must be an interval above zero, finite")
    return phi
