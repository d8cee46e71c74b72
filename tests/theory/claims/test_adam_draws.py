"""STAIR-DRAW-ADAM: it holds, and wrong formulas are seen."""

from __future__ import annotations

import pytest

from theory.claims.adam_draws import CLAIMS, check_adam
from theory.models import adam_draws, noisy_draws


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert [claim.check(seed, "smoke").verdict for claim in CLAIMS] == ["holds"]


def test_steps_of_plain_descent_or_independent_noise_fail() -> None:
    plain = check_adam(0, "smoke", lambda L, A, d, r, q, c: noisy_draws.delay(L, A, d, r, q))
    apart = check_adam(0, "smoke", lambda L, A, d, r, q, c: adam_draws.delay(L, A, d, r, q, 0.0))
    assert [plain.verdict, apart.verdict] == ["fails"] * 2
