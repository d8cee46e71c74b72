"""The plateau's rule: one arm decides whether a comparison counts, each arm whether it is stuck."""

from __future__ import annotations

from typing import Any

import pytest

from evidence.comparison import compare
from evidence.plateau import (
    MARGIN,
    counts,
    left,
    on_plateau,
    reached,
    state,
    stuck,
    told,
    verdict_of,
)

BLIND = {"loss": 6.5}


def compared(**losses: list[float]) -> dict[str, Any]:
    runs = {name: dict(enumerate(values)) for name, values in losses.items()}
    return {"reference": "base", "arms": compare(runs, "base")}


def test_a_loss_half_a_nat_below_has_left() -> None:
    found = compared(base=[6.0, 6.0 + 1e-9], arm=[6.2, 5.0])
    state(found, BLIND)
    assert MARGIN == 0.5
    assert [left(found, arm) for arm in ("base", "arm")] == [1, 1]


def test_one_arm_that_left_makes_a_comparison_count() -> None:
    found = compared(base=[6.3, 6.31, 6.32], arm=[6.4, 6.41, 6.42], double=[6.2, 6.1, 5.9])
    state(found, BLIND)
    assert counts(found) is True
    assert [stuck(found, arm) for arm in ("base", "arm", "double")] == [True, True, False]
    words = [verdict_of(found, arm) for arm in ("base", "arm", "double")]
    assert words == ["reference, stuck", "hurts, stuck", "no gain"]
    assert told(found) == (
        "best loss blind to context 6.500 nats, least loss reached 5.900, the plateau ends at "
        "6.000: 1 of 3 arms left the plateau"
    )


def test_where_none_left_every_verdict_is_the_plateaus() -> None:
    found = compared(base=[6.3, 6.31, 6.32], arm=[6.4, 6.41, 6.42])
    before = found["arms"]["arm"]["difference"]
    state(found, BLIND)
    assert counts(found) is False
    assert on_plateau(found)
    assert found["arms"]["arm"]["verdict"] == "on the plateau"
    assert found["arms"]["arm"]["difference"] == before, "what was measured stays"
    assert "verdict" not in found["arms"]["base"]
    assert verdict_of(found, "base") == "reference"
    assert told(found).endswith("ends at 6.000: no arm left it")


def test_a_verdict_that_was_stored_before_is_not_repeated() -> None:
    found = compared(base=[6.3, 6.31], arm=[6.4, 6.41])
    found["blind"] = BLIND
    assert found["arms"]["arm"]["verdict"] != "on the plateau"
    assert verdict_of(found, "arm") == "on the plateau"


def test_without_a_blind_loss_nothing_is_decided() -> None:
    found = compared(base=[6.3, 6.31, 6.32], arm=[6.4, 6.41, 6.42])
    state(found, None)
    assert "blind" not in found
    assert (counts(found), left(found, "arm"), on_plateau(found)) == (None, None, False)
    assert (stuck(found, "arm"), verdict_of(found, "arm"), told(found)) == (False, "hurts", "")


def test_an_arm_without_runs_is_not_called_stuck() -> None:
    found = compared(base=[5.0, 5.1], arm=[5.2, 5.3])
    found["arms"]["late"] = {}
    state(found, BLIND)
    assert not stuck(found, "late")
    assert verdict_of(found, "late") == "reference"
    nothing: dict[str, Any] = {"arms": {"base": {}}}
    state(nothing, BLIND)
    assert counts(nothing) is False
    assert "least loss reached none" in told(nothing)


@pytest.mark.parametrize(
    ("level", "expected"), [(7.0, 10.0), (6.0, 15.0), (5.0, 20.0), (4.5, 22.5), (3.0, None)]
)
def test_the_first_update_at_or_below_a_level(level: float, expected: float | None) -> None:
    assert reached([10, 20, 30], [7.0, 5.0, 3.0 + 1e-9], level) == (
        None if expected is None else pytest.approx(expected, rel=1e-8)
    )


def test_a_loss_that_rises_again_counts_from_its_first_fall() -> None:
    assert reached([10, 20, 30], [6.0, 4.0, 6.0], 5.0) == 15.0
