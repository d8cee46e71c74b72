"""Updates to a held-out loss, seed by seed; what of the records left the plateau, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence.results import Table, recorded_tables
from figures.pages.plateau import left_table, of_setting, of_study, table
from swe.base.errors import ResultError
from tests.figures.samples.bert_tables import write_table
from tests.figures.samples.files import dump_lines

Edit = Callable[[Path, Callable[[Any], None]], None]


def test_rows_hold_every_seed_in_order() -> None:
    def run(arm: str, seed: int, *losses: float) -> dict[str, object]:
        return {"arm": arm, "seed": seed, "valid": {"step": [100, 200], "loss": list(losses)}}

    shown = table([run("swe-f", 1, 6.5, 6.1), run("swe-f", 0, 6.5, 5.5), run("baseline", 0, 6, 5)])
    swe, base = (line.split(" | ") for line in shown.splitlines()[2:])
    assert swe[1:3] == ["150, never", "200, never"]
    assert base[1] == "100"
    assert "Below 1 nats" not in shown
    low = table([run("swe-f", 0, 2.1, 0.05)]).splitlines()
    assert low[0] == "| Arm | Below 1.5 nats | Below 1 nats | Below 0.1 nats |"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    write_table(tmp_path / "studies" / "12x64", "headline")
    return tmp_path / "studies"


def only(records: Path) -> Table:
    [found] = recorded_tables(records)
    return found


def test_a_study_is_stuck_has_left_or_was_not_looked_at(records: Path, edit: Edit) -> None:
    path = records / "12x64" / "headline.json"
    assert "| not computed | " in left_table(records)
    ends = [v for arm in only(records).data["arms"].values() for v in arm["values"].values()]
    edit(path, lambda data: data.update(blind={"loss": min(ends) + 0.5 - 1e-9}))
    stuck = of_study(only(records))
    assert (stuck.left, stuck.runs, stuck.at, stuck.least) == (0, len(ends), None, min(ends))
    assert f"| 0 of {len(ends)} | stuck |" in left_table(records)
    edit(path, lambda data: data.update(blind={"loss": 6.9}))  # losses fall from 7 in 10 updates
    gone = of_study(only(records))
    assert (gone.left, gone.runs) == (len(ends), len(ends))
    first = 10 + 10 * (7.0 - 6.4) / (7.0 - min(ends))
    assert gone.at == pytest.approx(512 * first, rel=1e-12)


LINE = {
    "setting": "2x16, vocabulary 256",
    "steps": 40,
    "tokens_per_update": 64,
    "blind": {"loss": 4.0},
    "valid": {"step": [10, 20, 40], "loss": [4.2, 3.8, 3.4]},
}


def test_a_single_run_is_a_row_as_well(records: Path) -> None:
    row = of_setting(LINE)
    assert (row.runs, row.left, row.tokens, row.least) == (1, 1, 2560, 3.4)
    assert row.at == pytest.approx(64 * 35)
    dump_lines_at(
        records.parent / "plateau" / "settings.jsonl", [LINE, LINE | {"blind": {"loss": 3}}]
    )
    shown = left_table(records)
    assert "| 2x16, vocabulary 256 | 40 | 2 560 | 4.000 | 3.400 | 1 of 1 | 0.00224 M |" in shown
    assert "| 3.000 | 3.400 | 0 of 1 | stuck |" in shown
    dump_lines_at(records.parent / "plateau" / "settings.jsonl", [{"setting": "torn"}])
    with pytest.raises(ResultError, match=r"settings\.jsonl"):
        left_table(records)


def test_without_records_it_was_not_run(tmp_path: Path) -> None:
    assert left_table(tmp_path / "studies") == "not run"


def dump_lines_at(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dump_lines(path, lines)
