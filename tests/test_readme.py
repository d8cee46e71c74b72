"""The README's example runs, its lines are the ones that CI runs, its numbers are the records'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from figures.pages import readme
from swe.base.files import write_text

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_own_model_example_runs_and_learns() -> None:
    match = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert match is not None
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(compile(match[1], "README.md", "exec"), names)
    assert names["stack"].layout.is_untied
    assert names["swe"].state.layout.is_untied
    held = {id(p) for group in names["optimizer"].param_groups for p in group["params"]}
    assert held == {id(p) for p in names["model"].parameters()}
    assert float(names["loss"]().detach()) < 8.0 / 2, (
        "the target's variance is 8: half of it is learnt"
    )


def test_ci_takes_the_test_line_from_here() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- tests -->" in script
    block = README.split("<!-- tests -->")[1].split("```")[1]
    [line] = [row for row in block.splitlines() if row.startswith("python3 -m venv")]
    assert "'.[test]'" in line
    assert "-m pytest" in line


def test_the_numbers_and_pictures_are_those_of_the_records() -> None:
    """A typed number, or a record changed without ``python -m figures.pages.readme``, is found
    here."""
    for page, least in ((ROOT / "README.md", 2), (ROOT / "docs" / "theory.md", 8)):
        text = page.read_text(encoding="utf-8")
        assert readme.render(text, ROOT / "records" / "default") == text
        pictures = readme.PICTURE.findall(text)
        assert len(pictures) >= least
        assert all((page.parent / picture).stat().st_size > 10_000 for picture in pictures)


def test_the_numbers_of_the_data_page_are_those_of_its_record() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert "<!-- begin: stores -->" in text
    assert readme.render(text, ROOT / "records" / "data") == text


def test_the_numbers_and_pictures_of_the_tables_page_are_those_of_the_studies() -> None:
    """Every study on record is shown, and nothing else."""
    page = ROOT / "docs" / "bert.md"
    text = page.read_text(encoding="utf-8")
    assert readme.render(text, ROOT / "records" / "studies") == text
    shown = set(re.findall(r"begin: study:(\S+) -->", text))
    there = {
        f"{path.parent.name}/{path.stem}" for path in (ROOT / "records").glob("studies/*/*.json")
    }
    assert shown == there
    pictures = readme.PICTURE.findall(text)
    assert all((page.parent / picture).stat().st_size > 10_000 for picture in pictures)


def test_the_numbers_of_the_speed_page_are_those_of_the_records() -> None:
    """What has no record says so, and nothing else does."""
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert readme.render(text, ROOT / "records") == text
    for name in re.findall(r"begin: (throughput-\S+) -->", text):
        block = text.split(f"<!-- begin: {name} -->")[1].split("<!-- end:")[0].strip()
        assert (block == "not run") == (not (ROOT / "records" / f"{name}.json").exists())


def test_the_scores_of_the_fine_tuning_page_are_those_of_its_records() -> None:
    text = (ROOT / "docs" / "finetune.md").read_text(encoding="utf-8")
    records = ROOT / "records" / "finetune"
    assert {"<!-- begin: scores -->", "<!-- begin: squad -->"} <= set(text.splitlines())
    assert readme.render(text, records) == text
    for name in ("scores", "squad"):
        block = text.split(f"<!-- begin: {name} -->")[1].split("<!-- end:")[0].strip()
        assert (block == "not run") == (not (records / f"{name}.json").exists())


def test_taking_records_from_results(tmp_path: Path) -> None:
    results, records = tmp_path / "results", tmp_path / "records"
    page = tmp_path / "README.md"
    page.write_text("![a picture](docs/images/one.png)\n")
    for name, text in {
        "claims.json": "[1]",
        "times.json": "{}",
        "data/docs/documentation.json": "{}",
        "bert/current.json": '{"folder": "study"}',
        "bert/study/comparison.json": "[2]",
        "figures/one.png": "picture",
    }.items():
        write_text(results / name, text)
    readme.take(results, records, [page])
    assert (records / "comparison.json").read_text() == "[2]"
    assert (tmp_path / "docs" / "images" / "one.png").read_text() == "picture"
    (results / "times.json").unlink()
    with pytest.raises(ValueError, match=r"times\.json is missing"):
        readme.take(results, records, [page])
