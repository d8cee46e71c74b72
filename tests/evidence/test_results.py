"""One reader knows where results lie: pointers, tables, scores, and which records are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert.claims.ledger import bert_claims
from evidence.results import (
    ON_RECORD,
    comparison_source,
    find_tables,
    missing_records,
    pointed,
    read_data,
    recorded_tables,
)
from swe.base.errors import ResultError
from tests.figures.samples.bert_tables import sample, write_table
from tests.figures.samples.files import dump

RECORDS = Path(__file__).resolve().parents[2] / "records"


def test_a_pointer_names_a_folder_beside_it(tmp_path: Path) -> None:
    assert pointed(tmp_path, "bert/tables/sweep.json") is None
    assert comparison_source(tmp_path) is None
    dump(tmp_path / "bert" / "tables" / "sweep.json", {"folder": "small-0"})
    dump(tmp_path / "bert" / "current.json", {"folder": "small-1"})
    assert pointed(tmp_path, "bert/tables/sweep.json") == "bert/tables/small-0"
    assert comparison_source(tmp_path) == "bert/small-1/comparison.json"


@pytest.mark.parametrize("content", [{"folder": "../x"}, {"folder": 7}, {}, [], 7, "x"])
def test_any_other_pointer_is_refused_by_name(content: Any, tmp_path: Path) -> None:
    dump(tmp_path / "bert" / "current.json", content)
    with pytest.raises(ResultError, match=r"bert/current\.json: not the expected content"):
        pointed(tmp_path, "bert/current.json")


def test_data_of_a_result(tmp_path: Path) -> None:
    assert read_data(tmp_path, "toy/moments.json") is None
    dump(tmp_path / "toy" / "moments.json", {"data": [1]})
    assert read_data(tmp_path, "toy/moments.json") == [1]
    dump(tmp_path / "toy" / "moments.json", {"key": "0"})
    with pytest.raises(ResultError, match=r"toy/moments\.json: .*KeyError: 'data'"):
        read_data(tmp_path, "toy/moments.json")


def test_own_tables_come_first_then_as_they_are_named(tmp_path: Path) -> None:
    out, studies = tmp_path / "out", tmp_path / "studies"
    dump(out / "bert" / "tables" / "headline.json", {"folder": "x"})
    write_table(out / "bert" / "tables" / "x", "headline")
    for study, table in (("b", "table1"), ("a", "sweep"), ("a", "table1")):
        write_table(studies / study, table)
    found = find_tables(out, studies, ("table1", "sweep", "headline"), "swe-f")
    assert [(table.study, table.table) for table in found] == [
        ("", "headline"),
        ("a", "table1"),
        ("b", "table1"),
        ("a", "sweep"),
    ]
    assert find_tables(out, None, ("table1",)) == []
    assert find_tables(out, studies, ("sweep",), "no such arm") == []


def test_a_table_without_its_arms_is_refused_everywhere(tmp_path: Path) -> None:
    table = sample("sweep")
    del table["arms"]["baseline"]
    dump(tmp_path / "a" / "sweep.json", table)
    for read in (recorded_tables, lambda studies: bert_claims(tmp_path / "out", studies)):
        with pytest.raises(ResultError, match=r"a/sweep\.json: not the expected content"):
            read(tmp_path)


def test_the_shipped_records_are_whole() -> None:
    assert missing_records(RECORDS) == ""


def test_missing_records_are_named_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger is written all the same: with what this folder has."""
    monkeypatch.setattr(paper_repro, "STUDIES_ON_RECORD", tmp_path / "records" / "studies")
    assert paper_repro.main(["claims", "--out", str(tmp_path / "out")]) == 0
    [line] = capsys.readouterr().err.splitlines()
    records = tmp_path / "records"
    assert line.startswith(f"paper_repro.py: {records}: has no {', no '.join(ON_RECORD)}: ")
    ledger = json.loads((tmp_path / "out" / "claims.json").read_text("utf-8"))
    assert {record["verdict"] for record in ledger} == {"not run"}
    for name in ON_RECORD[1:]:
        dump(records / name, {})
    (records / "studies" / "empty").mkdir(parents=True)
    assert missing_records(records).startswith(f"{records}: has no studies/*/*.json: ")
