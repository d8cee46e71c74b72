"""STAIR-GROW: it holds, and wrong formulas are seen."""

from __future__ import annotations

import pytest

from theory.claims.grown_draws import CLAIMS, check_growth
from theory.models import grown_draws, noisy_draws


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert [claim.check(seed, "smoke").verdict for claim in CLAIMS] == ["holds"]


def test_growth_as_if_tied_or_as_if_zeros_were_copies_fails() -> None:
    tied = check_growth(0, "smoke", lambda L, A, d, r, q, c=1.0: noisy_draws.delay(L, A, d, r, q))
    whole = check_growth(0, "smoke", lambda L, A, d, r, q, c=1.0: grown_draws.delay(L, A, d, r, q))
    assert [tied.verdict, whole.verdict] == ["fails"] * 2
