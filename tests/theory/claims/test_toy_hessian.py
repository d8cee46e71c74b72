"""TOY-HESSIAN and TOY-DIAGONAL: verdicts follow the words both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence.claim import in_words
from swe.base.files import write_json
from theory.claims.toy_hessian import signs
from theory.claims.toys import toy_claims

TAUS = [0.0, 0.1, 0.2, 0.4, 0.7, 0.9, 1.0]
MEASURED = ["helps", "helps", "no gain", "hurts", "hurts"]


def said(words: list[str]) -> dict[str, Any]:
    """Verdicts on the five inner taus; those at the ends must not be looked at."""
    every = ["no gain", *words, "no gain"]
    entry = {"mean": [0.0, -0.5, -0.2, 0.0, 0.1, 0.3, 9.0], "verdict": every}
    return {
        "verdict": every,
        "best_tau": 0.1 if words[0] == "helps" else 0.0,
        "against_baseline": entry,
        "against_equal_start": entry,
    }


def data(full: int, rest: int, judging: int = 8) -> dict[str, Any]:
    """So many of five right, in one setting of each optimiser."""

    def words(right: int) -> list[str]:
        return MEASURED[:right] + ["wrong"] * (5 - right)

    settings = [
        {
            "optimiser": optimiser,
            "gamma": 1.0,
            "eps": 0.3,
            "steps": 200,
            "coupling": 0.4,
            "inside": optimiser == "sgd",
            "measured": said(MEASURED) | {"best_tau_set": [0.1, 0.2]},
            "parts": {"full": said(words(full)), "commuting": said(words(rest))},
        }
        for optimiser in ("sgd", "adamw")
    ]
    return {"tau": TAUS, "judging": judging, "settings": settings}


@pytest.mark.parametrize(
    ("found", "coupling", "diagonal"),
    [
        (data(4, 1), "holds", "holds"),
        (data(5, 4), "holds with limits (100 % of the signs, 80 % without it)", "holds"),
        (data(3, 0), "holds with limits (60 % of the signs, 0 % without it)",
         "holds with limits (60 % of the signs)"),
        (data(2, 2), "fails", "fails (40 % of the signs)"),
        (data(5, 0, judging=1), "open", "open"),
        ({"tau": TAUS, "judging": 8, "settings": []}, "open", "open"),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_the_signs(
    found: dict[str, Any], coupling: str, diagonal: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "toy" / "hessian.json", {"data": found})
    records = {record.id: record for record in toy_claims(tmp_path)}
    both = (records[name] for name in ("TOY-HESSIAN", "TOY-DIAGONAL"))
    words = [in_words(record.verdict, record.qualifier) for record in both]
    assert words == [coupling, diagonal]


def test_the_evidence_has_every_count(tmp_path: Path) -> None:
    write_json(tmp_path / "toy" / "hessian.json", {"data": data(4, 0)})
    [record] = [record for record in toy_claims(tmp_path) if record.id == "TOY-HESSIAN"]
    told = (
        "measured helps 2, no gain 1, hurts 2. Right, by part of the Hessian: full 4 of 5 (3 of "
        "the 4 that helped or hurt), best tau 1 of 1; commuting 0 of 5 (0 of the 4"
    )
    assert told in record.evidence
    assert "tau 0.1: -0.50 (full -0.50, commuting -0.50). |[H, Q]|" in record.evidence
    [record] = [record for record in toy_claims(tmp_path) if record.id == "TOY-DIAGONAL"]
    assert record.evidence.endswith("(full -0.50, commuting -0.50), its rate at the grid's edge")


def test_only_what_helped_or_hurt_is_decided() -> None:
    found = data(2, 3)
    assert signs(found, found["settings"], "full") == (4, 10)
    assert signs(found, found["settings"], "commuting") == (6, 10)
    assert signs(found, found["settings"], "commuting", decided=True) == (4, 8)
