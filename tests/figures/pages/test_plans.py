"""A plan's page: every verb, both ends of a range, and bytes that are not the planned ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from figures.pages.plans import plan, prices, ranks, trained
from swe.base.errors import ResultError
from swe.base.files import read_json, write_json

RECORDS = Path(__file__).resolve().parents[3] / "records"


def test_every_verb_and_bandwidth_has_its_cell() -> None:
    record = read_json(RECORDS / "plan.json")
    first, second = plan(record).split("\n\n")[1], plan(record).split("\n\n")[3]
    assert len(first.splitlines()) == 2 + len(record["verbs"]) + 1, "and together"
    assert len(second.splitlines()) == 2 + len(record["bandwidths"])
    bert = first.splitlines()[2].split(" | ")
    low, high = record["verbs"][0]["hours"][0]
    assert bert[7] == f"{low:.0f} to {high:.0f}"
    assert first.splitlines()[-1].split(" | ")[5] == "—", "no memory of all together"


def test_a_price_is_the_plans_hours() -> None:
    row = {"runs": 30, "updates": 54_000, "compute_gpu_hours": 2.87, "tokens_per_second": 1e4}
    one = row | {"verb": "table2"}
    shared = row | {"runs": 50, "compute_gpu_hours": 4.0}
    record = {"verbs": [one, one], "together": shared, "environment": {"command": "plan it"}}
    table, note = prices(record).split("\n\n")
    first, last = ([c.strip("| ") for c in table.splitlines()[n].split(" | ")] for n in (2, -1))
    assert (first[:2], first[3]) == (["table2", "30"], "2.9")
    assert (last[:2], last[3]) == (["together", "50"], "4.0")
    assert "`plan it`" in note


def timed(**changes: Any) -> dict[str, Any]:
    return {
        "layout": "1x4",
        "all_reduced_bytes": 100,
        "planned_bytes": 100,
        "reduce_seconds": 1.0,
        "planned_seconds": [2.0, 4.0],
        "median_seconds": {"compute": 2.0, "whole": 3.0},
        "seconds": {"whole": [3.0]},
    } | changes


def write(folder: Path, *updates: dict[str, Any]) -> None:
    here = {"device": "ABC", "torch": "2", "commit": "c" * 40}
    record = {"ranks": 2, "size": "4x32", "rows_each_rank": 1, "length": 8, "environment": here}
    write_json(folder / "ranks-2.json", record | {"updates": list(updates)})


def test_a_measured_update_stands_beside_both_ends(tmp_path: Path) -> None:
    assert ranks(tmp_path) == "not run"
    untimed = {"all_reduced_bytes": 100, "planned_bytes": 100}
    write(tmp_path, untimed, timed())
    table, note = ranks(tmp_path).split("\n\n")
    [row] = table.splitlines()[2:]
    assert row.split(" | ")[5:] == ["2.000 to 4.000", "3.000", "0.75 to 1.50 |"]
    assert note.endswith("medians of n = 1. The bytes sent are the planned ones, to the byte.")
    write(tmp_path, untimed | {"planned_bytes": 99}, timed())
    assert ranks(tmp_path).endswith("The bytes sent are NOT the planned ones.")
    write(tmp_path, {"layout": "1x4"})
    with pytest.raises(ResultError, match=r"ranks-2\.json"):
        ranks(tmp_path)


def test_the_model_of_time_holds_where_it_was_tried() -> None:
    """Medians of a machine that does other work too: within a tenth of the bounds."""
    for count in (2, 4):
        record = read_json(RECORDS / f"ranks-{count}.json")
        updates = [update for update in record["updates"] if "seconds" in update]
        assert [update["layout"] for update in updates] == ["1x12", "12x1"]
        for update in updates:
            low, high = update["planned_seconds"]
            assert 0.9 * low <= update["median_seconds"]["whole"] <= 1.1 * high


def test_a_planned_speed_stands_beside_whole_runs() -> None:
    record = read_json(RECORDS / "plan-gpu.json")
    [row] = record["verbs"]
    [one] = row["trained"]
    table = trained(record).split("\n\n")[1]
    cells = table.splitlines()[2].split(" | ")
    assert cells[5] == f"{row['tokens_per_second'] / one['at_most']:.1f}"
    assert trained(record | {"verbs": [row | {"trained": []}]}) == "not run"
