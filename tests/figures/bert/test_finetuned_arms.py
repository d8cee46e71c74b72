"""Fine-tuned scores of a table's arms as picture, CSV and page: all from one file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from evidence.results import own_scores, recorded_scores
from figures.bert import finetuned_arms as bert_finetune
from figures.pages.report import build
from swe.base.errors import ResultError
from tests.figures.samples.bert_tables import FOLDER
from tests.figures.samples.files import dump
from tests.figures.samples.finetuned import TABLES, sample, write_scores


def draw(out: Path) -> list[str]:
    return bert_finetune.draw_scores(out, own_scores(out))


def test_the_caption_says_scores_flags_and_recipe(built: Path) -> None:
    words = json.loads((built / "figures" / "bert_sweep_finetune.json").read_text("utf-8"))
    assert words["sources"] == [f"bert/finetune/{FOLDER}/sweep.json"]
    caption = words["caption"]
    # SWE-F: gaps 2, 2.2, 2.4, of three fine-tunes at the rate one is flagged.
    assert "SST-2: equal start +1.1" in caption
    assert "SWE-F +2.2 [+1.7, +2.7] (n = 3, 1 of 3 degenerate), better" in caption
    assert "chosen for each arm by pre-training seed 0" in caption
    assert "A fine-tune is degenerate when" in caption
    assert "were not run: SQuAD 1.1, SQuAD 2.0, AX, MNLI-m, MNLI-mm, QNLI and QQP." in caption


def test_csv_and_page_hold_the_same_numbers() -> None:
    found = sample("table1")
    rows = bert_finetune.rows(found)
    assert [(row["task"], row["arm"]) for row in rows[:3]] == [
        ("sst-2", "baseline"), ("sst-2", "equal-start"), ("sst-2", "swe-f"),
    ]  # fmt: skip
    assert rows[2]["difference"] == pytest.approx(2.2)
    assert rows[2]["values"] == "63 64.2 65.4"
    assert (rows[2]["degenerate"], rows[2]["fine_tunes"]) == (1, 3)
    assert (rows[2]["paper_score"], rows[1]["paper_score"]) == (94.2, None)
    assert bert_finetune.paper_gain(found, "sst-2", "swe-f") == pytest.approx(94.2 - 94.5)
    assert bert_finetune.paper_gain(found, "sst-2", "baseline") is None
    assert {row["task"] for row in rows} == {"sst-2", "sick", "sick test"}
    cell = bert_finetune.cells(found)[2]
    assert cell["difference"] == "+2.2 [+1.7, +2.7]"
    assert (cell["degenerate"], cell["constant"], cell["paper"]) == ("1 of 3", "50.9", "94.2")
    page = bert_finetune.page(found)
    assert page.count("\n| ") == 2 + 9 - 1
    assert "`python arms.py sweep --task sst-2 --data glue`" in page
    [test] = [
        cell
        for cell in bert_finetune.cells(found)
        if (cell["task"], cell["arm"]) == ("SICK, test", "SWE-F")
    ]
    assert test["degenerate"] == "—", "flags are the development part's"


def test_the_report_lists_them_as_csv(built: Path) -> None:
    for table in TABLES:
        with (built / "tables" / f"bert-{table}-finetune.csv").open(newline="") as stream:
            assert len(list(csv.DictReader(stream))) == 9
    assert (built / "figures" / "finetune.png").exists()
    words = json.loads((built / "figures" / "finetune.json").read_text("utf-8"))
    assert words["sources"] == ["finetune/sst-2/table.json"]


def test_one_seed_and_one_arm_have_no_interval(tmp_path: Path) -> None:
    write_scores(tmp_path)
    path = tmp_path / "bert" / "finetune" / FOLDER / "sweep.json"
    dump(path, sample("sweep", seeds=1))
    assert "bert_sweep_finetune" in draw(tmp_path)
    words = json.loads((tmp_path / "figures" / "bert_sweep_finetune.json").read_text("utf-8"))
    assert "one seed: no interval" in words["caption"]
    found = sample("sweep", seeds=1)
    for line in found["tasks"].values():
        line["arms"] = {"baseline": line["arms"]["baseline"]}
    dump(path, found)
    assert "bert_sweep_finetune" in draw(tmp_path)
    assert [row["arm"] for row in bert_finetune.rows(found)] == ["baseline"] * 3


def test_the_report_has_own_and_recorded_scores_alone(
    tmp_path: Path,
) -> None:
    out, records = tmp_path / "results", tmp_path / "records"
    dump(out / "bert" / "finetune" / "sweep.json", {"folder": FOLDER})
    dump(out / "bert" / "finetune" / FOLDER / "sweep.json", sample("sweep"))
    dump(records / "finetune" / "scores.json", sample("sweep"))
    names = ("bert_sweep_finetune", "study_finetune")
    page = build(out, records / "studies").read_text(encoding="utf-8")
    assert all(f'id="fig-{name}"' in page for name in names)
    assert bert_finetune.COMMAND not in page
    (out / "bert" / "finetune" / "sweep.json").unlink()
    page = build(out).read_text(encoding="utf-8")
    assert bert_finetune.COMMAND in page
    for name in names:
        assert f'id="fig-{name}"' not in page
        assert not (out / "figures" / f"{name}.png").exists()
        assert not (out / "tables" / f"{name.replace('_', '-')}.csv").exists()


def test_scores_on_record_stand_with_the_studies(tmp_path: Path) -> None:
    """In finetune/ beside studies/, whatever the results folder has."""
    dump(tmp_path / "records" / "finetune" / "scores.json", sample("sweep"))
    found = recorded_scores(tmp_path / "records" / "studies")
    assert bert_finetune.draw_scores(tmp_path, found) == ["study_finetune"]
    words = json.loads((tmp_path / "figures" / "study_finetune.json").read_text("utf-8"))
    assert words["sources"] == ["records/finetune/scores.json"]
    assert recorded_scores(None) == []


def test_absent_and_malformed(tmp_path: Path) -> None:
    assert draw(tmp_path) == []
    write_scores(tmp_path)
    dump(tmp_path / "bert" / "finetune" / FOLDER / "sweep.json", {"tasks": 7})
    with pytest.raises(ResultError, match=r"sweep\.json: not the expected content"):
        draw(tmp_path)
    dump(tmp_path / "bert" / "finetune" / "sweep.json", {"folder": "../../secret"})
    with pytest.raises(ResultError, match=r"not the name of a file"):
        draw(tmp_path)
