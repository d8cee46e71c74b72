"""Each method's verdict follows from its intervals on the languages, from five seeds on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bert.claims.rivals import judge_method, rival_claims
from evidence.claim import Verdict
from evidence.comparison import paired
from evidence.results import own_rivals, recorded_rivals
from evidence.rivals import METHODS
from tests.figures.samples.files import dump
from tests.figures.samples.rivals import sample, write_rivals


def put(studies: Path, *languages: str, seeds: int = 5) -> None:
    for language in languages:
        dump(studies / "s" / f"rivals-{language}.json", sample(language, seeds=seeds))


def test_without_a_table_nothing_was_run(tmp_path: Path) -> None:
    records = rival_claims(tmp_path, None)
    assert [record.id for record in records] == [rival.claim for rival in METHODS.values()]
    assert {record.verdict for record in records} == {Verdict.NOT_RUN}
    assert "34 % of FLOPs" in next(r.statement for r in records if r.id == "RIVAL-STACKING")


@pytest.mark.parametrize(
    ("languages", "method", "verdict", "qualifier"),
    [
        (["composition", "hierarchy"], "swe-f", Verdict.LIMITS, "composition"),
        (["composition"], "swe-f", Verdict.LIMITS, "composition"),
        (["composition", "hierarchy"], "net2net", Verdict.FAILS, "composition"),
        (["composition", "hierarchy"], "stacking", Verdict.NO_GAIN, ""),
        (["hierarchy"], "swe-f", Verdict.NO_GAIN, "hierarchy"),
    ],
)
def test_the_verdict_names_the_languages(
    languages: list[str], method: str, verdict: Verdict, qualifier: str, tmp_path: Path
) -> None:
    put(tmp_path, *languages)
    record = judge_method(METHODS[method], recorded_rivals(tmp_path))
    assert (record.verdict, record.qualifier) == (verdict, qualifier)
    assert record.figure == "study_s_rivals"


def test_both_languages_are_needed_to_hold(tmp_path: Path) -> None:
    data: dict[str, Any] = sample("hierarchy")
    for name in ("rivals-composition", "rivals-hierarchy"):
        kind = name.partition("-")[2]
        arms = {"baseline": [2.0, 2.1, 2.2, 2.3, 2.4], "lemon": [1.0, 1.2, 1.2, 1.4, 1.4]}
        for arm, values in arms.items():
            data["arms"][arm]["values"] = {str(seed): value for seed, value in enumerate(values)}
        study = data["study"] | {"language": {"kind": kind}}
        dump(tmp_path / "s" / f"{name}.json", data | {"study": study})
    record = judge_method(METHODS["lemon"], recorded_rivals(tmp_path))
    assert (record.verdict, record.qualifier) == (Verdict.HOLDS, "")


def test_few_seeds_leave_it_open_and_give_way(tmp_path: Path) -> None:
    write_rivals(tmp_path)
    put(tmp_path / "studies", "composition", "hierarchy", seeds=4)
    few = judge_method(METHODS["swe-f"], recorded_rivals(tmp_path / "studies"))
    assert (few.verdict, few.qualifier) == (Verdict.OPEN, "demonstration, 4 seeds, 5 needed")
    every = [*recorded_rivals(tmp_path / "studies"), *own_rivals(tmp_path)]
    judged = judge_method(METHODS["swe-f"], every)
    assert (judged.verdict, judged.figure) == (Verdict.LIMITS, "bert_rivals")


def test_the_evidence_has_ours_beside_what_is_claimed(tmp_path: Path) -> None:
    put(tmp_path, "composition")
    records = {rival: judge_method(METHODS[rival], recorded_rivals(tmp_path)) for rival in METHODS}
    lemon = records["lemon"].evidence
    free = paired(sample("composition"), "lemon uncharged", "baseline")
    assert free is not None
    assert f", source not charged {free.mean:+.4f} (95 % " in lemon
    assert "3 of 5 through; saving at equal loss " in lemon
    assert lemon.endswith("; claimed: 33.2 % of compute, BERT [abs]")
    assert records["cycle"].evidence.endswith("; no saving is claimed")
    assert "not bracketed" in records["net2net"].evidence
