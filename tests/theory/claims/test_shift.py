"""STAIR-SHIFT: it holds, and wrong formulas are seen."""

from __future__ import annotations

import numpy as np
import pytest

from theory.claims.shift import CLAIMS, check_shift
from theory.models import shift


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert [claim.check(seed, "smoke").verdict for claim in CLAIMS] == ["holds"]


def test_no_delay_half_of_it_and_skills_at_once_fail() -> None:
    level = check_shift(0, "smoke", lambda c, s, at: shift.told(c, s, c[2]))
    half = check_shift(0, "smoke", lambda c, s, at: shift.told(c, s, (at + c[2]) / 2))
    at_once = check_shift(0, "smoke", learnt_at=lambda s: -np.log(s) / 4)
    assert [level.verdict, half.verdict, at_once.verdict] == ["fails"] * 3
