"""The toys' ledger records follow the result files, and say when there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from theory.toy_claims import toy_claims
from training.comparison import compare
from training.files import write_json


def student(shift: float) -> dict[str, Any]:
    """Every SWE arm ``shift`` above the baseline and the equal start, in one setting."""
    base = {0: -2.0, 1: -2.1, 2: -1.9}
    final = {"baseline": base, "equal-start": base}
    for k, arm in enumerate(("swe-f 10 %", "swe-a", "swe-m")):
        final[arm] = {s: v + shift + 0.001 * (s + k) for s, v in base.items()}
    chosen = {arm: {"untied_at": [-1, -1, 30]} for arm in final}
    return {
        "seeds": 3,
        "settings": [
            {
                "optimiser": "sgd", "eps": 0.3, "chosen": chosen,
                "against_equal_start": compare(final, "equal-start"),
                "against_baseline": compare(final, "baseline"),
            }
        ],
    }  # fmt: skip


def core(slope: float) -> dict[str, Any]:
    return {
        "core_against_flow": {
            "depth": 8, "size": 4, "step_sizes": [0.01, 0.005], "errors": [0.02, 0.01],
            "slope": slope,
        }
    }  # fmt: skip


def verdicts(out: Path, linear: dict[str, Any], teacher: dict[str, Any]) -> dict[str, str]:
    write_json(out / "toy" / "deep_linear.json", {"data": linear})
    write_json(out / "toy" / "teacher_student.json", {"data": teacher})
    return {record["id"]: record["verdict"] for record in toy_claims(out)}


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    records = toy_claims(tmp_path)
    assert {record["verdict"] for record in records} == {"not attempted"}
    assert {record["evidence"] for record in records} == {"not run"}


def test_verdicts_follow_the_numbers_both_ways(tmp_path: Path) -> None:
    assert verdicts(tmp_path, core(1.02), student(-0.3)) == {
        "TOY-CORE": "shown",
        "TOY-SWE": "shown in 1 of 1 settings",
        "TOY-TYING": "shown in part",
        "TOY-RULE": "shown",
    }
    assert verdicts(tmp_path, core(2.02), student(0.3)) == {
        "TOY-CORE": "differs",
        "TOY-SWE": "no gain in any setting",
        "TOY-TYING": "refuted under control equal start",
        "TOY-RULE": "shown",
    }
    never = student(0.3)
    for arm in ("swe-a", "swe-m"):
        never["settings"][0]["chosen"][arm]["untied_at"] = [-1, -1, -1]
    assert verdicts(tmp_path, core(1.0), never)["TOY-RULE"] == "differs"
    evidence = {record["id"]: record["evidence"] for record in toy_claims(tmp_path)}
    assert "swe-a never untied in 3 of 3 runs, and hurts" in evidence["TOY-RULE"]
    assert "SGD eps 0.3: swe-f 10 % +0.30" in evidence["TOY-SWE"]
