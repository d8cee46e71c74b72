"""The report: everything in one file, nothing from elsewhere, and what is missing said so."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from figures.pages import report
from figures.pages.report import FIGURES, build
from swe.base.errors import ResultError

ARXIV = "https://arxiv.org/abs/2110.03848"


class Page(HTMLParser):
    """Collects what the tests ask about, and that tags are closed in order."""

    VOID = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(out: Path) -> str:
    return (out / "report" / "index.html").read_text(encoding="utf-8")


def test_the_page_stands_alone(built: Path) -> None:
    text = read(built)
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            target = attributes.get(name)
            assert target is None or target == ARXIV or target.startswith(("#", "data:image/svg"))
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "file:" not in text
    assert str(built) not in text
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
    assert len(text) < 6e6


def test_it_holds_every_figure_with_words_and_every_link_has_its_end(built: Path) -> None:
    page = Page(read(built))
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    drawn = sorted(path.stem for path in (built / "figures").glob("*.json"))
    assert len(images) == len(drawn) > len(FIGURES)
    assert all(image["alt"] for image in images)
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {f"fig-{name}" for name in drawn} <= ids
    anchors = {a["href"] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    assert "#fig-theorem_bounds" in anchors
    assert {anchor[1:] for anchor in anchors} <= ids
    for name in drawn:
        words = json.loads((built / "figures" / f"{name}.json").read_text("utf-8"))
        assert words["caption"] in page.text


def test_claims_are_counted_and_escaped(built: Path) -> None:
    text = read(built)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>1</b> holds with limits" in text
    assert "<b>1</b> not run" in text


def test_runs_are_recorded(built: Path) -> None:
    text = Page(read(built)).text
    for part in (
        "SWE-M, seed 2",
        "0123456789, with changes",
        "Some Processor, 1 thread(s)",
        "python 3.11.7, torch 2.13.0, numpy 2.4.6",
        "1.23 × 10¹²",
    ):
        assert part in text


def test_what_is_missing_is_said_with_its_command(tmp_path: Path) -> None:
    text = Page(build(tmp_path).read_text(encoding="utf-8")).text
    for verb in ("theory", "toy", "bert", "claims"):
        assert f"not run: python paper_repro.py {verb}\n" in text
    for entry in FIGURES:
        assert f"figure {entry.name}, not run: {entry.command}" in text


@pytest.fixture
def few_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a build draw only a few figures, where the others would only cost time."""
    few = ("flow_curves", "toy_deep_linear", "bert_comparison")
    monkeypatch.setattr(report, "FIGURES", tuple(e for e in FIGURES if e.name in few))
    monkeypatch.setattr(report, "own_tables", lambda out: [])


@pytest.mark.usefixtures("few_figures")
def test_nothing_is_left_of_an_earlier_build(results: Path) -> None:
    build(results)
    (results / "toy" / "deep_linear.json").unlink()
    (results / "claims.json").unlink()
    page = Page(build(results).read_text(encoding="utf-8"))
    assert "not run: python paper_repro.py toy" in page.text
    assert not list(results.glob("figures/toy_deep_linear.*"))
    assert not (results / "tables" / "claims.csv").exists()
    assert "fig-flow_curves" in {attributes.get("id") for _, attributes in page.tags}
    assert not list(results.rglob("*.partial"))


def test_the_page_is_the_same_twice(results: Path, built: Path) -> None:
    assert build(results).read_bytes() == (built / "report" / "index.html").read_bytes()


@pytest.mark.usefixtures("few_figures")
@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("claims.json", '[{"id": "THM1"}]'),
        ("claims.json", "{"),
        ("claims.json", "7"),
        ("bert/smoke-abc/baseline-s0/summary.json", "{}"),
        ("bert/smoke-abc/baseline-s0/environment.json", "[1]"),
        ("bert/smoke-abc/comparison.json", '{"reference": "x", "arms": {}}'),
    ],
)
def test_malformed_files_are_named(file: str, content: str, results: Path) -> None:
    (results / file).write_text(content, encoding="utf-8")
    with pytest.raises(ResultError, match=re.escape(file)):
        build(results)


def test_tables_are_written_as_csv(built: Path) -> None:
    with (built / "tables" / "comparison.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["arm"] for row in rows] == ["baseline", "equal-start", "swe-f", "swe-a", "swe-m"]
    assert rows[0]["difference"] == ""
    assert rows[0]["verdict"] == "reference"
    assert float(rows[1]["difference"]) == pytest.approx(-0.048)
    assert float(rows[1]["loss_half_width"]) == pytest.approx(4.302652729911275 * 0.012 / 3**0.5)
    assert rows[4]["untied_at"] == "8-16"
    assert int(rows[2]["parameters_at_start"]) == 353664
    with (built / "tables" / "claims.csv").open(encoding="utf-8", newline="") as stream:
        claims = list(csv.DictReader(stream))
    assert claims[0]["statement"] == "R(t) <= exp(-2t) R(0) | any target"


def test_figures_import_nothing_that_computes() -> None:
    code = (
        "import sys, figures.pages.report, figures.pages.readme; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'theory', 'bert', "
        "'tokenizers') or m.startswith('swe.') and not m.startswith('swe.base')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
