"""The records on sharing can fail: a wrong formula, a step that is too long."""

from typing import Any

import pytest

from tests.figures.samples.controls import odd_targets
from theory.claims import sharing as sharing_claims
from theory.theorems import alignment, one_step


def test_two_factors_with_a_wrong_formula() -> None:
    def wrong(gradients: Any) -> Any:
        return 0.99 * alignment.alignment(gradients)

    found = sharing_claims.check_two_factors(0, "smoke", wrong)
    assert found.verdict == "fails"
    assert sharing_claims.check_two_factors(0, "smoke").verdict == "holds"


def test_two_factors_say_that_they_judge_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it stands a run that averaging gains on; layers of one curvature are no such run."""
    found = sharing_claims.check_two_factors(0, "smoke")
    assert "no single step gains" in found.evidence
    assert "T > 2.11 / max h" in found.evidence
    monkeypatch.setattr(one_step, "final_loss", lambda h, end, tau: 1.0)
    assert sharing_claims.check_two_factors(0, "smoke").verdict == "fails"


@pytest.mark.parametrize(("stretch", "verdict"), [(1.0, "holds"), (1.01, "fails")])
def test_same_descent_needs_the_same_clock(stretch: float, verdict: str) -> None:
    assert sharing_claims.check_same_descent(0, "smoke", stretch).verdict == verdict


@pytest.mark.parametrize(
    ("name", "low", "high", "verdict"),
    [
        ("unshared", 0.2, 0.4, "holds"),
        ("one draw", -0.1, 0.7, "open"),
        ("one draw", -0.7, -0.1, "fails"),
        ("unshared", -0.1, 0.7, "open"),
    ],
)
def test_odd_targets_judge_every_start(name: str, low: float, high: float, verdict: str) -> None:
    """SWE's own start too: one draw in all layers; without it the statement is not tested."""
    data = odd_targets()
    data["caption_numbers"]["slopes"] |= {name: {"slope": 0.3, "low": low, "high": high}}
    found = sharing_claims.judge_odd_targets(data)
    assert found.verdict == verdict
    assert bool(found.qualifier) == (verdict == "open")


def test_odd_targets_judge_the_rotation() -> None:
    data = odd_targets()
    data["caption_numbers"]["identity_over_zas"] = 0.9
    assert sharing_claims.judge_odd_targets(data).verdict == "fails"
