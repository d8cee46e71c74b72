"""The paper's tables as pictures: numbers are the data's, what is unfinished says so."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence.results import own_tables, recorded_tables
from figures.base import style
from figures.base.wording import interval
from figures.bert import sweeps as bert_sweeps
from figures.bert import tables as bert_tables
from figures.bert.speedup import ratio_words
from figures.bert.table_figures import draw_tables
from figures.bert.table_results import TITLES
from figures.pages.report import build
from figures.pages.studies import take, without_folders
from tests.figures.samples.bert_tables import FOLDER, sample, write_table
from tests.figures.samples.files import dump

Edit = Callable[[Path, Callable[[Any], None]], None]


def caption(out: Path, name: str) -> str:
    return str(json.loads((out / "figures" / f"{name}.json").read_text("utf-8"))["caption"])


@pytest.mark.parametrize("table", [table for table in TITLES if table != "speedup"])
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


def test_a_causal_table_says_so() -> None:
    table = sample("table1")
    assert ", causal" not in str(bert_tables._caption(table))
    assert bert_tables._panels(table).axes[1].get_title().endswith("masked accuracy")
    table["study"]["objective"] = "causal"
    assert ", causal, " in str(bert_tables._caption(table))
    assert bert_tables._panels(table).axes[1].get_title().endswith("next-token accuracy")


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


def test_every_table_with_a_sweep_has_its_figure(built: Path) -> None:
    for table in ("table3", "sweep"):
        words = json.loads((built / "figures" / f"bert_{table}_tau.json").read_text("utf-8"))
        assert words["sources"] == [f"bert/tables/{FOLDER}/{table}.json"]
    assert not (built / "figures" / "bert_table4_tau.json").exists()


def test_curves_are_drawn_once_a_study_from_its_fullest_table(built: Path) -> None:
    for part in ("loss", "correlations", "dispersion", "theory"):
        found = sorted(path.name for path in (built / "figures").glob(f"bert_*_{part}.json"))
        assert found == [f"bert_sweep_{part}.json"]
    words = caption(built, "bert_sweep_theory")
    assert "tau 10 %: predicted +0.1333" in words
    assert "tau 40 %: predicted +0.1333 [-0.0101, +0.2768], measured".replace("-", "−") in words
    assert words.count("(rates differ)") == 1
    assert "peak learning rate of each arm as tuned" in caption(built, "bert_sweep_loss")


def test_the_theorys_rows_are_raw_values(built: Path) -> None:
    with (built / "tables" / "sweep-theory.csv").open(newline="") as stream:
        rows = {row["quantity"]: row for row in csv.DictReader(stream)}
    assert rows["common energy, tied over never tied, last probe"]["predicted"] == ""
    assert float(rows["gain over the equal start, tau 0.4"]["measured"]) == pytest.approx(-0.06)


@pytest.mark.slow
@pytest.mark.usefixtures("few_figures")
def test_a_study_is_put_on_record_and_drawn_from_there(results: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    [taken] = take(results, "12x64", records, ["sweep"])
    assert taken.table == "sweep"
    [again] = recorded_tables(records)
    assert (again.study, again.source) == ("12x64", "records/studies/12x64/sweep.json")
    text = again.path.read_text("utf-8")
    assert "python paper_repro.py sweep --text a.txt --out o" in text
    assert "/home" not in text
    names = draw_tables(results, [again])
    assert names == [
        f"study_12x64_sweep{part}"
        for part in ("", "_tau", "_theory", "_loss", "_correlations", "_dispersion")
    ]
    assert (results / "tables" / "study-12x64-sweep.csv").exists()
    page = build(results, records).read_text("utf-8")
    assert 'id="fig-study_12x64_sweep"' in page
    assert "12x64 sweep: 36 runs, tuning apart" in page
    (records / "12x64" / "sweep.json").unlink()
    assert "study_12x64" not in build(results, records).read_text("utf-8")
    assert not list(results.glob("*/study*"))


def test_curves_go_on_record_once(results: Path, tmp_path: Path) -> None:
    take(results, "12x64", tmp_path, ["headline", "sweep"])
    names = sorted(path.name for path in (tmp_path / "12x64").iterdir())
    assert names == ["headline.json", "sweep-curves.jsonl", "sweep.json"]


def test_tables_of_two_studies_do_not_go_on_one_record(results: Path, tmp_path: Path) -> None:
    write_table(results / "bert" / "tables" / "other", "headline")
    dump(results / "bert" / "tables" / "headline.json", {"folder": "other", "scale": "small"})
    with pytest.raises(ValueError, match="sweep, headline are of several studies"):
        take(results, "x", tmp_path / "records", ["sweep", "headline"])
    assert not (tmp_path / "records").exists()
    [taken] = take(results, "x", tmp_path / "records", ["headline"])
    assert taken.path.parent.name == "other"


def test_a_table_that_was_not_run_cannot_be_put_on_record(results: Path, tmp_path: Path) -> None:
    (results / "bert" / "tables" / "table2.json").unlink()
    with pytest.raises(ValueError, match="has no table table2"):
        take(results, "x", tmp_path / "records", ["sweep", "table2"])
    assert not (tmp_path / "records").exists()
    with pytest.raises(ValueError, match="not the name of a file"):
        take(results, "../x", tmp_path / "records")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("python a.py --text /x/y.txt z/ --out=/tmp/o", "python a.py --text y.txt z/ o"),
        ("python a.py --set tau=0.1 /", "python a.py --set tau=0.1 /"),
    ],
)
def test_commands_lose_their_folders(command: str, shown: str) -> None:
    assert without_folders(command) == shown


def test_a_speed_up_outside_the_baselines_is_a_bound_in_words(results: Path, edit: Edit) -> None:
    found = {
        "ratio": None,
        "low": None,
        "high": None,
        "n": 3,
        "values": {"0": 0.5},
        "censored": {"0": "below", "2": "above"},
    }
    assert "1 of 3 seeds worse than the shortest, 1 better" in ratio_words(found)
    path = results / "bert" / "tables" / FOLDER / "speedup.json"
    edit(path, lambda table: table["speedup"].update({"swe-f": found}))
    assert "bert_speedup" in draw_tables(results, own_tables(results))
    assert "SWE-F outside the baselines' range" in caption(results, "bert_speedup")


def test_a_table_with_nothing_to_compare_is_not_drawn(results: Path, edit: Edit) -> None:
    path = results / "bert" / "tables" / FOLDER / "table2.json"

    def empty(table: Any) -> None:
        for entry in table["arms"].values():
            entry.pop("difference", None)

    edit(path, empty)
    assert "table2" not in {result.table for result in own_tables(results)}
