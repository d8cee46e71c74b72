"""The gain by tau beside what the probes predict: judged by the measured interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bert.study.carried import gain_signs
from swe.base.files import write_lines


def test_the_sign_of_the_gain_is_judged_by_the_measured_interval(tmp_path: Path) -> None:
    """Without noise Adam's ratio is sqrt(alignment): 1 at first, then 0.71, so tying loses."""

    def probe(step: int, share: float) -> dict[str, Any]:
        half = {"gradient_norms": [2.0, 2.0], "alignment": share}
        return {
            "kind": "probe",
            "step": step,
            "gradient_norms": [2.0, 2.0],
            "alignment": share,
            "halves": [half, half],
        }

    for seed in (0, 1, 2):
        write_lines(
            tmp_path / "runs" / f"e{seed}" / "metrics.jsonl", [probe(0, 1.0), probe(8, 0.5)]
        )
    values = {"0": 6.0, "1": 6.1, "2": 6.2}

    def arm(shift: float, spread: float, until: float) -> dict[str, Any]:
        ends = {s: v + shift + spread * int(s) for s, v in values.items()}
        return {"values": ends, "rate": 1.0, "schedule": {"until": until}}

    equal = arm(0, 0, 0) | {"steps": 10, "folders": {s: f"e{s}" for s in values}}
    arms = {
        "equal-start": equal,
        "swe-f": arm(-0.1, 0.01, 0.9),
        "swe-f tau 2 %": arm(0, 0.1, 0.02),
        "swe-f tau 40 %": arm(0, -0.1, 0.4),
        "swe-f tau 80 %": arm(0.1, 0.01, 0.8),
    }
    found = {entry["tau"]: entry for entry in gain_signs(arms, tmp_path)}
    late = {"0.02": 0.0, "0.4": 0.0, "0.8": (0.5**0.5 - 1) / 2, "0.9": (0.5**0.5 - 1) / 2}
    for tau, entry in found.items():
        assert entry["predicted"]["mean"] == pytest.approx(late[str(tau)], abs=1e-12)
    assert found[0.9]["measured"]["mean"] == pytest.approx(0.09)
    verdicts = {tau: entry["verdict"] for tau, entry in found.items()}
    assert verdicts == {0.02: "undecided", 0.4: "undecided", 0.8: "holds", 0.9: "differs"}
