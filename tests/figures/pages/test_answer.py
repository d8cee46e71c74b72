"""The first screen: which study speaks, and what it says of each outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence.results import Table
from figures.pages.answer import answer
from swe.base.errors import ResultError


def study(baseline: list[float], swe: list[float], **more: Any) -> dict[str, Any]:
    arms = {"baseline": baseline, "equal-start": [value + 0.02 for value in swe], "swe-f": swe}
    found: dict[str, Any] = {
        "reference": "baseline",
        "study": {"size": "tiny"},
        "arms": {
            arm: {
                "values": {str(seed): v for seed, v in enumerate(values)},
                "steps": 1200,
                "flops": 1e12,
            }
            for arm, values in arms.items()
        },
    }
    found["arms"]["swe-f"]["difference"] = {"n": len(swe)}
    return found | more


def table(data: dict[str, Any]) -> Table:
    return Table("sweep", Path("sweep.json"), "sweep.json", data)


@pytest.mark.parametrize(
    ("swe", "says", "loses"),
    [
        ([5.9, 5.91, 5.92], "trains to a lower loss than a plain baseline", False),
        ([6.1, 6.11, 6.12], "trains to a higher loss than a plain baseline", True),
        ([6.1, 5.9, 6.01], "shows no gain over a plain baseline", False),
        ([6.1], "cannot, with one seed, be told from a plain baseline", False),
    ],
)
def test_each_outcome(swe: list[float], says: str, loses: bool) -> None:
    found = answer(study([6.0, 6.01, 6.03], swe), [], [], None)
    assert says in found.sentence
    assert f"n\u00a0=\u00a0{len(swe)}." in found.sentence
    assert found.loses is loses
    assert [number.value for number in found.numbers][1] == "−0.020"


def test_on_the_plateau_nothing_is_told_apart() -> None:
    ratio = {"ratio": 0.7, "low": 0.6, "high": 0.8, "n": 3, "values": {}, "censored": {}}
    stuck = study([6.0, 6.01, 6.03], [6.1, 6.11, 6.12], blind={"loss": 6.3})
    speed = table(stuck | {"speedup": {"swe-f": ratio}})
    found = answer(stuck, [speed], [], None)
    assert "cannot, as no run left the plateau, be told from a plain baseline" in found.sentence
    assert [number.verdict for number in found.numbers] == ["on the plateau"] * 3
    assert not found.loses
    assert "best loss blind to context 6.300 nats" in found.setting
    gone = study([6.0, 6.01], [5.5, 5.51], blind={"loss": 6.3})
    assert "n\u00a0=\u00a02." in answer(stuck, [table(gone)], [], None).sentence


def test_the_weightiest_study_speaks() -> None:
    """A tuned one, then one of at least three seeds, then the one that computes most."""
    few, many = study([6.0, 6.0], [6.1, 6.2]), study([6.0] * 3, [5.9, 5.8, 5.7])
    large, more = study([6.0] * 4, [5.9] * 4), study([6.0] * 5, [5.9] * 5)
    few["arms"]["baseline"]["flops"] = 4e12
    large["arms"]["baseline"]["flops"] = 2e12
    tuned = study([6.0], [5.0])
    tuned["study"]["rates"] = [1e-3, 2e-3]
    single = study([6.0], [4.0])
    single["study"]["rates"] = [1e-3]
    every = [many, single, large, more, tuned, few]
    for gone, seeds in ((None, 1), (tuned, 4), (large, 5), (more, 3), (many, 2)):
        every = [one for one in every if one is not gone]
        for order in (every, every[::-1]):
            found = answer(None, [table(one) for one in order], [], None)
            assert f"n\u00a0=\u00a0{seeds}." in found.sentence


def test_a_study_that_lacks_something_is_named() -> None:
    torn = study([6.0, 6.0], [6.1, 6.2])
    del torn["arms"]["baseline"]["flops"]
    with pytest.raises(ResultError, match=r"sweep\.json"):
        answer(None, [table(torn)], [], None)


def test_the_study_with_most_seeds_speaks() -> None:
    few, many = study([6.0, 6.0], [6.1, 6.2]), study([6.0] * 3, [5.9, 5.8, 5.7])
    assert "n\u00a0=\u00a03." in answer(few, [table(few), table(many)], [], None).sentence
    ratio = {"ratio": 1.5, "low": 1.2, "high": 1.9, "n": 3, "values": {}, "censored": {}}
    found = answer(None, [table(many | {"speedup": {"swe-f": ratio}})], [], None)
    assert [number.value for number in found.numbers] == ["−0.200", "−0.020", "1.50"]
    assert found.numbers[2].verdict == "helps"


def test_theory_alone() -> None:
    numbers = {"caption_numbers": {"least_slope": 0.31, "largest_slope": 0.52}}
    claims = [{"id": "ACC", "verdict": "fails"}, {"id": "OUR-CREDIT", "verdict": "open"}]
    found = answer(None, [], claims, numbers)
    assert found.sentence == (
        "In deep linear networks sharing is not as many times faster as there are layers."
    )
    assert [number.value for number in found.numbers] == ["0.310 to 0.520"]
    assert answer(None, [], [], None).sentence == ""
