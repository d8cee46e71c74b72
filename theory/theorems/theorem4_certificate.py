r"""Theorem 4's step, certified: one step of shared descent, on boxes of (eigenvalue, place, eta).

The claim is `theory.theorems.admissible`'s sharper form: R_k <= (1 - eta L m^p)^(2k) R_0 for eta
at most 1 / (L M^p), M = max(1, lmax), m = min(1, lmin), p = 2 - 2/L. It follows by induction
from one step of one eigenvalue phi, at every eta up to its own step 1 / (L max(1, phi)^p): no
spectrum that contains it allows a longer one. With v = phi^(1/L) and w between 1 and v, write

    w = v + (1 - v) g,  g in [0, 1] (1 the start, 0 the target),  eta = part / (L max(1, phi)^p);

one step goes the fraction k = eta w^(L-1) h_(L-1)(w, v) of the way from w to v, where
h_n(a, b) = sum_i a^i b^(n-i). Two things are to be certified:

    covered = k <= 1:  the step does not pass the target, so the next place is in [0, 1] again;
    slack = (1 - eta L min(1, phi)^p - (phi - s+) / (phi - s)) / (eta L) >= 0.

Every difference in the slack divides out by hand, so that what is left has only positive terms:

    phi <= 1:  L slack = (w - v) (sum_j v^(L-1-j) h_(L-2+j)(w, v)
                                  + (1 - k) w^(L-1) sum_j v^(L-1-j) h_(j-1)(w, w+)),
    phi >= 1:  slack = (w - 1) h_(2L-3)(w, 1) + w^(2L-2) sum_(j>=2) C(L, j) d^(j-1) / L,

d = eta w^(L-2) (phi - s) the relative step of w. The factor w - v of the first leaves something
above zero, enclosed by `margin`; the second vanishes only at w = 1 with eta = 0. The division by
eta L makes the certificate sharp: a rate 1 % larger is refuted next to the target (phi < 1) or at
the start (phi > 1), a step 1 % longer overshoots, and one 2 % longer than twice repels (phi >= 1).

The paper's inequality follows where L m^p > (L - 1) m^2, `implication`, as (1 - x)^2 <= e^(-2x);
and the paper's step is shorter. Reference: Yang et al., arXiv 2110.03848, Theorem 4.
"""

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
            value = (1 - step.v) * step.g * _margin(step, depth)
            return enclosure(value - more * step.v ** (2 * depth - 2))
        return enclosure(_slack_above(step, depth) - more)


def margin(target: Box, place: Box, part: Box, depth: int) -> Enclosure:
    """slack / (w - v) for eigenvalues <= 1: the claim, without the zero at the target, is > 0.

    For L >= 2 (0 for L = 1, where the rate is exact). Arguments and errors as for `covered`.
    """
    if target[1] > 1.0:
        raise ValueError("target must be an interval inside (0, 1]")
    with precision():
        return enclosure(_margin(_step(target, place, part, depth), depth))


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


def implication(target: Box, depth: int) -> Enclosure:
    """L m^p - (L - 1) m^2 over m^2, m in `target` inside (0, 1]: above zero, THM4 follows."""
    with precision():
        m = _target(target, depth)
        if target[1] > 1.0:
            raise ValueError("target must be an interval inside (0, 1]")
        return enclosure(depth / root(m, depth) ** 2 - (depth - 1))


def _margin(step: _Step, depth: int) -> Any:
    after = step.v + (1 - step.v) * step.g * (1 - step.k)
    first = second = iv.mpf(0)
    for j in range(depth):
        scale = step.v ** (depth - 1 - j)
        if depth > 1:
            first += scale * homogeneous(step.w, step.v, depth - 2 + j)
        if j:
            second += scale * homogeneous(step.w, after, j - 1)
    return (first + (1 - step.k) * step.w ** (depth - 1) * second) / depth


def _slack_above(step: _Step, depth: int) -> Any:
    w, above = step.w, (step.v - 1) * (1 - step.g)  # w - 1
    first = above * homogeneous(w, iv.mpf(1), 2 * depth - 3) if depth > 1 else iv.mpf(0)
    gap = (step.v - 1) * step.g * homogeneous(w, step.v, depth - 1)  # phi - s
    d = step.eta * gap * w ** (depth - 2)
    tail = iv.mpf(0)
    for j in range(depth, 1, -1):
        tail = (tail + comb(depth, j)) * d
    return first + w ** (2 * depth - 2) * tail / depth


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
        # The division last: the most that the sum can be, L, must give 1 and not a rounding more.
        k = part_ * w ** (depth - 1) * homogeneous(w, v, depth - 1) / depth
    else:
        v = iv.mpf([max(v.a, iv.mpf(1)), v.b])
        w = 1 + (v - 1) * (1 - g)
        eta = part_ / (depth * v ** (2 * depth - 2))
        y = 1 - (1 - 1 / v) * g  # w / v
        k = part_ * y ** (depth - 1) * homogeneous(y, iv.mpf(1), depth - 1) / depth
    return _Step(v, g, w, eta, k)


def _target(target: Box, depth: int) -> Any:
    if depth < 1:
        raise ValueError("depth must be >= 1")
    phi = interval("target", target, 0.0, inf)
    if not (target[0] > 0.0 and target[1] < inf):
        raise ValueError("target must be an interval above zero, finite")
    return phi
