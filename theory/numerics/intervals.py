"""Interval arithmetic for the certificates: what is proved on a box holds at every point of it.

mpmath.iv rounds outwards, so an enclosure contains the value at every point of the boxes that went
in. Formulae are written so that a sign is visible term by term and a box enters as few times as
possible; a difference of nearly equal intervals encloses the truth too, but decides nothing.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath
from mpmath import iv

PRECISION = 128
"""Bits. Distances to a target enter by themselves, so nothing is lost next to it."""

Box = tuple[float, float]
"""Both ends belong to it; they are floats, so they are what they say, without rounding."""


class Enclosure(NamedTuple):
    """An interval that contains the true value, as two floats rounded outwards."""

    low: float
    high: float


def boxes(low: float, high: float, count: int) -> list[Box]:
    """`count` neighbouring boxes that cover [low, high], equal in the logarithm: no gap.

    ValueError unless 0 < low < high and count >= 1.
    """
    if not (0.0 < low < high < math.inf and count >= 1):
        raise ValueError("low and high must satisfy 0 < low < high, count >= 1")
    inner = [low ** (1 - k / count) * high ** (k / count) for k in range(1, count)]
    return list(pairwise([low, *inner, high]))


@contextmanager
def precision() -> Iterator[None]:
    """PRECISION bits inside, the caller's setting restored after."""
    before = iv.prec
    iv.prec = PRECISION
    try:
        yield
    finally:
        iv.prec = before


def interval(name: str, box: Box, least: float, most: float) -> Any:
    """`box` as an interval; ValueError naming the argument unless it lies in [least, most]."""
    low, high = box
    if not least <= low <= high <= most:
        raise ValueError(f"{name} must be an interval inside [{least:g}, {most:g}]")
    return iv.mpf([low, high])


def root(value: Any, depth: int) -> Any:
    """value^(1 / depth) of an interval above zero."""
    return iv.exp(iv.log(value) / depth)


def homogeneous(a: Any, b: Any, degree: int) -> Any:
    """sum_i a^i b^(degree - i), that is (a^(degree + 1) - b^(degree + 1)) / (a - b), a, b >= 0.

    Sums of products of what is not negative: exact ends, and no division by a - b. Polynomials
    (`theory.numerics.symbolic`) may stand for a and b: what is enclosed is what is certified.
    """
    total = power = b**0
    for _ in range(degree):
        power *= b
        total = total * a + power
    return total


def enclosure(value: Any) -> Enclosure:
    """The ends as floats, rounded outwards, so that a sign read from them is a sign proved."""
    with mpmath.workprec(PRECISION):  # mpf() rounds to the setting of mpmath.mp, not of iv
        low, high = mpmath.mpf(value.a), mpmath.mpf(value.b)
    ends = float(low), float(high)
    return Enclosure(
        ends[0] if ends[0] <= low else math.nextafter(ends[0], -math.inf),
        ends[1] if ends[1] >= high else math.nextafter(ends[1], math.inf),
    )
