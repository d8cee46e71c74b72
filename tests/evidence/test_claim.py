"""The ledger knows two short lists of words and refuses every other, in code and in files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from evidence.claim import Claim, Finding, Record, Rigour, Verdict, in_words, share
from evidence.results import read_claims
from swe.base.errors import ResultError

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "records" / "default"


def check(right: bool) -> Finding:
    return Finding(Verdict.whether(right), "1 < 2", Rigour.PROVED, "by counting", "just")


CLAIM = Claim("ONE", "1 < 2", "ours", "numbers", "docs/theory.md#numbers", check)


def test_a_record_survives_its_file() -> None:
    record = CLAIM.told(check(right=True), command="python count.py")
    value = json.loads(json.dumps(record.to_json()))
    assert value == {
        "id": "ONE",
        "statement": "1 < 2",
        "source": "ours",
        "verdict": "holds",
        "qualifier": "just",
        "rigour": "proved",
        "grounds": "by counting",
        "evidence": "1 < 2",
        "figure": "numbers",
        "command": "python count.py",
        "section": "docs/theory.md#numbers",
        "code": "tests/evidence/test_claim.py:check",
    }
    again = Record.from_json(value, Path("claims.json"))
    assert again == record
    assert (type(again.verdict), type(again.rigour)) == (Verdict, Rigour)


def test_what_was_not_run_has_no_rigour_and_no_figure() -> None:
    record = CLAIM.told(None)
    assert (record.verdict, record.rigour, record.figure) == ("not run", "", "")
    assert record.evidence == "not run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"verdict": "shown"}, "claim 'ONE': verdict 'shown': must be one of 'holds', "),
        ({"verdict": "true as a bound, loose by 4"}, "must be one of .*'on the plateau'"),
        ({"rigour": "shown"}, "claim 'ONE': rigour 'shown': must be one of 'proved', "),
        ({"rigour": ""}, "claim 'ONE': rigour '': must be one of 'proved', "),
        ({"verdict": "not run"}, "claim 'ONE': rigour 'proved': must be one of ''"),
        ({"verdict": None}, "no claim"),
        ({"note": "x"}, "claim 'ONE': fields note differ"),
    ],
)
def test_every_other_word_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file of results and from a ledger, in one line that says what to do."""
    value = CLAIM.told(check(right=True)).to_json() | changes
    with pytest.raises(ResultError, match=message):
        Record.from_json(value, Path("claims.json"))
    path = tmp_path / "theory" / "claims.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"data": [value]}))
    assert paper_repro.main(["claims", "--out", str(tmp_path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"paper_repro.py: {path}: ")
    assert re.search(message, line)
    assert "python paper_repro.py theory claims" in line
    assert not (tmp_path / "claims.json").exists()
    (tmp_path / "claims.json").write_text(json.dumps([value]))
    with pytest.raises(ResultError, match=re.escape(str(tmp_path / "claims.json"))):
        read_claims(tmp_path)


def test_a_wrong_word_is_refused_where_it_is_made() -> None:
    with pytest.raises(ResultError, match="claim 'ONE': verdict 'differs small'"):
        CLAIM.told(check(right=True), verdict="differs small")


def test_records_before_the_fixed_words_are_refused(tmp_path: Path) -> None:
    """As version 0.1 wrote them: fewer fields, other words."""
    old = {"id": "LEM1", "statement": "", "source": "", "verdict": "reproduced", "evidence": ""}
    (tmp_path / "claims.json").write_text(json.dumps([old]))
    with pytest.raises(
        ResultError, match=r"claims\.json: claim 'LEM1': fields .*qualifier.* differ"
    ):
        read_claims(tmp_path)


@pytest.mark.parametrize(
    ("right", "verdict"),
    [
        (0, "fails"),
        (1, "fails (1 of 4 seeds)"),
        (2, "fails (2 of 4 seeds)"),
        (3, "holds with limits (3 of 4 seeds)"),
        (4, "holds"),
    ],
)
def test_more_than_half_holds_with_limits(right: int, verdict: str) -> None:
    assert in_words(*share(right, 4, "seeds")) == verdict


def ledger() -> list[dict[str, str]]:
    found = read_claims(DEFAULT)
    assert found is not None
    return found


def test_the_shipped_ledger_keeps_to_the_words() -> None:
    """Reading refuses others; every claim that was run has its grounds, code and section."""
    records = ledger()
    assert len(records) == len({record["id"] for record in records})
    for record in records:
        ran = record["verdict"] != "not run"
        assert bool(record["grounds"]) == bool(record["rigour"]) == ran
        path, _, function = record["code"].partition(":")
        assert re.search(rf"^def {function}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)
        assert record["section"]


def slug(heading: str) -> str:
    """The anchor that a page gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("²", "")).replace(" ", "-")


def test_sections_are_headings_and_claims_stand_under_them() -> None:
    sections = {record["id"]: record["section"] for record in ledger()}
    told: dict[str, str] = {}
    anchors = set()
    for page in {section.partition("#")[0] for section in sections.values()}:
        heading = ""
        for line in (ROOT / page).read_text("utf-8").splitlines():
            if line.startswith("#"):
                heading = f"{page}#{slug(line.lstrip('#').strip())}"
                anchors.add(heading)
            if block := re.match(r"<!-- begin: claim:(\S+) -->", line):
                told[block[1]] = heading
    assert {identity: sections[identity] for identity in told} == told
    assert set(sections.values()) <= anchors
