"""STAIR-DRAW: it holds, and wrong formulas are seen."""

from __future__ import annotations

import pytest

from theory.claims.draws import CLAIMS, check_draw
from theory.models import draws


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert check_draw(seed, "smoke").verdict == "holds"
    assert CLAIMS[0].check(seed, "smoke").verdict == "holds"


def test_a_wrong_delay_or_chance_fails() -> None:
    means = check_draw(0, "smoke", delay=lambda L, A, d: 0.0)  # log of the mean: no delay
    even = check_draw(0, "smoke", first=lambda L, A, d: 0.5)
    crossed = check_draw(0, "smoke", first=lambda L, A, d: 1 - draws.first(L, A, d))
    assert [found.verdict for found in (means, even, crossed)] == ["fails"] * 3
