"""The figure and the tables of fine-tunes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from figures.bert import finetune
from swe.base.errors import ResultError
from tests.figures.samples.finetuned import one_model as table


def put(out: Path, content: Any, task: str = "sst-2") -> None:
    (out / task).mkdir(parents=True, exist_ok=True)
    (out / task / "table.json").write_text(json.dumps(content))


def test_tables_and_figure(tmp_path: Path) -> None:
    put(tmp_path, table())
    put(tmp_path, table("rte"), "rte")
    written = finetune.write(tmp_path)
    assert all(path.stat().st_size > 0 for path in written)
    with (tmp_path / "tables" / "finetune.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8
    assert rows[0]["task"] == "rte"
    assert [row["value"] for row in rows[:4]] == ["60.0", "80.0", "82.0", ""]
    assert [row["selected"] for row in rows[:4]] == ["True", "True", "False", "False"]
    [_, cell] = finetune.selected_cells([table("rte"), table()])
    assert cell == {
        "task": "sst-2",
        "metric": "accuracy",
        "rate": "1.0 × 10⁻⁵",
        "n": "2",
        "mean": "70.00 [−57.10, 197.10]",
        "values": "60.0, 80.0",
        "degenerate": "1 of 2",
        "baseline": "60.0",
    }
    page = (tmp_path / "tables" / "finetune.md").read_text()
    assert page.count("\n") == 4
    words = json.loads((tmp_path / "figures" / "finetune.json").read_text())
    assert "The rule." in words["caption"]
    assert words["sources"] == ["rte/table.json", "sst-2/table.json"]


def test_nothing_and_malformed(tmp_path: Path) -> None:
    assert finetune.draw(tmp_path) is False
    with pytest.raises(ResultError, match="holds no table of fine-tunes"):
        finetune.write(tmp_path)
    put(tmp_path, {"task": "sst-2"})
    with pytest.raises(ResultError, match=r"sst-2/table\.json: not the expected content"):
        finetune.draw(tmp_path)
    with pytest.raises(SystemExit):
        finetune.main([str(tmp_path)])
