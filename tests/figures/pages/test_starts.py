"""Stacks of one width side by side: who stands beside whom, Welch's interval, what is foretold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from figures.pages.starts import ALIKE, table
from swe.base.errors import ResultError
from swe.base.files import write_json

ONE, TWO = [300.0, 320.0, 340.0], [280.0, 290.0, 330.0]


def record(
    times: list[float],
    start: list[list[float]],
    layers: int = 12,
    *,
    rate: float = 0.002,
    blind: float = 4.25,
    **study: Any,
) -> dict[str, Any]:
    """A table with a baseline and an arm of which nothing is known at its start."""
    row = {
        "arm": "baseline", "drawn": layers, "n": 3, "left": 3, "times": times, "start": start,
        "at": {"mean": sum(times) / 3},
    }  # fmt: skip
    tied = {name: value for name, value in row.items() if name != "start"} | {"arm": "swe-f"}
    return {
        "study": dict.fromkeys(ALIKE, 1)
        | {"size": f"{layers}x64", "steps": 1000, "rates": [rate]}
        | study,
        "reference": "baseline",
        "blind": {"loss": blind},
        "order": ["baseline", "swe-f"],
        "arms": {"baseline": {"rate": rate}, "swe-f": {"difference": {}}},
        "leaving": {"fold": 40.0, "arms": [row, tied]},
    }


def filled(folder: Path, **records: dict[str, Any]) -> Path:
    for name, data in records.items():
        write_json(folder / name / "headline.json", data)
    return folder


def test_a_deeper_stack_beside_the_shallower(tmp_path: Path) -> None:
    """Later by a negative number of e-folds; nothing is said of an arm without a start."""
    deep, plain = record(TWO, [[2.0, 2.1], [3.0, 3.3]], 24), record(ONE, [[1.0, 1.2], [2.5, 2.5]])
    deep["leaving"]["arms"][0]["reach"], plain["leaving"]["arms"][0]["reach"] = -0.5, -1.0
    shown = table(filled(tmp_path, deep=deep, plain=plain))
    gap = stats.ttest_ind(TWO, ONE, equal_var=False).confidence_interval(0.95)
    low, high = (f"{end / 40:.2f}" for end in gap)
    mean = f"{(300 - 320) / 40:.2f}"
    cells = [cell.strip() for cell in shown.splitlines()[2].replace("−", "-").split("|")[1:-1]]
    assert cells[:2] == ["24x64, 1 000 updates", "12x64, 1 000 updates"]
    assert cells[2:7] == ["baseline", "3 of 3", "300", "320", "40.0"]
    assert cells[7].replace("+", "").replace("\\", "") == f"{mean} [{low}, {high}]"
    assert cells[8:] == ["-1.00 to -0.500", "-0.50"]
    assert len([line for line in shown.splitlines() if line.startswith("|")]) == 3


def test_scaled_branches_and_budgets_stand_beside_the_plain_one(tmp_path: Path) -> None:
    start = [[1.0, 1.0]]
    shown = table(
        filled(
            tmp_path,
            long=record(ONE, start, steps=2000),
            plain=record(ONE, start),
            scaled=record(ONE, [[0.5, 0.5]], branch_scale=0.6),
        )
    ).splitlines()[2:4]
    assert shown[0].startswith("| 12x64, 2 000 updates | 12x64, 1 000 updates |")
    assert shown[0].endswith("| 0 | — |")
    assert shown[1].startswith("| 12x64, branches times 0.6, 1 000 updates | 12x64, 1 000 updates")
    assert shown[1].endswith("| 0.500 | — |")


@pytest.mark.parametrize(
    "other", [{"rows": 2}, {"size": "24x128"}, {"rate": 0.001}, {"blind": 4.3}]
)
def test_other_texts_widths_and_rates_stand_alone(tmp_path: Path, other: dict[str, Any]) -> None:
    start = [[1.0, 1.0]]
    many = filled(tmp_path, plain=record(ONE, start), other=record(ONE, start, 24, **other))
    assert table(many) == "not run"


def test_a_record_without_what_it_should_have_is_named(tmp_path: Path) -> None:
    torn = record(ONE, [[1.0, 1.0]])
    del torn["leaving"]["fold"]
    with pytest.raises(ResultError, match=r"headline\.json"):
        table(filled(tmp_path, torn=torn))


def test_without_records_it_was_not_run(tmp_path: Path) -> None:
    assert table(tmp_path / "studies") == "not run"
