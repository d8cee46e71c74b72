"""Rows, cells, numbers in words, and the README's blocks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from figures.base.tables import comparison_cells, comparison_rows, markdown, verdict_counts
from figures.base.wording import count, fixed, interval, listing, plain
from figures.pages import readme
from swe.base.files import write_text
from tests.figures.samples.bert_tables import write_table

Edit = Callable[[Path, Callable[[Any], None]], None]


def test_numbers_in_words() -> None:
    assert [plain(v) for v in (0.0, 1.0, 0.4123, -2.5, 123.4)] == [
        "0",
        "1.00",
        "0.412",
        "−2.50",
        "123",
    ]
    assert plain(1234.5) == "1\u202f234"
    assert plain(2.8e-9, 2) == "2.8 × 10⁻⁹"
    assert plain(-1.5e7) == "−1.50 × 10⁷"
    assert fixed(0.12345, sign=True) == "+0.1235"
    assert fixed(-0.5, 1) == "−0.5"
    assert count(512000) == "512\u202f000"
    assert listing(["a"]) == "a"
    assert listing("abc") == "a, b and c"
    assert interval({"mean": 0.1, "low": -0.2, "high": 0.4}, 1) == "+0.1 [−0.2, +0.4]"
    assert interval({"mean": 0.1, "low": None, "high": None}, 1) == "+0.1"


def test_comparison_in_words(built: Path) -> None:
    comparison = json.loads((built / "bert/smoke-abc/comparison.json").read_text("utf-8"))
    cells = comparison_cells(comparison_rows(comparison))
    assert cells[0] == {
        "arm": "baseline",
        "n": "3",
        "loss": "6.0100 ± 0.0248",
        "difference": "—",
        "verdict": "reference",
        "accuracy": "10.0 %",
        "untied_at": "—",
        "parameters": "603\u202f584 → 603\u202f584",
        "seconds": "7",
    }
    assert cells[1]["difference"] == "−0.0480 [−0.0530, −0.0430]"


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ([[], []], ""),
        ([[50], [50]], "50"),
        ([[50], [60]], "50 / 60"),
        ([[8, 12, 30], []], "8-30 / never"),
    ],
)
def test_untied_at(seeds: list[list[int]], words: str, built: Path) -> None:
    comparison = json.loads((built / "bert/smoke-abc/comparison.json").read_text("utf-8"))
    comparison["arms"]["swe-f"]["untied_at"] = dict(enumerate(seeds))
    assert comparison_rows(comparison)[2]["untied_at"] == words


def test_verdicts_are_counted_in_the_order_of_the_words() -> None:
    counts = verdict_counts([{"verdict": v} for v in ("fails", "holds with limits", "fails")])
    assert list(counts.items()) == [("holds with limits", 1), ("fails", 2)]


def test_markdown_cells_stay_cells() -> None:
    table = markdown({"a": "A", "b": "B"}, [{"a": "x | y", "b": "one\ntwo <i> lambda_min"}])
    assert table == "| A | B |\n| --- | --- |\n| x \\| y | one two \\<i\\> lambda\\_min |"


@pytest.fixture
def records(built: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    for source in ("bert/smoke-abc/comparison.json", "claims.json"):
        (folder / Path(source).name).write_bytes((built / source).read_bytes())
    times = {
        "device": "Some Processor",
        "cores": 2,
        "steps": {"theory": 31.4, "bert": 400.2},
        "total": 431.6,
        "commit": "0123abc",
        "command": "python x.py",
    }
    (folder / "times.json").write_text(json.dumps(times))
    return folder


def block(name: str, content: str = "") -> str:
    return f"<!-- begin: {name} -->{content}<!-- end: {name} -->"


def test_readme_is_filled_and_filling_again_changes_nothing(records: Path, edit: Edit) -> None:
    text = (
        f"# Title\n\n{block('comparison', 'xyz')}\n\nbetween\n{block('claims')}\n{block('times')}\n"
    )
    once = readme.render(text, records)
    assert once.startswith("# Title\n\n<!-- begin: comparison -->\n\n| Arm | n |")
    assert "xyz" not in once
    assert "| SWE-M | 3 |" in once
    assert (
        "| [THM1](#thm1) | R(t) \\<= exp(-2t) R(0) \\| any target | holds with limits (loose"
        in once
    )
    assert "| Claim | What it says | Verdict | Rigour |" in once
    assert "| theory | 31 |" in once
    assert (
        "Measured on Some Processor with 2 processes of one thread, commit 0123abc, `python x.py`."
        in once
    )
    assert readme.render(once, records) == once
    edit(records / "times.json", lambda value: value["steps"].update(theory=99))
    assert "| theory | 99 |" in readme.render(once, records)


def test_one_claim_with_its_evidence(records: Path, edit: Edit) -> None:
    edit(
        records / "claims.json",
        lambda value: value[0].update(verdict="fails", qualifier="", evidence="4 < 5"),
    )
    once = readme.render(block("claim:THM1"), records)
    assert "> **THM1: fails.** 4 \\< 5\n" in once
    assert readme.render(once, records) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (block("tables"), "'tables'"),
        (block("claim:"), "'claim:'"),
        (block("claim:NONE"), "claim 'NONE': must be one of"),
        ("<!-- begin: claims -->", "begin: claims"),
        ("<!-- begin: claims --><!-- end: times -->", "closed by 'times'"),
        ("<!-- end: times -->", "end: times"),
    ],
)
def test_bad_blocks_are_named(text: str, message: str, records: Path) -> None:
    with pytest.raises(ValueError, match=message):
        readme.render(text, records)


def test_missing_and_malformed_records_are_named(records: Path) -> None:
    (records / "claims.json").write_text('[{"id": 1}]')
    with pytest.raises(ValueError, match=r"claims\.json"):
        readme.render(block("claims"), records)
    (records / "times.json").unlink()
    with pytest.raises(ValueError, match=r"'times'.*times\.json is missing"):
        readme.render(block("times"), records)


def test_the_command_rewrites_the_file(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = records / "README.md"
    page.write_text(block("times"))
    readme.main(["--records", str(records), "--pages", str(page)])
    assert "| bert | 400 |" in page.read_text(encoding="utf-8")
    page.write_text(block("nonsense"))
    with pytest.raises(SystemExit) as caught:
        readme.main(["--records", str(records), "--pages", str(page)])
    assert caught.value.code == 1
    assert "nonsense" in capsys.readouterr().err


def test_each_page_takes_its_own_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in readme.PAGES:
        write_text(Path(name), "nothing to fill\n")
    write_table(Path("records/studies/12x64"), "sweep")
    write_text(Path("docs/bert.md"), block("study:12x64/sweep"))
    readme.main([])
    assert "| SWE-F | 0.002 (end of grid) | 3 |" in Path("docs/bert.md").read_text("utf-8")
    write_text(Path("other.md"), block("study:12x64/sweep"))
    with pytest.raises(SystemExit):
        readme.main(["--pages", "other.md"])
    assert "other.md: its records are not known" in capsys.readouterr().err


def test_a_study_on_record_in_words(tmp_path: Path, edit: Edit) -> None:
    write_table(tmp_path / "12x64", "sweep")
    once = readme.render(block("study:12x64/sweep"), tmp_path)
    assert once.startswith("<!-- begin: study:12x64/sweep -->\n\n| Arm | Peak rate | n |")
    assert "| SWE-F | 0.002 (end of grid) | 3 |" in once
    assert "rates 0.001, 0.002, 0.004, 0.008 tried by every arm with 1 seed(s)" in once
    assert "Not finished" not in once
    theory = readme.render(block("theory:12x64/sweep"), tmp_path)
    assert "| best tau / T | 3 | 0.0333 " in theory
    assert "| common energy, tied over never tied, last probe | 3 | — | 1.10 " in theory
    assert "| differs (rates differ) |" in theory
    edit(tmp_path / "12x64" / "sweep.json", lambda value: value.update(complete=False))
    assert "Not finished: n says how far" in readme.render(once, tmp_path)
    for kind in ("study", "theory", "reached", "rivals"):
        assert "\n\nnot run\n\n" in readme.render(block(f"{kind}:x/sweep"), tmp_path)
