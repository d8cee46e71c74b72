"""The toys' ledger records follow the result files, and say when there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence.claim import Record, in_words
from evidence.comparison import compare
from swe.base.files import write_json
from theory.claims.toys import toy_claims


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
                "optimiser": "sgd",
                "eps": 0.3,
                "chosen": chosen,
                "against_equal_start": compare(final, "equal-start"),
                "against_baseline": compare(final, "baseline"),
            }
        ],
    }


def core(slope: float) -> dict[str, Any]:
    return {
        "core_against_flow": {
            "depth": 8,
            "size": 4,
            "step_sizes": [0.01, 0.005],
            "errors": [0.02, 0.01],
            "slope": slope,
        }
    }


def placed(best: bool, gain: float, general: float, *, control: float = 0.0) -> dict[str, Any]:
    """Predictions with these hits; `general` and `control` are added to the measured curve."""

    def gap(mean: float) -> dict[str, Any]:
        return {"n": 5, "mean": mean, "low": mean - 0.02, "high": mean + 0.02}

    names = (
        "defect",
        "force_cosine_start",
        "force_cosine_end",
        "log10_noise_end_over_start",
        "alignment_start",
        "alignment_start_predicted",
        "mean_paths_apart",
    )

    def setting(toy: str, optimiser: str, shift: float) -> dict[str, Any]:
        found = {
            "toy": toy, "optimiser": optimiser, "eps": 0.3, "tau": [0.0, 1.0],
            "measured": [gap(0.0), gap(0.2)], "baseline": gap(-0.1), "best_tau": 0.0,
            "best_tau_set": [0.0], "predicted_best_tau": 0.0 if best else 1.0,
            "best_tau_inside": best or toy == "quadratic",
            "common_speed": {"predicted": 1.0 + gain, "measured": gap(1.0)},
        }  # fmt: skip
        if optimiser == "sgd":
            found |= {
                "predicted": [0.0, 0.2 + shift],
                "general": [0.0, 0.2 + shift],
                "predicted_baseline": -0.1,
                "gain_over_equal_start": gap(-0.2),
                "gain_over_baseline": gap(-0.3),
                "predicted_gain_over_equal_start": -0.2 + gain,
                "predicted_gain_over_baseline": -0.3 + gain,
                "premises": {name: gap(0.5) for name in names},
            }
        return found

    return {
        "seeds": 5,
        "near": 0.01,
        "settings": [
            setting("quadratic", "sgd", control),
            setting("deep linear", "sgd", 0.0),
            setting("students near", "sgd", general),
            setting("students", "sgd", 0.4),
            setting("students", "adamw", 0.0),
        ],
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (placed(best=True, gain=0.0, general=0.0), ("holds", "holds", "holds")),
        (placed(best=False, gain=0.1, general=0.1), ("fails", "fails", "fails")),
        (placed(best=True, gain=0.0, general=0.0, control=0.1), ("holds", "holds", "fails")),
    ],
)
def test_predictions_are_judged_both_ways(
    data: dict[str, Any], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    write_json(tmp_path / "toy" / "predictions.json", {"data": data})
    records = {record.id: record for record in toy_claims(tmp_path)}
    names = ("TOY-TAU", "TOY-GAIN", "TOY-PREMISE")
    assert tuple(records[name].verdict for name in names) == expected
    assert "(measured 0, not worse: 0)" in records["TOY-TAU"].evidence


def test_some_right_and_some_wrong_is_said_so(tmp_path: Path) -> None:
    data = placed(best=True, gain=0.0, general=0.0)
    data["settings"][3]["best_tau_inside"] = False
    data["settings"][3]["predicted_gain_over_baseline"] = 0.5
    write_json(tmp_path / "toy" / "predictions.json", {"data": data})
    records = {record.id: record for record in toy_claims(tmp_path)}
    assert words(records["TOY-TAU"]) == "holds with limits (2 of 3 settings)"
    assert words(records["TOY-GAIN"]) == "holds with limits (3 of 4 comparisons)"
    assert "SGD eps 0.3 over baseline 0.50, measured -0.30" in records["TOY-GAIN"].evidence


def verdicts(out: Path, linear: dict[str, Any], teacher: dict[str, Any]) -> dict[str, str]:
    write_json(out / "toy" / "deep_linear.json", {"data": linear})
    write_json(out / "toy" / "teacher_student.json", {"data": teacher})
    predicted = ("TOY-TAU", "TOY-GAIN", "TOY-PREMISE", "FORECAST", "ONLINE")
    others = (*predicted, "TOY-UNROLLED", "TOY-LISTA", "TOY-HESSIAN", "TOY-DIAGONAL")
    records = [record for record in toy_claims(out) if record.id not in others]
    return {record.id: words(record) for record in records}


def words(record: Record) -> str:
    return in_words(record.verdict, record.qualifier)


def test_without_results_nothing_is_claimed(tmp_path: Path) -> None:
    records = toy_claims(tmp_path)
    assert {(r.verdict, r.evidence, r.rigour, r.figure) for r in records} == {
        ("not run", "not run", "", "")
    }


def test_verdicts_follow_the_numbers_both_ways(tmp_path: Path) -> None:
    assert verdicts(tmp_path, core(1.02), student(-0.3)) == {
        "TOY-CORE": "holds",
        "TOY-SWE": "holds",
        "TOY-TYING": "holds",
        "TOY-RULE": "holds",
        "TOY-MOMENTS": "not run",
        "TOY-MOMENTS-SUM": "not run",
    }
    assert verdicts(tmp_path, core(2.02), student(0.3)) == {
        "TOY-CORE": "fails",
        "TOY-SWE": "no gain (in any setting)",
        "TOY-TYING": "refuted under a control (equal start)",
        "TOY-RULE": "holds",
        "TOY-MOMENTS": "not run",
        "TOY-MOMENTS-SUM": "not run",
    }
    never = student(0.3)
    for arm in ("swe-a", "swe-m"):
        never["settings"][0]["chosen"][arm]["untied_at"] = [-1, -1, -1]
    assert verdicts(tmp_path, core(1.0), never)["TOY-RULE"] == "fails"
    evidence = {record.id: record.evidence for record in toy_claims(tmp_path)}
    assert "swe-a never untied in 3 of 3 runs, and hurts" in evidence["TOY-RULE"]
    assert "SGD eps 0.3: swe-f 10 % +0.30" in evidence["TOY-SWE"]


def moments(shift: float, level: float) -> dict[str, Any]:
    """Rescale ends ``shift`` from copy; summed updates are 2^level of those with own moments."""
    runs = {"copy": {0: -1.0, 1: -1.1, 2: -0.9}}
    for arm in ("rescale", "reset", "sum copy"):
        runs[arm] = {s: v + shift + 0.001 * s for s, v in runs["copy"].items()}
    window = {"n": 3, "mean": level, "low": level - 0.1, "high": level + 0.1}
    arms = ("copy", "rescale", "reset", "sum copy", "sum rescale")
    lengths = {arm: {"over own": [window, window]} for arm in arms}
    setting = {"lengths": lengths, "best_rate_end": {"copy": compare(runs, "copy")}}
    return {"settings": [{"alignment": 0.9, **setting}, {"alignment": 0.3, **setting}]}


def test_moments_follow_the_numbers_both_ways(tmp_path: Path) -> None:
    found = []
    for shift, level in ((-0.2, -2.0), (0.2, -1.05), (0.0, 0.0)):
        write_json(tmp_path / "toy" / "moments.json", {"data": moments(shift, level)})
        records = {record.id: record for record in toy_claims(tmp_path)}
        found.append([words(records[name]) for name in ("TOY-MOMENTS", "TOY-MOMENTS-SUM")])
    assert found == [
        ["holds", "holds"],
        ["no gain (in any setting)", "fails"],
        ["no gain (in any setting)", "fails"],
    ]
    assert "alignment 0.30" in records["TOY-MOMENTS"].evidence


def family(name: str, *verdicts: str) -> list[dict[str, Any]]:
    """Settings of a family in which "swe-f 20 %" has these verdicts, "swe-f 10 %" none."""
    gains = {"helps": -0.5, "no gain": 0.0, "hurts": 0.5}
    found = []
    for word in verdicts:
        runs = {"baseline": {0: -1.0, 1: -1.1, 2: -0.9}}
        for arm, gain in (("equal-start", 0.0), ("always-shared", 1.0), ("swe-f 10 %", 0.0)):
            runs[arm] = {s: v + gain + 0.01 * (-1) ** s for s, v in runs["baseline"].items()}
        runs["swe-f 20 %"] = {
            s: v + gains[word] + 0.01 * (s - 1) for s, v in runs["baseline"].items()
        }
        found.append(
            {
                "family": name,
                "optimiser": "sgd",
                "eps": 0.3,
                "chosen": "swe-f 20 %",
                "verdict": word,
                "inside": [True, word != "hurts"],
                "against_baseline": compare(runs, "baseline"),
                "against_equal_start": compare(runs, "equal-start"),
                "against_always_shared": compare(runs, "always-shared"),
            }
        )
    return found


@pytest.mark.parametrize(
    ("unrolled", "lista", "expected"),
    [
        (("helps", "helps"), ("hurts",), ("holds", "hurts")),
        (("helps", "helps", "no gain"), ("no gain",), ("holds with limits (2 of 3 settings)",
         "no gain")),
        (("helps", "hurts"), ("helps",), ("fails (1 of 2 settings)", "helps")),
        (("no gain", "hurts"), ("helps", "hurts"), ("no gain (in any setting)", "open")),
    ],
)  # fmt: skip
def test_families_are_judged_as_they_were_measured(
    unrolled: tuple[str, ...], lista: tuple[str, ...], expected: tuple[str, str], tmp_path: Path
) -> None:
    entries = family("unrolled", *unrolled) + family("lista", *lista) + family("residual", "hurts")
    data = {"tuning": 6, "judging": 3, "settings": entries}
    write_json(tmp_path / "toy" / "judged.json", {"data": data})
    records = {record.id: record for record in toy_claims(tmp_path)}
    found = tuple(words(records[name]) for name in ("TOY-UNROLLED", "TOY-LISTA"))
    assert found == expected
    first, control = records["TOY-UNROLLED"].evidence.split("residual students")
    assert "SGD eps 0.3 (swe-f 20 %): baseline" in first
    if "helps" in unrolled:
        assert "baseline -0.50 (95 %" in first
        assert "always shared -1.50 (95 %" in first
        assert "helps, 1 of 2 taus help" in first
    assert "baseline +0.50 (95 %" in control
    assert "hurts, 0 of 2 taus help, a rate at its grid's edge" in control


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ((8, 7, 6), "holds"),
        ((8, 7, 5), "holds with limits (sign and best tau at the goal)"),
        ((7, 7, 5), "holds with limits (best tau at the goal)"),
        ((7, 6, 5), "fails"),
    ],
)
def test_the_forecast_is_held_against_its_goals(
    right: tuple[int, int, int], expected: str, tmp_path: Path
) -> None:
    marks: dict[str, Any] = {
        mark: {"right": count, "of": 10}
        for mark, count in zip(("sign", "tau", "size"), right, strict=True)
    }
    rule = dict.fromkeys(("all", "unrolled", "lista"), marks | {"regret": 0.25})
    data = {
        "unseen": ["lista"],
        "share": 0.125,
        "cells": 10,
        "truths": {"all": {"helps": 3, "no gain": 3, "hurts": 4}},
        "rules": {"forecast": rule, "rehearsal": rule},
    }
    write_json(tmp_path / "toy" / "forecast.json", {"data": data})
    record = next(one for one in toy_claims(tmp_path) if one.id == "FORECAST")
    assert words(record) == expected
    assert f"sign {right[0]} of 10" in record.evidence
    assert f"lista (never seen) {right[0]} of 10" in record.evidence


@pytest.mark.parametrize(
    ("known", "apart", "expected"),
    [
        ("helps", "helps", "helps"),
        ("helps", "no gain", "helps (no gain on kinds left out)"),
        ("helps", "hurts", "no gain (hurts on kinds left out)"),
        ("no gain", "hurts", "no gain (hurts on kinds left out)"),
        ("no gain", "no gain", "no gain"),
        ("hurts", "no gain", "hurts (no gain on kinds left out)"),
    ],
)
def test_online_must_help_and_not_hurt_elsewhere(
    known: str, apart: str, expected: str, tmp_path: Path
) -> None:
    def split(verdict: str, mean: float) -> dict[str, Any]:
        gap = {"n": 9, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}
        row = {"cells": 9, "fitted": 0.3, "cosine": 0.2, "fixed": 0.4}
        return {"all": row | {"difference": gap, "verdict": verdict}}

    splits = {"kinds known": split(known, -0.5), "kinds left out": split(apart, 0.25)}
    data = {"splits": splits, "known_cells": 80, "networks": 4, "fixed": 0.4}
    write_json(tmp_path / "toy" / "stopping.json", {"data": data})
    record = next(one for one in toy_claims(tmp_path) if one.id == "ONLINE")
    assert words(record) == expected
    assert "kinds left out: 0.30 against 0.20, difference +0.25 (95 % +0.15" in record.evidence
    assert "9 cells that it was not fitted to, 80 known" in record.evidence
