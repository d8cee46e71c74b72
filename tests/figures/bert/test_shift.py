"""What a delay costs, as a picture: arms lie where their delay and their gap say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evidence.results import Table
from figures.bert.shift import draw, points


def around(mean: float, half: float = 0.1) -> dict[str, Any]:
    return {"n": 3, "mean": mean, "low": mean - half, "high": mean + half}


ROWS = [
    {"arm": "baseline", "end": 501.0},
    {"arm": "equal-start", "end": 501.0, "late": around(1.5), "gap": around(0.2),
     "told": around(0.15), "left_over": around(0.05)},
]  # fmt: skip


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "study": {"size": "12x64"},
        "reference": "baseline",
        "arms": {"baseline": {"loss": around(3.0)}},
        "leaving": {
            "fold": 40.0,
            "arms": rows,
            "budgets": [251.0, 501.0, 1001.0],
            "curve": [[251.0, 4.0], [501.0, 3.0], [1001.0, 2.5]],
        },
    }


def drawn(out: Path, data: dict[str, Any]) -> bool:
    return draw(out, Table("speedup", out / "speedup.json", "speedup.json", data, "12x64"))


def test_an_arm_lies_at_its_delay_and_its_loss(tmp_path: Path) -> None:
    data = table(ROWS)
    (found,) = points(data, ROWS[1:])
    assert found[0] == "equal-start"
    assert found[1:] == pytest.approx((441.0, 3.2))
    assert drawn(tmp_path, data)
    saved = json.loads((tmp_path / "figures" / "study_12x64_speedup_shift.json").read_text())
    assert "equal start +0.050 [−0.050, +0.150]" in saved["caption"]
    assert "n = 3" in saved["caption"]


def test_nothing_without_budgets(tmp_path: Path) -> None:
    assert not drawn(tmp_path, table(ROWS[:1]))
    assert not drawn(tmp_path, {"leaving": {}})
    assert not (tmp_path / "figures").exists()
