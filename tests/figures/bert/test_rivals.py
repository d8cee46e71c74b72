"""The comparison of all methods in figures and words: what a record says, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evidence.plateau import state
from evidence.rivals import METHODS, RIVALS, saving
from figures.base import style
from figures.bert.rivals import SHIFT, _curve, draw_recorded, methods, spent
from figures.pages.readme import render
from figures.pages.rivals import advice, ledgers, saving_words, sentences, table
from tests.figures.samples.files import dump
from tests.figures.samples.rivals import UNFINISHED, sample

PAGE = Path("docs/rivals.md")


def cells(text: str, first: str) -> list[str]:
    """The cells of a markdown table's row."""
    [row] = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_row_has_ours_beside_what_is_claimed() -> None:
    data = sample("composition")
    text = table(data)
    found = cells(text, "SWE-F")
    gap = data["arms"]["swe-f"]["difference"]
    assert found[2].startswith(f"−{-gap['mean']:.3f} \\[−")
    assert found[3:6] == ["5", "helps", "3 of 5"]
    assert found[7].startswith("50 % of the updates")
    assert "Not run: bert2BERT's AKI, source not charged." in text
    assert cells(text, "baseline")[2:5] == ["—", "5", "reference"]
    compared = [name for name, arm in data["arms"].items() if "difference" in arm]
    count = sum(" x" not in name for name in compared)
    assert count < len(compared), "other budgets are no comparison of equals"
    assert f"Of {count} arms without any effect at budget 1, {count / 40:.1f} would be" in text


def test_savings_follow_the_ratio_of_budgets() -> None:
    data = {"speedup": {
        "a": {"n": 3, "ratio": 2.0, "low": 1.25, "high": 4.0, "censored": {}},
        "b": {"n": 3, "ratio": None, "low": None, "high": None,
              "censored": {"0": "above", "1": "below"}},
        "c": {"n": 1, "ratio": 0.5, "low": None, "high": None, "censored": {}},
    }}  # fmt: skip
    assert saving_words(saving(data, "a")) == "+50 % [+20, +75]"
    assert saving_words(saving(data, "b")) == (
        "not bracketed: 1 worse than the least budget, 1 better than the largest, 1 between"
    )
    assert saving_words(saving(data, "c")) == "−100 %"
    assert saving_words(saving(data, "d")) == "not run"


def test_the_ledgers_and_the_price() -> None:
    data = sample("hierarchy")
    text = ledgers(data)
    base, lemon = data["arms"]["baseline"], data["arms"]["lemon"]
    assert cells(text, "baseline")[1:4] == [str(base["steps"]), "1.000", "—"]
    assert (
        cells(text, "LEMON")[3] == f"{sum(lemon['phase_flops'][:-1]) / lemon['budget_flops']:.3f}"
    )
    assert "6x32, 6 blocks: 25.0 ms over 1\u202f234" in text
    assert "Not every arm was timed" in text
    del data["arms"][UNFINISHED]
    data["order"].remove(UNFINISHED)
    updates = sum(arm["steps"] for arm in data["arms"].values())
    assert f"{len(data['arms'])} arms of 12 runs, tuning included, are " in ledgers(data)
    assert f"{12 * 0.025 * updates / 3600:.1f} core-hours" in ledgers(data)


def test_the_advice_is_the_records() -> None:
    both = [sample("composition"), sample("hierarchy")]
    said = sentences(both)
    first, second = said.split("Where each level")
    assert first.startswith("Where one skill serves every depth (composition): SWE-F (−0.4")
    assert "then always shared (ALBERT)" in first
    assert "Net2Net, wider hurts" in first
    assert f"none of {len(METHODS)} methods helps" in second
    assert sentences([sample("composition", seeds=4)]) == ""


def test_on_text_what_counts_is_the_plateau() -> None:
    """Three seeds are enough there; no part is learnt."""
    data = sample("text", seeds=3)
    for name, arm in data["arms"].items():
        arm.pop("reached", None)
        if "values" in arm:
            arm["values"] = dict.fromkeys(arm["values"], 1.9 if name == "baseline x0.5" else 1.7)
    assert cells(table(data), "LEMON")[4:6] == [data["arms"]["lemon"]["verdict"], "—"], "causal"
    state(data, {"loss": 2.3, "predictions": 9})
    assert cells(table(data), "baseline")[5] == "3 of 3"
    stuck = cells(table(data), "baseline, budget x0.5")
    assert stuck[4].endswith(", stuck")
    assert stuck[5] == "0 of 3"
    assert sentences([data]).startswith("On text, past its plateau: ")
    state(data, {"loss": 1.0, "predictions": 9})
    assert cells(table(data), "LEMON")[4:6] == ["on the plateau", "0 of 3"]
    assert sentences([data]) == ""


def test_a_page_without_a_record_says_not_run(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    text = "<!-- begin: rivals:s/rivals-composition --><!-- end: rivals:s/rivals-composition -->"
    block = "<!-- begin: rivals-advice --><!-- end: rivals-advice -->"
    assert "not run" in render(text, studies)
    assert "not run" in render(block, studies)
    assert advice(studies) == "not run"
    dump(studies / "s" / "rivals-composition.json", sample("composition"))
    assert "| SWE-F |" in render(text, studies)
    assert "Where one skill" in render(block, studies)


def test_a_study_on_record_has_its_figure(tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    assert draw_recorded(tmp_path, studies) == []
    for name in RIVALS:
        dump(studies / "s" / f"{name}.json", sample(name.partition("-")[2]))
    assert draw_recorded(tmp_path, studies) == ["study_s_rivals"]
    words = json.loads((tmp_path / "figures" / "study_s_rivals.json").read_text("utf-8"))
    assert "Not finished: AKI, uncharged." in words["caption"]
    assert words["sources"] == [f"records/studies/s/{name}.json" for name in RIVALS]


def test_the_curve_is_drawn_at_what_was_spent() -> None:
    """The baseline's points at its budgets; a source that is not charged lies to the right."""
    data: dict[str, Any] = sample("composition")
    axes = style.new_figure(3.0).subplots()
    _curve(axes, data)
    base = axes.lines[0]
    ends = [
        data["arms"][name]["loss"]["mean"] for name in ("baseline x0.5", "baseline", "baseline x2")
    ]
    assert base.get_xydata() == pytest.approx(np.array([[0.5, 1.0, 2.0], ends]).T)
    # Bars are two points one above the other, at the mark's place: moved, but by less than said.
    unit = data["arms"]["baseline"]["budget_flops"]
    true = sorted({spent(arm, unit) for arm in data["arms"].values() if "loss" in arm})
    drawn = [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines]
    bars = [line for line in drawn if len(line) == 2 and line[0] == line[1]]
    assert len(bars) > len(methods(data))
    for bar in bars:
        assert min(abs(bar[0] / at - 1) for at in true) <= SHIFT
    assert methods(data)[:3] == ["equal-start", "swe-f", "swe-a"]
    assert not any(name.endswith(("uncharged", "x2")) for name in methods(data))


@pytest.mark.parametrize("name", RIVALS)
def test_the_page_shows_every_table(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind in ("rivals", "rivals-ledger"):
        assert f"<!-- begin: {kind}:rivals-6x32/{name} -->" in text
