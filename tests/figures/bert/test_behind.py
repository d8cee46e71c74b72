"""How far behind, as a picture: a point for every level that an arm reaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evidence.results import Table
from figures.bert.behind import LEAST, draw, points


def behind(levels: int) -> list[dict[str, float]]:
    return [
        {"gain": 0.25 * k, "n": 3, "mean": 50.0 * k, "low": 50.0 * k - 9, "high": 50.0 * k + 9}
        for k in range(1, levels + 1)
    ]


def table(levels: int) -> dict[str, Any]:
    arms = [
        {"arm": "baseline"},
        {"arm": "equal-start", "behind": behind(levels)},
        {"arm": "swe-f", "behind": []},
    ]
    return {"study": {"size": "12x64"}, "blind": {"loss": 4.25}, "leaving": {"arms": arms}}


def drawn(out: Path, data: dict[str, Any]) -> bool:
    return draw(out, Table("speedup", out / "speedup.json", "speedup.json", data, "12x64"))


def test_a_point_is_at_its_loss_and_its_delay(tmp_path: Path) -> None:
    found = points(table(LEAST))
    assert list(found) == ["equal-start"], "an arm without a level is left out"
    losses, delays = zip(*found["equal-start"], strict=True)
    assert losses == pytest.approx([4.0, 3.75, 3.5, 3.25])
    assert [late["mean"] for late in delays] == [50.0, 100.0, 150.0, 200.0]
    assert drawn(tmp_path, table(LEAST))
    saved = json.loads((tmp_path / "figures" / "study_12x64_speedup_behind.json").read_text())
    assert "equal start +50 [+41, +59] to +200 [+191, +209]" in saved["caption"]
    assert "n = 3" in saved["caption"]


def test_few_levels_are_no_picture(tmp_path: Path) -> None:
    assert not drawn(tmp_path, table(LEAST - 1))
    assert not drawn(tmp_path, {"leaving": {}})
    assert not (tmp_path / "figures").exists()
