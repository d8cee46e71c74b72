"""The arms of the composition language side by side, a row a cell, as the records have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.results import recorded_languages
from figures.pages.language_arms import AGAINST_START, block, language_arms
from tests.bert.claims.test_languages import table
from tests.figures.samples.files import dump


def put(studies: Path, name: str, data: dict[str, Any], **study: str) -> None:
    data["study"] |= study
    dump(studies / name / "composition.json", data)


def test_a_column_a_cell_and_what_was_not_run(tmp_path: Path) -> None:
    few = table(4, baseline=1.0, swe_f=0.1, equal_start=0.5)
    put(tmp_path, "few", few, placement="post")
    assert language_arms(recorded_languages(tmp_path)) is None
    arms = {"baseline": 1.0, "swe_f": 0.1, "equal_start": 0.5}
    put(tmp_path, "stock", table(**arms), encoder="transformers")
    put(tmp_path, "post", table(**arms | {"swe_f": 2.0}), placement="post")
    put(tmp_path, "less", table(**arms | {"swe_f": 0.9}))
    put(tmp_path, "more", table(**arms, swe_m=0.7))
    found = language_arms(recorded_languages(tmp_path))
    assert found is not None
    assert list(found.headings.values()) == [
        "Encoder",
        "baseline",
        "SWE-F",
        "equal start",
        "SWE-M",
        AGAINST_START,
    ]
    pre, post, stock, mean = found.rows
    assert [row["cell"] for row in found.rows[:3]] == [
        "Pre-LN, 2 hops, 10 updates, n = 5",
        "Post-LN, 2 hops, 10 updates, n = 5",
        "Pre-LN, 2 hops, transformers’ encoder, 10 updates, n = 5",
    ]
    assert pre["baseline"] == "1.00 nats; 1 of 5 through"
    assert pre["swe-f"].startswith("−0.90 [−0.90, −0.89] helps; 1 of 5"), "most arms speak"
    assert post["swe-f"].startswith("+1.00 [+1.00, +1.01] hurts")
    assert (post["swe-m"], stock["swe-m"]) == ("not run", "not run")
    assert mean["cell"] == "2 hops, mean of 3 cells, n = 15"
    assert mean["swe-f"].startswith("−0.26 [−0.27, −0.26] helps")
    assert (mean["baseline"], mean["swe-m"]) == ("—", "—")
    assert pre[AGAINST_START].startswith("−0.40 [−0.40, −0.40] helps")


def test_the_block_is_the_table(tmp_path: Path) -> None:
    records = tmp_path / "default"
    assert block(records) == "No such run on record."
    put(tmp_path / "studies", "a", table(baseline=1.0, swe_f=0.1, equal_start=0.5))
    lines = block(records).splitlines()
    assert lines[0] == "| Encoder | baseline | SWE-F | equal start | SWE-F minus equal start |"
    assert lines[2].startswith(
        "| Pre-LN, 2 hops, 10 updates, n = 5 | 1.00 nats; 1 of 5 through | −0.90 "
    )
    assert lines[-1].startswith("Composition language, least loss 0")


def test_beyond_the_fewest_hops_the_mean_stands_for_the_cells(tmp_path: Path) -> None:
    """On the first screen; the page of the languages has every cell, and both the mean of all."""
    arms = {"baseline": 1.0, "swe_f": 0.1, "equal_start": 0.5}
    for hops in (2, 6):
        for placement in ("pre", "post"):
            data = table(**arms)
            data["study"]["language"] = {"kind": "composition", "hops": hops}
            put(tmp_path, f"{hops}-{placement}", data, placement=placement)
    full, short = (
        language_arms(recorded_languages(tmp_path), short=short) for short in (False, True)
    )
    assert full is not None
    assert short is not None
    named = [row["cell"].split(" updates")[0].removesuffix(", 10") for row in full.rows]
    two, six = ([f"Pre-LN, {n} hops", f"Post-LN, {n} hops"] for n in (2, 6))
    mean = ["2 hops, mean of 2 cells, n = 10", "6 hops, mean of 2 cells, n = 10"]
    everything = "all, mean of 4 cells, n = 20"
    assert named == [*two, mean[0], *six, mean[1], everything]
    assert [row["cell"] for row in short.rows[2:]] == [*mean, everything]
