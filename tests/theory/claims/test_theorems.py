"""The ledger recomputes itself, and every check can fail: one wrong formula per claim."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evidence.claim import Finding, Record
from theory.claims import theorems as checks
from theory.claims.ledger import CLAIMS, check_all
from theory.studies.results import RESULTS
from theory.theorems import bounds


def test_ledger_at_smoke_scale_and_its_seed() -> None:
    lines: list[str] = []
    records = check_all(0, "smoke", lines.append)
    for claim, record in list(zip(CLAIMS, records, strict=True))[::6]:
        assert claim.check(0, "smoke").evidence == record["evidence"]
    assert CLAIMS[0].check(2, "smoke").evidence != records[0]["evidence"]
    assert [r["id"] for r in records[:6]] == ["LEM1", "THM1", "THM2", "REM1", "THM3", "THM4"]
    assert [r["id"] for r in records] == [claim.id for claim in CLAIMS]
    assert len(lines) == len(records)
    json.dumps(records, allow_nan=False)
    # The paper's theorems hold; what fails is how they are read.
    assert all(r["verdict"] in {"holds", "holds with limits"} for r in records[:6])
    for record in records:
        assert Record.from_json(record, Path("claims.json")).to_json() == record
        assert record["rigour"] in {"proved", "certified", "sampled", "heuristic"}
        limits = re.fullmatch(r"(loose by|within a factor) [0-9.].*", record["qualifier"])
        assert bool(limits) == (record["verdict"] == "holds with limits")
        assert bool(record["qualifier"]) == (
            record["verdict"] not in {"holds", "fails", "conjecture"}
        )
        assert record["figure"] in {"", *RESULTS["theory"], *RESULTS["toy"]}
        assert record["command"] == "python paper_repro.py theory claims"
        assert "nan" not in record["evidence"]
        assert "inf" not in record["evidence"]


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        (
            "LEM1: one power too few",
            lambda: checks.check_lemma1(
                0, "smoke", lambda w, phi, n, eta: checks.lemma1_step(w, phi, max(n - 1, 1), eta)
            ),
        ),
        (
            "LEM1: a step 1 % longer",
            lambda: checks.check_lemma1(
                0, "smoke", lambda w, phi, n, eta: checks.lemma1_step(w, phi, n, 1.01 * eta)
            ),
        ),
        (
            "THM1: rate 2.02",
            lambda: checks.check_theorem1(0, "smoke", lambda t: bounds.theorem1(1.01 * t)),
        ),
        ("THM2: the prose", lambda: checks.check_theorem2(0, "smoke", bounds.theorem2_prose)),
        (
            "THM2: the exact exponent and 1 %",
            lambda: checks.check_theorem2(
                0, "smoke", lambda t, m, n: bounds.theorem2_exact(1.01 * t, m, n)
            ),
        ),
        ("REM1: 2 L + 0.01", lambda: checks.check_remark1(0, "smoke", lambda n: (2, 2 * n + 0.01))),
        (
            "THM3: five times the rate",  # four times is the true rate
            lambda: checks.check_theorem3(
                0, "smoke", lambda k, eta: bounds.theorem3(k, eta) ** 5.0
            ),
        ),
        (
            "THM4: (2L + 2) in place of (2L - 2), without lmin",
            lambda: checks.check_theorem4(
                0, "smoke", lambda k, eta, _, n: np.exp(-(2 * n + 2) * eta * k)
            ),
        ),
    ],
)
def test_a_wrong_formula_fails(name: str, finding: Callable[[], Finding]) -> None:
    found = finding()
    assert found.verdict == "fails", name


def test_what_follows_from_a_proof_is_called_proved() -> None:
    """THM3 is a case of THM3-STEP, as THM4 is of THM4-STEP."""
    for check in (checks.check_theorem3, checks.check_theorem4):
        found = check(0, "smoke")
        assert found.rigour == "proved"
        assert "implied by THM" in found.grounds


def test_unknown_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        check_all(0, "huge")


def test_ids_are_unique() -> None:
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS)
