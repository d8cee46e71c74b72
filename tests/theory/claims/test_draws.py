"""STAIR-DRAW and STAIR-DRAW-NOISE: they hold, and wrong formulas are seen."""

from __future__ import annotations

import pytest

from theory.claims.draws import CLAIMS, check_draw, check_noise
from theory.models import draws, noisy_draws


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert check_draw(seed, "smoke").verdict == "holds"
    assert [claim.check(seed, "smoke").verdict for claim in CLAIMS] == ["holds"] * 2


def test_a_wrong_delay_or_chance_fails() -> None:
    means = check_draw(0, "smoke", delay=lambda L, A, d: 0.0)  # log of the mean: no delay
    even = check_draw(0, "smoke", first=lambda L, A, d: 0.5)
    crossed = check_draw(0, "smoke", first=lambda L, A, d: 1 - draws.first(L, A, d))
    assert [found.verdict for found in (means, even, crossed)] == ["fails"] * 3


def test_noise_that_tied_layers_do_not_average_fails() -> None:
    """As if tied layers had a draw each, and as if noise were none."""
    forgotten = check_noise(0, "smoke", lambda L, A, d, r, q: noisy_draws.delay(L, A, d, r, 1.0))
    silent = check_noise(0, "smoke", lambda L, A, d, r, q: float(draws.delay(L, A, d)))
    assert [forgotten.verdict, silent.verdict] == ["fails"] * 2
