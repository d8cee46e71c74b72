"""The records on speed, their studies, and a wrong formula for each."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evidence.claim import Finding
from theory.claims import sharper as sharper_claims
from theory.claims import speedup as speedup_claims
from theory.studies import speedup as speedup_study
from theory.theorems import admissible
from theory.theorems.speedup import deep_ratio, final_ratio, time_ratio


@pytest.mark.parametrize(
    "build",
    [speedup_study.speedup_study, speedup_study.steps_study, speedup_study.admissible_study],
)
def test_studies_are_json_and_reproducible(build: Callable[[int, str], dict[str, Any]]) -> None:
    data = build(0, "smoke")
    json.dumps(data, allow_nan=False)
    assert f"{data['figure']}_study" == build.__name__
    assert build(0, "smoke") == data
    assert data["caption_numbers"]
    with pytest.raises(ValueError, match="scale"):
        build(0, "tiny")


def test_speedup_study_says_what_the_closed_forms_say() -> None:
    data = speedup_study.speedup_study(0, "smoke")
    for row in data["scalars"]:
        np.testing.assert_allclose(
            row["ratio"], time_ratio(row["target"], data["depths"], row["eps"]), rtol=1e-12
        )
        assert row["slower_at"] == [
            n for n, r in zip(data["depths"], row["ratio"], strict=True) if r < 1.0
        ]
    assert data["caption_numbers"]["limit_slope_high"] < 0.5


def test_verdicts() -> None:
    found = {
        claim.id: claim.check(0, "smoke").verdict
        for claim in (*speedup_claims.CLAIMS, *sharper_claims.CLAIMS)
    }
    assert found == {
        "ACC": "fails",
        "ACC-STEPS": "fails",
        "ACC-LIMITS": "holds",
        "THM2-EXACT": "holds",
        "THM2-PROSE": "fails",
        "THM3-STEP": "holds",
        "THM4-STEP": "holds",
    }


RIGHT: list[tuple[str, Callable[[], Finding]]] = [
    ("ACC with the exact ratio", lambda: speedup_claims.check_acc(0, "smoke", time_ratio)),
    ("ACC-STEPS with the exponent seen", lambda: speedup_claims.check_acc_steps(0, "smoke", 1.38)),
    ("THM2-PROSE at L = 2", lambda: sharper_claims.check_theorem2_prose(0, "smoke", 2)),
]


@pytest.mark.parametrize(("name", "finding"), RIGHT)
def test_a_right_formula_holds(name: str, finding: Callable[[], Finding]) -> None:
    assert finding().verdict == "holds", name


def _faster(bound: Callable[..., Any]) -> Callable[..., Any]:
    return lambda k, eta, phi, n: bound(k, eta, phi, n) ** 1.01


WRONG: list[tuple[str, Callable[[], Finding]]] = [
    (
        "ACC with 1 % more than the exact ratio",
        lambda: speedup_claims.check_acc(0, "smoke", lambda p, n, e: 1.01 * time_ratio(p, n, e)),
    ),
    (
        "ACC-STEPS with another exponent",
        lambda: speedup_claims.check_acc_steps(0, "smoke", 1.5),
    ),
    (
        "ACC-LIMITS: the deep ratio 1 % off",
        lambda: speedup_claims.check_limits(0, "smoke", lambda *a: 1.01 * deep_ratio(*a)),
    ),
    (
        "ACC-LIMITS: the final ratio 1 % off",
        lambda: speedup_claims.check_limits(
            0, "smoke", deep_ratio, lambda *a: 1.01 * final_ratio(*a)
        ),
    ),
    (
        "THM2-EXACT: exponent 1 % larger",
        lambda: sharper_claims.check_theorem2_exact(0, "smoke", "1.01"),
    ),
    (
        "THM3-STEP: rate 1 % larger",
        lambda: sharper_claims.check_theorem3_step(
            0, "smoke", _faster(sharper_claims.sharper_theorem3)
        ),
    ),
    (
        "THM4-STEP: rate 1 % larger",
        lambda: sharper_claims.check_theorem4_step(0, "smoke", _faster(admissible.shared_bound)),
    ),
    (
        "THM4-STEP: rate 1 % larger, the certificate alone",
        lambda: sharper_claims.check_theorem4_step(0, "smoke", factor="1.01"),
    ),
    (
        "THM4-STEP: step 1 % longer, the certificate alone",
        lambda: sharper_claims.check_theorem4_step(0, "smoke", reach=1.01),
    ),
]


@pytest.mark.parametrize(("name", "finding"), WRONG)
def test_a_wrong_formula_fails(name: str, finding: Callable[[], Finding]) -> None:
    assert finding().verdict == "fails", name
