"""The factors' figure and table: rows by hand, cells not run, what came and what was expected."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from figures.bert.factors import NAME, draw, in_words, rows
from figures.pages.factors import table
from figures.pages.report import build
from swe.base.errors import ResultError
from swe.base.files import append_line, read_json, write_json

CELLS: list[dict[str, Any]] = [
    {"name": "centre", "differs": {}, "expected": "", "why": ""},
    {"name": "depth 12", "differs": {"depth": "12"}, "expected": "larger", "why": "deep"},
    {"name": "rate 8", "differs": {"rate": "8"}, "expected": "same", "why": "flat"},
    {"name": "rate 9", "differs": {"rate": "9"}, "expected": "smaller", "why": "steep"},
    {"name": "random 1", "differs": {"a": "1", "b": "2"}, "expected": "", "why": ""},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seeds of three cells; one of "rate 8" diverged; two cells were not run."""
    found = tmp_path / "factors"
    write_json(found / "cells.json", {"cells": CELLS})
    runs: dict[str, list[tuple[float | None, ...]]] = {
        "centre": [(1.0, 0.9, 0.8), (1.0, 1.2, 0.7)],
        "depth 12": [(1.0, 1.0, 0.5), (1.0, 0.9, 0.5)],
        "rate 8": [(1.0, 1.0, 0.8), (1.0, None, 0.7)],
    }
    for cell, seeds in runs.items():
        for seed, losses in enumerate(seeds, 200):
            named = dict(zip(("baseline", "equal-start", "swe-f"), losses, strict=True))
            append_line(found / "effects.jsonl", {"cell": cell, "seed": seed, "losses": named})
    return found


def test_rows_are_those_computed_by_hand(folder: Path) -> None:
    centre, depth, rate, *rest = rows(folder)
    assert centre.gaps["baseline"].mean == pytest.approx(-0.25)
    assert centre.gaps["equal-start"].mean == pytest.approx(-0.3)
    assert (centre.beside, centre.agrees) == (None, None)
    # Gains 0.1 and 0.3 at the centre, 0.5 and 0.4 at depth 12: 0.4 and 0.1 more.
    assert depth.beside is not None
    assert depth.beside.mean == pytest.approx(0.25)
    half = 12.706205 * math.sqrt(2 * 0.15**2 / 1 / 2)
    assert depth.beside.high == pytest.approx(0.25 + half, rel=1e-6)
    assert depth.agrees is True
    assert rate.beside is not None
    assert (rate.beside.n, rate.gaps["baseline"].n) == (1, 1), "the diverged seed is left out"
    assert rate.agrees is None, "one seed holds anything"
    assert [row.gaps for row in rest] == [{}, {}]


def test_the_same_is_said_of_three_seeds(folder: Path) -> None:
    """Gains 0.1, 0.3 and 0.2 at the centre; 0.2, 0.3 and 0.1, and 0.8, 1.1 and 0.9 beside it."""
    for cell, gains in (("centre", (0.2,)), ("rate 8", (0.3, 0.1))):
        for seed, gain in enumerate(gains, 203 - len(gains)):
            losses = {"baseline": 1.0, "equal-start": 1.0, "swe-f": 1.0 - gain}
            append_line(folder / "effects.jsonl", {"cell": cell, "seed": seed, "losses": losses})
    assert rows(folder)[2].agrees is True
    for seed, gain in enumerate((0.8, 1.1, 0.9), 200):
        losses = {"baseline": 1.0, "equal-start": 1.0, "swe-f": 1.0 - gain}
        append_line(folder / "effects.jsonl", {"cell": "rate 8", "seed": seed, "losses": losses})
    assert rows(folder)[2].agrees is False


def test_the_figure_and_the_table_say_what_was_not_run(folder: Path, tmp_path: Path) -> None:
    assert draw(tmp_path, folder)
    words = read_json(tmp_path / "figures" / f"{NAME}.json")
    assert "5 cells of which 2 were not run, n = 1 and 2 paired seeds" in words["caption"]
    assert "1 of 1 came so" in words["caption"]
    page = table(folder.parent / "studies")
    assert "| rate 9 | 0 | not run | not run | smaller: steep | — | — |" in page
    assert "1 of 1 cells expected larger or smaller came so by the sign" in page
    assert page.endswith("The fraction: random 1: a 1, b 2.")
    assert in_words(rows(folder)[1])["agrees"] == "yes"


def test_the_report_shows_it_under_its_question(folder: Path, tmp_path: Path) -> None:
    page = build(tmp_path / "out", folder.parent / "studies").read_text(encoding="utf-8")
    assert f'id="fig-{NAME}"' in page


def test_without_runs_nothing_is_drawn(folder: Path, tmp_path: Path) -> None:
    (folder / "effects.jsonl").unlink()
    assert not draw(tmp_path / "out", folder)
    assert "| centre | 0 | not run |" in table(folder.parent / "studies")
    (folder / "cells.json").unlink()
    assert rows(folder) == []
    assert table(folder.parent / "studies") == "not run"


def test_lines_of_something_else_are_named(folder: Path) -> None:
    append_line(folder / "effects.jsonl", {"cell": "centre"})
    with pytest.raises(ResultError, match=r"effects\.jsonl"):
        rows(folder)
