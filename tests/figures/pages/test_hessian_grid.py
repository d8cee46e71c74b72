"""The grid's table: every count from the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from figures.pages.hessian_grid import PARTS, right, table
from swe.base.errors import ResultError
from swe.base.files import read_json, write_json
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


def test_the_page_tells_the_record_that_is_shipped() -> None:
    """What docs/theory.md says of the grid in words."""
    data = read_json(Path(__file__).parents[3] / "records" / "toys" / "hessian.json")
    inner = [i for i, tau in enumerate(data["tau"]) if 0.0 < tau < 1.0]
    found = {}
    for optimiser in ("sgd", "adamw"):
        settings = [s for s in data["settings"] if s["optimiser"] == optimiser]
        words = [s["measured"]["verdict"][i] for s in settings for i in inner]
        for part in PARTS:
            signs = sum(right(inner, s, part, decided=True) for s in settings)
            best = [s["parts"][part]["best_tau"] in s["measured"]["best_tau_set"] for s in settings]
            found[optimiser, part] = signs / (len(words) - words.count("no gain")), sum(best)
    assert found["sgd", "full"][0] > 0.8
    assert found["sgd", "full"][1] > 10
    for part in ("commuting", "exchangeable"):
        assert found["sgd", part][0] < 0.4
        assert found["sgd", part][1] < 5
    hurts, helps = (
        [
            (s, i)
            for s in data["settings"]
            for i in inner
            if s["optimiser"] == "sgd" and s["measured"]["verdict"][i] == word
        ]
        for word in ("hurts", "helps")
    )
    assert sum(s["parts"]["commuting"]["verdict"][i] == "hurts" for s, i in hurts) >= len(hurts) - 1
    assert not any(s["parts"]["commuting"]["verdict"][i] == "helps" for s, i in helps)
    assert 0.5 < found["adamw", "full"][0] <= found["adamw", "commuting"][0] < 0.9
    assert found["adamw", "full"][1] < 7
    for setting in data["settings"]:
        if setting["optimiser"] == "adamw" and setting["eps"] < 1.0:
            means = [
                s["against_equal_start"]["mean"]
                for s in (setting["measured"], setting["parts"]["full"])
            ]
            at = min(inner, key=lambda i: means[0][i])
            assert means[0][at] < means[1][at] < 0.0
    late = [
        max(s["measured"]["best_tau_set"]) < s["parts"]["full"]["best_tau"]
        for s in data["settings"]
        if s["optimiser"] == "adamw"
    ]
    assert sum(late) <= 1
