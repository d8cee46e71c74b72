"""The interval certificate: encloses the truth, decides the signs, and would notice 1 %."""

from typing import Any

import mpmath
import numpy as np
import pytest

from theory.linear import shared_flow
from theory.numerics.intervals import boxes
from theory.theorems import bounds, theorem2_certificate
from theory.theorems.theorem2_certificate import excess, identity, prose_excess, slack

CASES = [(0.2, "0.9", 2), (0.5, "0.01", 3), (0.8, "1e-5", 4), (0.05, "0.3", 8), (0.3, "0.1", 16)]


@pytest.mark.parametrize(("phi", "distance", "depth"), CASES)
def test_slack_encloses_the_flow_s_own(phi: float, distance: str, depth: int) -> None:
    v = phi ** (1.0 / depth)
    s = (v + (1.0 - v) * float(distance)) ** depth
    time = float(shared_flow.time_to(s, phi, depth))
    fall = 2.0 * np.log((1.0 - phi) / (s - phi))
    rate = 2.0 * depth * phi ** (2.0 - 2.0 / depth)
    truth = fall - rate * time
    found = slack((phi, phi), distance, depth, pieces=400)
    assert found.low < truth < found.high
    # Narrow enough to notice 1 %, with 400 pieces.
    assert 0.99 * truth < found.low < found.high < 1.01 * truth
    wide = slack((0.98 * phi, 1.02 * phi), distance, depth, pieces=400)
    assert wide.low < found.low < found.high < wide.high
    over = excess((phi, phi), distance, depth, "1.01", pieces=400)
    width = 3.0 * (found.high - found.low)
    np.testing.assert_allclose(over, 0.01 * fall - 1.01 * truth, atol=width)
    prose = prose_excess((phi, phi), distance, depth, pieces=400)
    prose_rate = 2.0 * depth * phi
    np.testing.assert_allclose(
        prose, prose_rate * time - fall, atol=width * phi ** (2.0 / depth - 1.0)
    )


def test_slack_by_multiprecision_quadrature() -> None:
    phi, g, depth = mpmath.mpf("0.36"), mpmath.mpf("0.05"), 6
    v = phi ** (mpmath.mpf(1) / depth)
    s, p = (v + (1 - v) * g) ** depth, mpmath.mpf(2) - mpmath.mpf(2) / depth
    with mpmath.workdps(30):
        integral = mpmath.quad(lambda x: (1 - (phi / x) ** p) / (x - phi), [s, 1])
    found = slack((0.36, 0.36), "0.05", depth, pieces=400)
    assert found.low < float(2 * integral) < found.high
    assert found.high - found.low < 0.01 * float(2 * integral)


@pytest.mark.parametrize("depth", [2, 3, 5, 8, 16])
def test_identity_is_refused_with_a_wrong_coefficient(depth: int) -> None:
    assert identity(depth)
    assert not identity(depth, "1.01")
    assert not identity(depth, "0.99")
    right = theorem2_certificate._integrand
    assert not identity(depth, "1", lambda u, v, n: (right(u, v, n)[0] + u * v, right(u, v, n)[1]))
    for place in (0, 1):

        def wrong(u: Any, v: Any, n: int, place: int = place) -> tuple[Any, Any]:
            parts = list(right(u, v, n))
            parts[place] += parts[place].leading_term()  # one coefficient 2, not 1
            return parts[0], parts[1]

        assert not identity(depth, "1", wrong)
    with pytest.raises(ValueError, match="depth"):
        identity(1)


def test_identity_is_the_integrand_that_is_enclosed(monkeypatch: pytest.MonkeyPatch) -> None:
    phi, depth = 0.36, 6
    before = slack((phi, phi), "0.05", depth)
    right = theorem2_certificate._integrand
    monkeypatch.setattr(
        theorem2_certificate,
        "_integrand",
        lambda u, v, n: (2 * right(u, v, n)[0], right(u, v, n)[1]),
    )
    np.testing.assert_allclose(slack((phi, phi), "0.05", depth), 2 * np.array(before), rtol=1e-12)


@pytest.mark.parametrize("depth", [2, 3, 4, 8, 16])
def test_signs_on_boxes_that_leave_no_gap(depth: int) -> None:
    for cell in boxes(0.01, 0.9, 8):
        assert all(excess(cell, g, depth).high <= 0.0 for g in ("0.99", "0.3", "1e-9999"))
        assert excess(cell, "1e-9999", depth, "1.01").low > 0.0
        if depth > 2:
            assert prose_excess(cell, "1e-9999", depth).low > 0.0
        else:
            assert prose_excess(cell, "1e-9999", depth).high <= 0.0  # p = 1: the prose is true


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


def test_refusals() -> None:
    for box in ((0.0, 0.5), (0.6, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="target"):
            slack(box, "0.5", 4)
    for distance in ("1.0", "0", "-0.1"):
        with pytest.raises(ValueError, match="distance"):
            slack((0.5, 0.5), distance, 4)
    with pytest.raises(ValueError, match="depth"):
        slack((0.5, 0.5), "0.5", 1)
