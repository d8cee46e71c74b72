"""The paper's tables as pictures: numbers are the data's, what is unfinished says so."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from figures import bert_speedup, bert_sweeps, bert_tables, style
from figures.bert_speedup import ratio_words
from figures.wording import interval
from tests.figures.samples.bert_tables import FOLDER, sample

Edit = Callable[[Path, Callable[[Any], None]], None]


def caption(out: Path, name: str) -> str:
    return str(json.loads((out / "figures" / f"{name}.json").read_text("utf-8"))["caption"])


@pytest.mark.parametrize("table", list(bert_tables.TITLES))
def test_every_arm_is_in_the_caption_with_its_interval(table: str, built: Path) -> None:
    words, data = caption(built, f"bert_{table}"), sample(table)
    for name, entry in data["arms"].items():
        label = style.arm_look(name).label
        if name == "baseline":
            continue
        if "difference" in entry:
            assert f"{label} {interval(entry['difference'])} (rate 0.00200" in words
        else:
            assert f"Not finished: {label}." in words
    assert "SWE-F" in words
    assert "end of the grid, n = 3" in words


def test_the_papers_gain_is_its_accuracy_minus_its_baselines() -> None:
    """Table 4: 6x4 gains 73.88 - 73.21; an arm that the paper lacks has no number."""
    table = sample("table4")
    table["paper"]["accuracy"]["swe-f 6x2"] = 73.71
    assert bert_tables.paper_gain(table, "swe-f 6x2") == pytest.approx(0.50)
    assert bert_tables.paper_gain(table, "equal-start") is None
    assert bert_tables.paper_gain(table, "baseline") is None
    assert "SWE-F +0.51" in str(bert_tables._caption(table))


def test_the_csv_holds_raw_values(built: Path) -> None:
    with (built / "tables" / "table1.csv").open(newline="") as stream:
        rows = {row["arm"]: row for row in csv.DictReader(stream)}
    entry = sample("table1")["arms"]["swe-a"]
    assert float(rows["swe-a"]["difference"]) == entry["difference"]["mean"]
    assert float(rows["swe-a"]["paper_accuracy_percent"]) == 73.86
    assert rows["sham reset"]["loss"] == ""
    assert (built / "tables" / "speedup.csv").exists()


def test_the_sweep_is_ordered_by_tau_and_leaves_variants_out() -> None:
    table = sample("table3")
    taus = [tau for tau, _ in bert_sweeps.points(table, "swe-f", "until")]
    assert taus == [0.02, 0.05, 0.1, 0.2, 0.4]
    assert len(bert_sweeps.points(table, "swe-m", "rho")) == 5
    assert len(bert_sweeps.points(sample("table1"), "swe-f", "until")) == 1


def test_the_sweep_falls_back_to_the_one_machine_study(results: Path) -> None:
    (results / "bert" / "tables" / "table3.json").unlink()
    assert bert_sweeps.draw(results)
    words = json.loads((results / "figures" / "bert_sweeps.json").read_text("utf-8"))
    assert words["sources"] == [f"bert/tables/{FOLDER}/sweep.json"]
    (results / "bert" / "tables" / "sweep.json").unlink()
    assert not bert_sweeps.draw(results)


def test_a_speed_up_outside_the_baselines_is_a_bound_in_words(results: Path, edit: Edit) -> None:
    found = {"ratio": None, "low": None, "high": None, "n": 3, "values": {"0": 0.5},
             "censored": {"0": "below", "2": "above"}}  # fmt: skip
    assert "1 of 3 seeds worse than the shortest, 1 better" in ratio_words(found)
    path = results / "bert" / "tables" / FOLDER / "speedup.json"
    edit(path, lambda table: table["speedup"].update({"swe-f": found}))
    assert bert_speedup.draw(results)
    assert "SWE-F outside the baselines' range" in caption(results, "bert_speedup")


def test_a_table_with_nothing_to_compare_is_not_drawn(results: Path, edit: Edit) -> None:
    path = results / "bert" / "tables" / FOLDER / "table2.json"

    def empty(table: Any) -> None:
        for entry in table["arms"].values():
            entry.pop("difference", None)

    edit(path, empty)
    assert bert_tables.drawer("table2")(results) is False
