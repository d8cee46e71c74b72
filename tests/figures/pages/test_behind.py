"""How far behind, level by level: what no run of an arm reaches has a dash."""

from __future__ import annotations

from figures.pages.behind import table


def at(gain: float, mean: float) -> dict[str, float]:
    return {"gain": gain, "n": 3, "mean": mean, "low": mean - 1, "high": mean + 1}


def test_levels_are_losses_and_arms_end_where_they_do() -> None:
    arms = [
        {"arm": "baseline"},
        {"arm": "equal-start", "behind": [at(0.25, 55), at(0.5, 60)]},
        {"arm": "swe-f", "behind": [at(0.25, 70)]},
    ]
    shown = table({"blind": {"loss": 4.25}, "leaving": {"arms": arms}}).splitlines()
    assert shown[0] == "| Arm | At 4.00 nats | At 3.75 nats |"
    assert shown[2] == "| equal start | +55 \\[+54, +56\\] | +60 \\[+59, +61\\] |"
    assert shown[3] == "| SWE-F | +70 \\[+69, +71\\] | — |"


def test_without_a_level_it_was_not_run() -> None:
    for arms in ([], [{"arm": "baseline"}, {"arm": "swe-f", "behind": []}]):
        assert table({"blind": {"loss": 4.25}, "leaving": {"arms": arms}}) == "not run"
    assert table({}) == "not run"
