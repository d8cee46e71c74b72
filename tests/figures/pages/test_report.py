"""The report: everything in one file, nothing from elsewhere, and what is missing said so."""

from __future__ import annotations

import csv
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure as MatplotlibFigure

import figures.bert.factors
import figures.bert.finetuned_arms
import figures.bert.speedup
import figures.bert.sweeps
import figures.bert.tables
import figures.bert.theory
import figures.theory
import figures.toys
from evidence.claim import Rigour, Verdict
from figures.base import style
from figures.base.drawing import collect
from figures.pages.questions import OF_ANY, QUESTIONS, grouped
from figures.pages.report import FIGURES, build
from figures.pages.words import SIGNS
from swe.base.errors import ResultError

RECORDS = Path(__file__).resolve().parents[3] / "records"
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
            assert target is None or target == ARXIV or target.startswith(("#", "data:image/png"))
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style.replace("url(#", "")
    assert "@import" not in style
    assert "file:" not in text
    assert str(built) not in text
    assert {tag for tag, _ in page.tags}.isdisjoint({"link", "iframe", "object", "img"})
    assert text.count("<script>") == 1
    assert len(text.encode()) < 2e6


def test_it_holds_every_figure_once_and_every_link_has_its_end(built: Path) -> None:
    page = Page(read(built))
    pictures = [a for tag, a in page.tags if tag == "svg" and a["class"] == "pic"]
    drawn = sorted(path.stem for path in (built / "figures").glob("*.json"))
    assert len(pictures) == len(drawn) > len(FIGURES)
    assert all(picture["aria-label"] for picture in pictures)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {f"fig-{name}" for name in drawn} <= set(ids)
    anchors = {a["href"] for _, a in page.tags if a.get("href", "").startswith("#")}
    assert {"#fig-theorem_bounds", "#THM1"} <= anchors
    assert {anchor[1:] for anchor in anchors} <= set(ids)
    used = {a["class"] for tag, a in page.tags if tag in ("path", "use") and "class" in a}
    style = read(built).split("</style>")[0]
    assert all(f".{name}{{" in style for name in used)
    for name in drawn:
        words = json.loads((built / "figures" / f"{name}.json").read_text("utf-8"))
        assert words["caption"] in page.text


def test_no_letter_is_too_small_on_a_phone(built: Path) -> None:
    """On 390 pixels a picture has 338: measured in a browser, with a scroll bar beside it."""
    for path in (built / "figures").glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        width = float(re.findall(r'viewBox="0 0 (\S+) ', text)[0])
        # Letters are outlines of 100 units; exponents and indices are scaled down within a text.
        scales = re.findall(r'<g [^>]*transform="translate[^"]*scale\((\S+) ', text)
        assert scales, path
        pixels = 100 * min(map(float, scales)) * 338 / width
        assert pixels >= 10, f"{path.name}: {pixels:.1f} pixels"


def test_nothing_reaches_beyond_the_picture(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = {}

    def measure(figure: MatplotlibFigure, out: Path, name: str, **words: Any) -> None:
        figure.draw_without_rendering()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        beyond[name] = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)

    monkeypatch.setattr(style, "save", measure)
    for figure in FIGURES.values():
        figure.draw(results)
    assert {name: inches for name, inches in beyond.items() if inches > 0.02} == {}
    assert len(beyond) == len(FIGURES)


def test_claims_have_an_anchor_a_word_and_a_question(built: Path) -> None:
    text = read(built)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert 'id="THM1"' in text
    assert '1 × <span class="word good dashed" data-sign="≈">holds with limits</span>' in text
    assert '1 × <span class="word plain dashed" data-sign="–">not run</span>' in text
    assert '<span class="rigour" data-sign="⁘">sampled</span>' in text
    questions = re.findall(r'<section class="question" id="(\w+)"', text)
    assert questions.index("bert") < questions.index("theorems")
    theorems = text[text.index('id="theorems"') :]
    assert "They hold as bounds, loose ones" in theorems[: theorems.index("</section>")]


def test_it_begins_with_the_answer(built: Path, tmp_path: Path) -> None:
    first = Page(read(built)).text.split("Questions")[0]
    assert "shows no gain over a plain baseline" in first
    assert "with the same seeds: −0.004 [−0.038, +0.030] nats" in first
    assert "95 %: −0.038 to +0.030, n = 3" in first
    assert "−0.007nats, SWE-F minus its own start" in first
    assert "0.998times as fast" in first
    assert "No answer yet" in Page(build(tmp_path).read_text(encoding="utf-8")).text


def test_every_fixed_word_has_a_sign_of_its_own() -> None:
    words = [*Verdict, *Rigour]
    assert set(SIGNS) == set(words)
    assert len(set(SIGNS.values())) == len(words)


def test_every_claim_is_under_one_question() -> None:
    ledger = json.loads((RECORDS / "default" / "claims.json").read_text(encoding="utf-8"))
    asked = [name for question in QUESTIONS for name in question.claims]
    assert sorted(asked) == sorted(claim["id"] for claim in ledger)
    verdicts = {claim["id"]: claim["verdict"] for claim in ledger}
    for question in QUESTIONS:
        assert verdicts[question.claims[0]] in question.answers | OF_ANY, question.id
        assert not re.search(r"\d", " ".join(question.answers.values()))
    with pytest.raises(ResultError, match="NEW: under no question"):
        grouped([*ledger, ledger[0] | {"id": "NEW"}])


def test_every_module_that_draws_is_registered() -> None:
    of_tables = {figures.bert.tables, figures.bert.sweeps, figures.bert.speedup,
                 figures.bert.theory, figures.bert.finetuned_arms,
                 figures.bert.factors}  # fmt: skip
    found = []
    for room in (figures.theory, figures.toys, figures.bert):
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            loaded = importlib.import_module(module.name)
            if hasattr(loaded, "_panels"):
                assert hasattr(loaded, "FIGURE") != (loaded in of_tables), module.name
                found.append(module.name)
    assert len(found) == len(FIGURES) + len(of_tables)


def test_two_figures_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="another figure is called 'admissible'"):
        collect(figures.theory, figures.theory)


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
    for what, verb in (("Claims", "claims"), ("BERT", "bert")):
        assert f"{what} not run: python paper_repro.py {verb}\n" in text
    for name, figure in FIGURES.items():
        assert f"figure {name}, not run: {figure.command}" in text


@pytest.mark.usefixtures("few_figures")
def test_nothing_is_left_of_an_earlier_build(results: Path) -> None:
    build(results)
    (results / "toy" / "deep_linear.json").unlink()
    (results / "claims.json").unlink()
    page = Page(build(results).read_text(encoding="utf-8"))
    assert "figure toy_deep_linear, not run: python paper_repro.py toy" in page.text
    assert not list(results.glob("figures/toy_deep_linear.*"))
    assert not (results / "tables" / "claims.csv").exists()
    assert "fig-flow_curves" in {attributes.get("id") for _, attributes in page.tags}
    assert not list(results.rglob("*.partial"))


@pytest.mark.usefixtures("few_figures")
def test_the_page_is_the_same_twice(results: Path) -> None:
    """Of a page's figures each is drawn twice in test_drawing."""
    once = build(results).read_bytes()
    assert build(results).read_bytes() == once


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
