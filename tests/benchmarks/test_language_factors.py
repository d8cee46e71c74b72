"""The cells of the factors: the list on record, what a line holds, what is left to run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.language_factors import ends, left
from bert.study.factors import CENTRE, FACTORS, FRACTION, Cell, cells
from bert.study.language_study import LANGUAGE_SCALES, build_language_task
from bert.study.table_study import chosen_arms
from swe.base.errors import NonFiniteLossError
from swe.base.files import append_line, read_json
from swe.run.loop import train

RECORD = Path(__file__).resolve().parents[2] / "records" / "factors" / "cells.json"


def test_the_list_on_record_is_the_list() -> None:
    """What was expected before the first run stays what was expected."""
    assert read_json(RECORD)["cells"] == [cell.to_json() for cell in cells()]


def test_one_factor_differs_from_the_centre_at_a_time() -> None:
    centre, *rest = [cell.study(2) for cell in cells()]
    shown = LANGUAGE_SCALES["demo"]["composition"]
    assert (centre.size, centre.steps, centre.rates) == (shown.size, shown.steps, shown.rates)
    assert list(CENTRE) == ["size", "steps", "rates", "placement"]
    values = sum(map(len, FACTORS.values()))
    assert len(rest) == values + FRACTION
    assert len({(s.size, s.steps, s.rates, s.placement, s.language, s.branch_scale,
                 s.initial_scale) for s in [centre, *rest]}) == len(rest) + 1  # fmt: skip
    for cell in cells()[1 : values + 1]:
        [(factor, value)] = cell.differs.items()
        assert cell.name == f"{factor} {value}"
        assert cell.expected in ("larger", "smaller", "same"), cell.name
    drawn = cells()[values + 1 :]
    assert all(cell.study(2).steps <= centre.steps and not cell.expected for cell in drawn)
    assert all(2 <= len(cell.differs) <= 4 for cell in drawn)


def test_seeds_are_new_and_outermost(tmp_path: Path) -> None:
    out = tmp_path / "effects.jsonl"
    every = left(out, 2)
    assert [index for _, index, _ in every] == [0] * len(cells()) + [1] * len(cells())
    assert [*cells()[0].study(2).headline_seeds] == [200, 201]
    append_line(out, {"cell": "centre", "seed": 200})
    assert len(left(out, 2)) == len(every) - 1
    assert len(left(out, 3)) == len(every) + len(cells()) - 1


TINY = Cell(
    "tiny",
    {},
    {"size": "2x16", "rows": 4, "steps": 4, "validation_rows": 20, "language.hops": 2},
)


def test_a_cell_is_the_studys_own_runs(tmp_path: Path) -> None:
    study = TINY.study(2)
    found = ends(study, 201)
    assert list(found["losses"]) == ["baseline", "equal-start", "swe-f"]
    arm = chosen_arms("composition", study)[2]
    config = study.arm_config(arm, 4e-3, 201)
    alone = train(build_language_task(study), config, tmp_path)["valid"]
    assert found["losses"]["swe-f"] == alone["loss"], "probes change nothing"
    assert found["learnt"]["swe-f"] == []


def test_a_run_that_diverges_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*given: Any, **named: Any) -> None:
        raise NonFiniteLossError("no")

    monkeypatch.setattr("benchmarks.language_factors.train", no)
    found = ends(TINY.study(2), 200)
    assert found["losses"] == {"baseline": None, "equal-start": None, "swe-f": None}
    assert all(math.isfinite(value) for value in found["seconds"].values())
