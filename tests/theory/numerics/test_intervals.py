"""Enclosures: boxes without gaps, ends rounded outwards, the caller's precision restored."""

from itertools import pairwise

import numpy as np
import pytest
from mpmath import iv

from theory.numerics.intervals import boxes, enclosure, homogeneous, interval, precision, root


def test_boxes_leave_no_gap() -> None:
    cells = boxes(0.01, 0.9, 7)
    assert (len(cells), cells[0][0], cells[-1][1]) == (7, 0.01, 0.9)
    assert all(one[1] == two[0] for one, two in pairwise(cells))
    assert boxes(1.0, 2.0, 1) == [(1.0, 2.0)]


def test_ends_are_rounded_outwards() -> None:
    with precision():
        third = enclosure(iv.mpf(1) / 3)
        assert third.low < 1 / 3 <= third.high or third.low <= 1 / 3 < third.high
        assert third.high - third.low < 1e-15
        # A sign must survive what no float can hold.
        assert enclosure(iv.mpf("1e-400")).high > 0.0
        assert enclosure(-iv.mpf("1e-400")).low < 0.0
        assert enclosure(iv.mpf([0, 1])) == (0.0, 1.0)


def test_homogeneous_and_root() -> None:
    with precision():
        found = enclosure(homogeneous(iv.mpf(0.5), iv.mpf(2), 5))
        np.testing.assert_allclose(found, (0.5**6 - 2.0**6) / (0.5 - 2.0), rtol=1e-15)
        assert enclosure(homogeneous(iv.mpf([0, 1]), iv.mpf([0.25, 1]), 3)) == (0.25**3, 4.0)
        assert enclosure(homogeneous(iv.mpf(3), iv.mpf(4), 0)) == (1.0, 1.0)
        low, high = enclosure(root(iv.mpf([8, 27]), 3))
        np.testing.assert_allclose((low, high), (2.0, 3.0), rtol=1e-15)
        assert low <= 2.0 < 3.0 <= high


def test_settings_and_refusals() -> None:
    before = iv.prec
    with precision():
        assert iv.prec == 128
    with pytest.raises(ZeroDivisionError), precision():
        raise ZeroDivisionError
    assert iv.prec == before
    for box in ((-0.1, 0.5), (0.6, 0.5), (0.5, 1.1), (float("nan"), 0.5)):
        with pytest.raises(ValueError, match="place"):
            interval("place", box, 0.0, 1.0)
    for low, high, count in ((0.0, 1.0, 2), (0.5, 0.5, 2), (0.5, 1.0, 0)):
        with pytest.raises(ValueError, match="low"):
            boxes(low, high, count)
