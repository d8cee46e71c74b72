"""The certificate of one shared step: encloses the step itself, proves it, fails when it is false.

"The step itself" is the update rule in 60 digits, where no cancellation reaches the sixteenth.
"""

from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.claims.sharper import certify_theorem4
from theory.linear import descent
from theory.numerics.intervals import boxes
from theory.theorems import admissible, theorem4_certificate
from theory.theorems.theorem4_certificate import covered, identity, shrinkage, slack

WAY, UP_TO_ONE = (0.0, 1.0), (0.0, 1.0)
DEPTHS = [1, 2, 3, 4, 8, 16]


def one_step(phi: float, g: float, part: float, depth: int) -> tuple[float, float, float]:
    """k, (phi - s+) / (phi - s) and the slack, from w <- w - eta w^(L-1) (w^L - phi)."""
    with mpmath.workdps(60):
        target = mpmath.mpf(phi)
        v = target ** (mpmath.mpf(1) / depth)
        power = 2 - mpmath.mpf(2) / depth
        eta = part / (depth * max(1, target) ** power)
        w = v + (1 - v) * g
        after = w - eta * w ** (depth - 1) * (w**depth - target)
        shrunk = (target - after**depth) / (target - w**depth)
        gap = 1 - eta * depth * min(1, target) ** power - shrunk
        return float((w - after) / (w - v)), float(shrunk), float(gap / (eta * depth))


@settings(max_examples=80)
@given(st.floats(-4.0, 4.0), st.floats(1e-9, 1.0), st.floats(1e-6, 1.5), st.sampled_from(DEPTHS))
def test_encloses_the_update_rule(log_phi: float, g: float, part: float, depth: int) -> None:
    phi = float(np.exp(log_phi))
    if abs(phi - 1.0) < 1e-6:
        phi = 1.1
    arguments = ((phi, phi), (g, g), (part, part), depth)
    truths = one_step(phi, g, part, depth)
    for found, truth in zip((covered, shrinkage, slack), truths, strict=True):
        low, high = found(*arguments)
        # 1e-15 of the largest term, 1, is the last digit of the float that holds the truth.
        assert low - 1e-15 * max(1.0, abs(truth)) <= truth <= high + 1e-15 * max(1.0, abs(truth))
        assert high - low <= 1e-12 * max(1.0, abs(truth))


def test_a_box_encloses_its_points() -> None:
    rng = np.random.default_rng(0)
    for target in ((0.3, 0.4), (2.0, 3.0)):
        box = (target, (0.2, 0.3), (0.5, 0.7), 5)
        found = [f(*box) for f in (covered, shrinkage, slack)]
        for _ in range(50):
            phi, g, part = (float(rng.uniform(*ends)) for ends in box[:3])
            for (low, high), truth in zip(found, one_step(phi, g, part, 5), strict=True):
                assert low <= truth <= high


@pytest.mark.parametrize("depth", DEPTHS)
def test_proved_on_boxes_and_false_when_changed(depth: int) -> None:
    below, above = boxes(0.01, 1.0, 6), boxes(1.0, 100.0, 6)
    for box in below + above:
        assert covered(box, WAY, UP_TO_ONE, depth).high <= 1.0
        assert slack(box, WAY, UP_TO_ONE, depth).low >= 0.0
    # The rate 1 % larger: false next to a target below 1, at the start of one above, for any step.
    for box in boxes(0.01, 0.99, 6):
        assert slack(box, (0.0, 1e-12), UP_TO_ONE, depth, "1.01").high < 0.0
    for box in above:
        assert slack(box, (1.0, 1.0), (1e-12, 1e-12), depth, "1.01").high < 0.0
        # The step 1 % longer passes the target; 1 % over twice is thrown further than it came.
        assert covered(box, (0.0, 1e-12), (1.01, 1.01), depth).low > 1.0
        assert shrinkage(box, (0.0, 1e-12), (2.02, 2.02), depth).high < -1.0


@pytest.mark.parametrize("depth", [2, 3, 5, 8])
def test_identity_is_refused_with_a_wrong_coefficient(depth: int) -> None:
    assert identity(depth)
    assert identity(depth, "0.99", "0.99")
    assert not identity(depth, "1.01")
    assert not identity(depth, "1", "1.01")
    low, high = theorem4_certificate._below, theorem4_certificate._above
    # One term more or less, of either sum: larger or smaller, it is not the slack.
    for more in (1, -1):

        def below(v: Any, w: Any, after: Any, k: Any, n: int, more: int = more) -> Any:
            return low(v, w, after, k, n) + more * v ** (n - 1) * w ** (n - 2)

        def above(rise: Any, w: Any, d: Any, n: int, more: int = more) -> Any:
            return high(rise, w, d, n) + more * w ** (2 * n - 2) * d / n

        assert not identity(depth, below=below)
        assert not identity(depth, above=above)


@pytest.mark.parametrize("part", [0.3, 1.0])
@pytest.mark.parametrize("phi", [0.2, 5.0])
def test_identity_s_sums_are_those_of_a_step(phi: float, part: float) -> None:
    """In floats, from the update rule: the same functions that the boxes and the algebra use."""
    depth, place = 5, 0.6
    v = phi ** (1 / depth)
    w = v + (1 - v) * place
    eta = part / (depth * max(1.0, phi) ** (2 - 2 / depth))
    after = w - eta * w ** (depth - 1) * (w**depth - phi)
    _, _, expected = one_step(phi, place, part, depth)
    k = (w - after) / (w - v)
    if phi < 1.0:
        found = (w - v) * theorem4_certificate._below(v, w, after, k, depth) / depth
    else:
        found = theorem4_certificate._above(w - 1, w, after / w - 1, depth)
    assert found == pytest.approx(expected, rel=1e-10)


def test_the_certificate_fails_when_the_claim_is_made_false() -> None:
    assert certify_theorem4(4)[0]
    assert not certify_theorem4(4, factor="1.01")[0]
    assert not certify_theorem4(4, reach=1.01)[0]
    assert certify_theorem4(4, factor="0.99")[0]


def test_own_step_is_the_largest_that_a_spectrum_allows() -> None:
    """What the induction uses: eta of a spectrum is at most every eigenvalue's own step."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        phi, depth = np.exp(rng.uniform(-3.0, 3.0, 4)), int(rng.integers(1, 40))
        eta = admissible.shared_step(phi, depth)
        assert all(eta <= admissible.shared_step([p], depth) * (1 + 1e-15) for p in phi)
        assert descent.shared_admissible_step(np.diag(phi), depth) < eta


@pytest.mark.parametrize(
    ("box", "name"),
    [
        (((0.5, 2.0), WAY, UP_TO_ONE, 3), "target"),
        (((0.0, 0.5), WAY, UP_TO_ONE, 3), "target"),
        (((0.5, 0.6), (0.0, 1.1), UP_TO_ONE, 3), "place"),
        (((0.5, 0.6), WAY, (-0.1, 1.0), 3), "part"),
        (((0.5, 0.6), WAY, UP_TO_ONE, 0), "depth"),
    ],
)
def test_what_is_outside_is_refused(box: tuple[Any, ...], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        slack(*box)
    with pytest.raises(ValueError, match="depth"):
        identity(1)
