"""Verdicts on the languages follow from the paired intervals, from five seeds on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bert.claims.languages import judge, language_claims
from evidence.claim import Verdict
from evidence.comparison import compare
from evidence.results import own_languages, recorded_languages
from figures.pages.studies import take
from figures.pages.study_pages import language_table
from tests.figures.samples.files import dump

CURVES = "composition-curves.jsonl"


def table(n: int = 5, /, **losses: float) -> dict[str, Any]:
    """A table whose arms' seeds lie a little apart."""
    runs = {
        name: {seed: loss + 0.01 * (seed % 2) * (name != "baseline") for seed in range(n)}
        for name, loss in losses.items()
    }
    arms = compare({key.replace("_", "-"): v for key, v in runs.items()}, "baseline")
    for entry in arms.values():
        entry |= {"reached": {"hop_1": n, "hop_2": 1}, "steps": 10, "tokens": 100, "rate": 2e-3}
        entry |= {"rate_at_edge": False}
    study = {"size": "8x64", "tau": 0.6, "rates": [1e-3, 2e-3], "placement": "pre"}
    return {
        "arms": arms,
        "order": list(arms),
        "reference": "baseline",
        "study": study | {"tuning_seeds": 1, "language": {"kind": "composition", "hops": 2}},
        "complete": True,
        "environment": {"device": "A", "torch": "2", "commit": "c", "command": "python a.py /x/o"},
    }


@pytest.mark.parametrize(
    ("swe", "start", "verdict"),
    [
        (0.1, 0.5, Verdict.HOLDS),
        (0.1, 0.1, Verdict.NO_GAIN),
        (0.6, 0.5, Verdict.FAILS),
        (1.2, 1.5, Verdict.FAILS),
    ],
)
def test_both_controls_have_to_lose(swe: float, start: float, verdict: Verdict) -> None:
    found = judge(table(baseline=1.0, swe_f=swe, equal_start=start))
    assert found is not None
    assert found.verdict == verdict
    assert "seeds of 5 that learnt hop_1, hop_2: baseline 5, 1" in found.evidence


def test_few_seeds_leave_it_open() -> None:
    found = judge(table(4, baseline=1.0, swe_f=0.1, equal_start=0.5))
    assert found is not None
    assert (found.verdict, found.qualifier) == (Verdict.OPEN, "demonstration, 4 seeds, 5 needed")
    assert judge(table(baseline=1.0, swe_f=0.1)) is None


def put(out: Path, data: dict[str, Any]) -> None:
    """Make a table the newest of a results folder."""
    folder = out / "bert" / "languages"
    dump(folder / "composition.json", {"folder": "small-a"})
    dump(folder / "small-a" / "composition.json", data)


def test_a_demonstration_stands_behind_the_judged(tmp_path: Path) -> None:
    out, studies = tmp_path / "out", tmp_path / "studies"
    put(out, table(2, baseline=1.0, swe_f=0.1, equal_start=0.5))
    alone, *_ = language_claims(out, studies)
    assert (alone.verdict, alone.qualifier) == (Verdict.OPEN, "demonstration, 2 seeds, 5 needed")
    assert "minus baseline -0.8950" in alone.evidence
    dump(studies / "s" / "composition.json", table(baseline=1.0, swe_f=0.8, equal_start=0.9))
    record, *_ = language_claims(out, studies)
    assert (record.verdict, record.figure) == (Verdict.HOLDS, "study_s_composition")
    judged, behind = record.evidence.split(
        "; also Pre-LN, 2 hops, demonstration, 2 seeds, 5 needed: "
    )
    assert judged.endswith("on record (study s)")
    assert "minus baseline -0.8950" in behind


def test_from_results_to_the_record_and_the_page(tmp_path: Path) -> None:
    out, studies = tmp_path / "out", tmp_path / "studies"
    assert [record.verdict for record in language_claims(out, studies)] == [Verdict.NOT_RUN] * 4
    put(out, table(baseline=1.0, swe_f=0.1, equal_start=0.5))
    (out / "bert" / "languages" / "small-a" / CURVES).write_text("")
    [own] = own_languages(out)
    assert own.figure() == "bert_composition"
    assert language_claims(out, studies)[0].verdict == Verdict.HOLDS
    take(out, "words", studies, ["composition"])
    [kept] = recorded_languages(studies)
    assert kept.data["environment"]["command"] == "python a.py o"
    record, other, stock, _ = language_claims(tmp_path / "none", studies)
    assert record.figure == "study_words_composition"
    assert record.evidence.endswith("on record (study words)")
    assert {other.verdict, stock.verdict} == {Verdict.NOT_RUN}
    page = language_table(kept.data)
    assert "| Arm | Peak rate | n | Final loss, nats |" in page
    assert "| Learnt hop_1 | Learnt hop_2 |" in page
    assert "Language: composition, hops 2. 8x64, Pre-LN, 10 updates, 100 tokens" in page


WINS, LOSES = {"swe_f": 0.1, "equal_start": 0.5}, {"swe_f": 0.8, "equal_start": 0.5}


@pytest.mark.parametrize(
    ("pre", "post", "verdict", "qualifier"),
    [
        (WINS, WINS, Verdict.HOLDS, ""),
        (WINS, None, Verdict.HOLDS, "Pre-LN, 2 hops"),
        (WINS, LOSES, Verdict.LIMITS, "Pre-LN, 2 hops"),
        (LOSES, WINS, Verdict.LIMITS, "Post-LN, 2 hops"),
        (LOSES, LOSES, Verdict.FAILS, ""),
        ({"swe_f": 0.5, "equal_start": 0.5}, None, Verdict.NO_GAIN, "Pre-LN, 2 hops"),
    ],
)
@pytest.mark.parametrize("encoder", ["own", "transformers"])
def test_each_placement_is_judged(
    tmp_path: Path,
    encoder: str,
    pre: dict[str, float],
    post: dict[str, float] | None,
    verdict: Verdict,
    qualifier: str,
) -> None:
    """And never speaks for our own encoder, nor the other way round."""
    for placement, losses in (("pre", pre), ("post", post)):
        if losses is not None:
            data = table(baseline=1.0, **losses)
            data["study"] |= {"placement": placement, "encoder": encoder}
            dump(tmp_path / placement / "composition.json", data)
    own, _, stock, _ = language_claims(tmp_path / "none", tmp_path)
    record, other = (own, stock) if encoder == "own" else (stock, own)
    assert other.verdict == Verdict.NOT_RUN
    assert (record.verdict, record.qualifier) == (verdict, qualifier)
    assert ("Post-LN, 2 hops: final held-out loss" in record.evidence) == (post is not None)


@pytest.mark.parametrize(
    ("losses", "verdict", "qualifier"),
    [
        (WINS, Verdict.HOLDS, "Pre-LN, 2 hops; Pre-LN, 6 hops"),
        (LOSES, Verdict.LIMITS, "Pre-LN, 6 hops"),
    ],
)
def test_another_number_of_hops_is_another_cell(
    tmp_path: Path, losses: dict[str, float], verdict: Verdict, qualifier: str
) -> None:
    """However careful its study: neither stands for the other."""
    dump(tmp_path / "two" / "composition.json", table(baseline=1.0, **losses))
    six = table(baseline=1.0, **WINS)
    six["study"] |= {"tuning_seeds": 3, "language": {"kind": "composition", "hops": 6}}
    dump(tmp_path / "six" / "composition.json", six)
    record, *_ = language_claims(tmp_path / "none", tmp_path)
    assert (record.verdict, record.qualifier) == (verdict, qualifier)
    assert record.figure == "study_two_composition"


@pytest.mark.parametrize(
    ("swe", "verdict"),
    [(0.1, Verdict.HOLDS), (0.9, Verdict.NO_GAIN), (1.6, Verdict.FAILS), (None, Verdict.NOT_RUN)],
)
def test_the_mean_of_all_cells_is_a_claim_of_its_own(
    tmp_path: Path, swe: float | None, verdict: Verdict
) -> None:
    """Of both encoders, each cell once; one alone says nothing more than its own claim."""
    cells = {"own": WINS} | ({} if swe is None else {"transformers": {"swe_f": swe}})
    for encoder, losses in cells.items():
        data = table(baseline=1.0, **losses | {"equal_start": 0.5})
        data["study"] |= {"encoder": encoder}
        dump(tmp_path / encoder / "composition.json", data)
        dump(tmp_path / f"{encoder}-less" / "composition.json", data)
    *_, together = language_claims(tmp_path / "none", tmp_path)
    assert together.verdict == verdict
    if swe is not None:
        assert together.qualifier == "mean of 2 cells"
        assert "Pre-LN, 2 hops of transformers, on record (study transformers" in together.evidence


def test_the_record_with_most_arms_speaks(tmp_path: Path) -> None:
    dump(tmp_path / "a" / "composition.json", table(baseline=1.0, **LOSES))
    more = table(baseline=1.0, **WINS, always_shared=0.2, swe_m=0.9)
    dump(tmp_path / "b" / "composition.json", more)
    record, *_ = language_claims(tmp_path / "none", tmp_path)
    assert (record.verdict, record.figure) == (Verdict.HOLDS, "study_b_composition")
    assert "; SWE-M minus baseline -0.09" in record.evidence


def test_few_seeds_on_a_stock_encoder_stay_open(tmp_path: Path) -> None:
    data = table(2, baseline=1.0, **WINS)
    data["study"] |= {"encoder": "transformers"}
    dump(tmp_path / "s" / "composition.json", data)
    *_, stock, _ = language_claims(tmp_path / "none", tmp_path)
    assert (stock.verdict, stock.qualifier) == (Verdict.OPEN, "demonstration, 2 seeds, 5 needed")
    assert "8x64 of transformers, Pre-LN, 10 updates" in language_table(data)
