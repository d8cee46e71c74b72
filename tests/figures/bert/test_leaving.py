"""When the plateau is left by tau, as a picture: its numbers are the table's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evidence.results import Table
from figures.bert.leaving import draw, points


def row(arm: str, mean: float, told: list[float] | None = None) -> dict[str, Any]:
    gap = {"n": 3, "mean": mean, "low": mean - 0.5, "high": mean + 0.5}
    return {"arm": arm, "over_equal": gap, "foretold": {"over_equal": told} if told else {}}


def table(*rows: dict[str, Any], taus: dict[str, float]) -> dict[str, Any]:
    arms = {arm: {"schedule": {"kind": "swe-f", "until": tau}} for arm, tau in taus.items()}
    return {"study": {"size": "12x64"}, "arms": arms, "leaving": {"arms": list(rows)}}


TAUS = {"swe-f tau 40 %": 0.4, "swe-f": 0.1}
ROWS = (
    row("swe-f tau 40 %", 1.03, [1.3, 1.4]),
    row("swe-f", 0.47, [0.5, 0.7]),
    row("always-shared", 1.41),
)


def drawn(out: Path, data: dict[str, Any]) -> bool:
    return draw(out, Table("sweep", out / "sweep.json", "sweep.json", data, "12x64"))


def test_taus_ascend_and_always_shared_is_the_end(tmp_path: Path) -> None:
    data = table(*ROWS, taus=TAUS)
    assert [tau for tau, _ in points(data)] == [0.1, 0.4, 1.0]
    assert drawn(tmp_path, data)
    saved = json.loads((tmp_path / "figures" / "study_12x64_sweep_leaving.json").read_text())
    for words in ("10 % +0.47 [−0.03, +0.97], foretold 0.500 to 0.700", "100 % +1.41 [+0.91"):
        assert words in saved["caption"]
    assert "n = 3" in saved["caption"]


def test_nothing_without_two_taus_and_an_end(tmp_path: Path) -> None:
    assert not drawn(tmp_path, table(*ROWS[1:], taus=TAUS))  # one tau
    assert not drawn(tmp_path, table(*ROWS[:2], taus=TAUS))  # no end
    assert not drawn(tmp_path, {"arms": {}, "leaving": {}})
    assert not (tmp_path / "figures").exists()
