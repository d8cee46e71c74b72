"""STAIR-STREAM: it holds, and wrong formulas are seen."""

from __future__ import annotations

import numpy as np
import pytest

from theory.claims.stream import CLAIMS, check_stream
from theory.models import stream


@pytest.mark.parametrize("seed", [0, 3])
def test_it_holds(seed: int) -> None:
    assert [claim.check(seed, "smoke").verdict for claim in CLAIMS] == ["holds"]


def test_independent_or_coherent_copies_and_the_head_alone_fail() -> None:
    independent = check_stream(0, "smoke", copied=stream.drawn)
    coherent = check_stream(
        0, "smoke", copied=lambda layers, v: (1 + np.arange(layers + 1) * v**0.5) ** 2
    )
    at_head = check_stream(0, "smoke", later=lambda one, two: np.log(one[-1] / two[-1]) / 2)
    assert [independent.verdict, coherent.verdict, at_head.verdict] == ["fails"] * 3
