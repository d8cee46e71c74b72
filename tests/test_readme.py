"""The README's example runs, its lines are the ones that CI runs, its numbers are the records'."""

from __future__ import annotations

import json
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


@pytest.mark.parametrize("name", readme.PAGES)
def test_a_page_says_what_its_records_say(name: str) -> None:
    """A typed number, or a record changed without ``python -m figures.pages.readme``, is found
    here."""
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    assert readme.BLOCK.search(text)
    assert readme.render(text, ROOT / "records" / readme.PAGES[name]) == text
    for picture in readme.PICTURE.findall(text):
        assert (page.parent / picture).stat().st_size > 10_000, picture


def test_no_page_with_blocks_is_left_out() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    filled = {
        page.relative_to(ROOT).as_posix()
        for page in pages
        if readme.BLOCK.search(page.read_text(encoding="utf-8"))
    }
    assert filled == set(readme.PAGES)


@pytest.mark.parametrize(("name", "least"), [("README.md", 3), ("docs/theory.md", 8)])
def test_a_page_of_pictures_shows_them(name: str, least: int) -> None:
    assert len(readme.PICTURE.findall((ROOT / name).read_text(encoding="utf-8"))) >= least


def test_every_study_on_record_is_shown() -> None:
    pages = [name for name, folder in readme.PAGES.items() if folder == "studies"]
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in pages)
    shown = set(re.findall(r"begin: (?:study|language|rivals):(\S+) -->", text))
    there = {
        f"{path.parent.name}/{path.stem}" for path in (ROOT / "records").glob("studies/*/*.json")
    }
    assert there <= shown


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("docs/speed.md", r"throughput-\S+"),
        ("docs/finetune.md", "scores|squad"),
        ("docs/bert.md", r"study:\S+"),
        ("docs/languages.md", r"language:\S+"),
    ],
)
def test_what_has_no_record_says_so_and_nothing_else_does(name: str, pattern: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    names = re.findall(rf"begin: ({pattern}) -->", text)
    assert len(names) >= 2
    for block in names:
        content = text.split(f"<!-- begin: {block} -->")[1].split("<!-- end:")[0].strip()
        file = block.rpartition(":")[2]
        record = ROOT / "records" / readme.PAGES[name] / f"{file}.json"
        assert (content == "not run") == (not record.exists())


def test_taking_records_from_results(tmp_path: Path) -> None:
    results, records = tmp_path / "results", tmp_path / "records"
    for name, text in {
        "claims.json": "[1]",
        "times.json": "{}",
        "data/docs/documentation.json": "{}",
        "bert/current.json": '{"folder": "study"}',
        "bert/study/comparison.json": "[2]",
        "figures/one.png": "picture",
        "theory/x.json": '{"config": {"scale": "small"}, "data": {"caption_numbers": {"a": 2}}}',
    }.items():
        write_text(results / name, text)
    readme.take(results, records)
    assert (records / "comparison.json").read_text() == "[2]"
    texts = {tmp_path / "README.md": "![a picture](docs/images/one.png)\n"}
    readme.take_pictures(results, texts)
    assert (tmp_path / "docs" / "images" / "one.png").read_text() == "picture"
    figures = json.loads((records / "figures.json").read_text())
    assert list(figures["results"]) == ["theory/x"]
    (results / "times.json").unlink()
    with pytest.raises(ValueError, match=r"times\.json is missing"):
        readme.take(results, records)
    with pytest.raises(ValueError, match=r"two\.png is missing"):
        readme.take_pictures(results, {tmp_path / "README.md": "![](docs/images/two.png)"})
