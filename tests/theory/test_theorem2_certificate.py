"""The interval certificate: encloses the truth, decides the signs, and would notice 1 %."""

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from mpmath import iv

from theory import bounds, shared_flow
from theory.theorem2_certificate import boxes, excess, prose_excess, slack

CASES = [(0.2, "0.9"), (0.5, "0.01"), (0.8, "1e-5")]


@pytest.mark.parametrize(("c", "distance"), CASES)
def test_slack_encloses_the_flow_s_own(c: float, distance: str) -> None:
    phi, r = c**2, c + (1.0 - c) * float(distance)
    time = float(shared_flow.time_to(r**2, phi, 4))
    fall = 2.0 * np.log((1.0 - phi) / (r**2 - phi))
    truth = fall - 8.0 * phi**1.5 * time
    found = slack((c, c), distance)
    assert found.low <= found.high
    np.testing.assert_allclose(found.low, truth, rtol=1e-8)  # r^2 - c^2 loses 1e-11 at 1e-5
    wide = slack((c - 0.01, c + 0.01), distance)
    assert wide.low < truth < wide.high
    np.testing.assert_allclose(excess((c, c), distance).low, -truth, rtol=1e-8)
    np.testing.assert_allclose(excess((c, c), distance, "1.01").low, 0.01 * fall - 1.01 * truth,
                               rtol=1e-7)  # fmt: skip
    np.testing.assert_allclose(prose_excess((c, c), distance).low, 8.0 * phi * time - fall,
                               rtol=1e-7)  # fmt: skip


def test_slack_by_multiprecision_quadrature() -> None:
    c, g = mpmath.mpf("0.6"), mpmath.mpf("0.05")
    phi, s = c**2, (c + (1 - c) * g) ** 2
    with mpmath.workdps(30):
        integral = mpmath.quad(lambda x: (1 - (phi / x) ** 1.5) / (x - phi), [s, 1])
    np.testing.assert_allclose(slack((0.6, 0.6), "0.05").high, float(2 * integral), rtol=1e-12)
    assert abs(slack((0.6, 0.6), "0.0505").high / float(2 * integral) - 1.0) > 1e-4


def test_signs_on_boxes_that_leave_no_gap() -> None:
    cells = boxes(0.1, 0.95, 40)
    assert (cells[0][0], cells[-1][1]) == (0.1, 0.95)
    assert all(one[1] == two[0] for one, two in pairwise(cells))
    for cell in cells:
        assert all(excess(cell, g).high <= 0.0 for g in ("0.99", "0.3", "1e-8", "1e-300"))
        assert excess(cell, "1e-300", "1.01").low > 0.0
        assert prose_excess(cell, "1e-20").low > 0.0


def test_the_prose_is_false_and_the_theorem_is_not() -> None:
    w, eta, n = 1.0, 1e-3, 6000
    for _ in range(n):
        w -= eta * w**3 * (w**4 - 0.25)
    ratio = ((w**4 - 0.25) / 0.75) ** 2
    assert ratio > 11 * bounds.theorem2_prose(eta * n, 0.25, 4)
    assert ratio < bounds.theorem2_exact(eta * n, 0.25, 4) < bounds.theorem2(eta * n, 0.25, 4)
    exact = float(shared_flow.loss(6.0, [[0.25]], 4) / shared_flow.loss(0.0, [[0.25]], 4))
    # First order: eta = 1e-3 times rates of up to 3 times the 6 units of time, less their decay.
    np.testing.assert_allclose(ratio, exact, rtol=1e-2)


def test_settings_and_refusals() -> None:
    before = iv.prec
    slack((0.5, 0.5), "0.5")
    assert iv.prec == before
    for box, g in (((0.0, 0.5), "0.5"), ((0.6, 0.5), "0.5"), ((0.5, 1.0), "0.5")):
        with pytest.raises(ValueError, match="root_target"):
            slack(box, g)
    with pytest.raises(ValueError, match="distance"):
        slack((0.5, 0.5), "1.0")
    with pytest.raises(ValueError, match="low"):
        boxes(0.5, 0.5, 3)
