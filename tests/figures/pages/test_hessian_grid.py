"""The grid's table: every count from the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from figures.pages.hessian_grid import table
from swe.base.errors import ResultError
from swe.base.files import write_json
from tests.figures.samples.toys import hessian

CELLS = "| SGD, γ 1, ε 0.3, 200 updates | 2, 0, 0 | 2, 0, 0 of 2 | 2, 0, 0 of 2 | 0.1, 0.4 "


def written(tmp_path: Path, data: dict[str, Any]) -> Path:
    (tmp_path / "toys").mkdir()
    environment = {"command": "python -m it", "commit": "0123456789abcdef"}
    write_json(tmp_path / "toys" / "hessian.json", data | {"environment": environment})
    return tmp_path / "default"


def test_the_grid_is_a_row_a_setting_and_a_sum(tmp_path: Path) -> None:
    """Two untie times a setting, both measured to help; the parts say otherwise."""
    lines = table(written(tmp_path, hessian())).splitlines()
    row = next(line for line in lines if line.startswith("| SGD, γ 1"))
    assert row.startswith(CELLS)
    assert row.endswith("| 0.1, 0, 0 | -0.40 at 0.1 | -0.50 |")
    [total] = [line for line in lines if line.startswith("| SGD, all |")]
    assert "| 4, 0, 0 | 4, 0, 0 of 4 | 4, 0, 0 of 4 |  | right: 2, 0, 0 of 2 |" in total
    assert "(0 at an end of the rates tried)" in lines[-1]
    assert "`python -m it`, commit 0123456789." in lines[-1]


def test_without_its_record_the_grid_was_not_run(tmp_path: Path) -> None:
    assert table(tmp_path / "default") == "not run"


def test_a_record_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="hessian"):
        table(written(tmp_path, {"tau": [0.5], "settings": [{"optimiser": "sgd"}]}))
