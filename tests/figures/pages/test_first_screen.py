"""The README's answer, cases and commands follow from the records, wording included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evidence.comparison import compare
from figures.pages import claims_page, commands, first_screen
from swe.base.errors import ResultError
from tests.figures.conftest import CLAIMS
from tests.figures.samples.bert_tables import write_table
from tests.figures.samples.files import dump

Edit = Callable[[Path, Callable[[Any], None]], None]
STUDY = Path("studies") / "12x64" / "sweep.json"


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A records folder with one tuned study and a ledger; the default run's folder in it."""
    claim = CLAIMS[0] | {"id": "TAB1-F", "verdict": "fails", "qualifier": "small"}
    dump(tmp_path / "default" / "claims.json", [*CLAIMS, claim])
    write_table(tmp_path / "studies" / "12x64", "sweep")
    return tmp_path / "default"


def put(path: Path, edit: Edit, **losses: list[float]) -> None:
    """Give the arms of a study these losses, seed by seed."""

    def change(table: dict[str, Any]) -> None:
        runs = {name.replace("_", "-"): dict(enumerate(values)) for name, values in losses.items()}
        for name, entry in compare(runs, "baseline").items():
            table["arms"][name] |= entry

    edit(path, change)


@pytest.mark.parametrize(
    ("swe_f", "start", "words"),
    [
        ([5.0, 5.1], [5.5, 5.62], ("**helps** against the tuned", "**helps** against its own")),
        ([7.0, 7.1], [6.9, 7.2], ("**hurts** against the tuned", "**shows no gain** against its")),
        ([6.0, 6.3], [5.0, 5.31], ("**shows no gain** against the", "**hurts** against its own")),
    ],
)
def test_the_answer_says_what_the_numbers_say(
    swe_f: list[float], start: list[float], words: tuple[str, str], records: Path, edit: Edit
) -> None:
    study = records.parent / STUDY
    put(study, edit, baseline=[6.1, 6.2] * 2, swe_f=swe_f * 2, equal_start=start * 2)
    told = first_screen.answer(records)
    assert all(word in told for word in words)
    assert "n = 4" in told
    assert "BERT 12x64 (layers x width)" in told
    assert "[TAB1-F](docs/claims.md#tab1-f): fails (small)." in told
    assert "The 3 claims by" in told
    assert "holds with limits 1, fails 1, not run 1." in told


def test_on_the_plateau_no_word_is_said_of_sharing(records: Path, edit: Edit) -> None:
    """And any study that left speaks before one that did not, however large that is."""
    put(
        records.parent / STUDY,
        edit,
        baseline=[6.1, 6.2, 6.1],
        swe_f=[7.0, 7.11, 7.0],
        equal_start=[6.9, 7, 6.9],
    )
    assert "Sharing loses" in first_screen.cases(records)
    edit(records.parent / STUDY, lambda table: table.update(blind={"loss": 6.2}))
    told = first_screen.answer(records)
    assert told.startswith("No text run on record tells: SWE-F and all that it is compared with")
    assert "best loss blind to context 6.200 nats" in told
    assert "hurts" not in told.split("\n")[0]
    assert "Sharing loses" not in first_screen.cases(records)
    write_table(records.parent / "studies" / "small", "sweep")
    small = records.parent / "studies" / "small" / "sweep.json"
    put(small, edit, baseline=[6.1, 6.2] * 2, swe_f=[5.0, 5.1] * 2, equal_start=[5.5, 5.62] * 2)
    edit(small, lambda table: table["study"].update(rates=[1.0], size="2x16"))
    edit(small, lambda table: table.update(blind={"loss": 6.2}))
    assert "SWE-F, tied" in first_screen.answer(records)
    assert "the plateau ends at 5.700" in first_screen.answer(records)
    assert "BERT 2x16" in first_screen.answer(records)


def test_two_seeds_are_open_whatever_their_interval(records: Path, edit: Edit) -> None:
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2], swe_f=[5, 5.1], equal_start=[5.5, 5.62])
    told = first_screen.answer(records)
    assert "**is undecided** against the tuned baseline (−1.1000 " in told
    assert "helps" not in told.split("\n")[0]
    assert "Sharing wins" not in first_screen.cases(records)


def test_the_largest_tuned_study_speaks(records: Path, edit: Edit) -> None:
    def grown(flops: float, rates: list[float], size: str) -> Callable[[Any], None]:
        def change(table: dict[str, Any]) -> None:
            table["study"] |= {"rates": rates, "size": size}
            table["arms"]["baseline"]["flops"] = {"0": flops}

        return change

    for folder, flops, rates in (
        ("a", 1e15, [1.0]),
        ("b", 1e14, [1.0, 2.0]),
        ("c", 1e13, [1.0, 2.0]),
    ):
        write_table(records.parent / "studies" / folder, "sweep")
        edit(records.parent / "studies" / folder / "sweep.json", grown(flops, rates, folder))
    assert "BERT b, " in first_screen.answer(records)


def test_a_masked_study_speaks_before_a_larger_causal_one(records: Path, edit: Edit) -> None:
    """The paper's models are masked."""
    causal = records.parent / "studies" / "causal-24x256"
    write_table(causal, "headline")

    def enlarge(table: dict[str, Any]) -> None:
        table["study"] |= {"size": "24x256", "objective": "causal"}
        table["arms"]["baseline"]["flops"] = {"0": 1e30}

    edit(causal / "headline.json", enlarge)
    assert "BERT 12x64 (layers x width)" in first_screen.answer(records)
    (records.parent / STUDY).unlink()
    assert "BERT 24x256, causal (layers x width)" in first_screen.answer(records)


def test_one_seed_and_no_study_say_nothing(records: Path, edit: Edit) -> None:
    put(records.parent / STUDY, edit, baseline=[6.1], swe_f=[5.0], equal_start=[5.5])
    assert first_screen.answer(records).startswith("No run on record compares")
    (records.parent / STUDY).unlink()
    assert first_screen.answer(records).startswith("No run on record compares")
    assert first_screen.cases(records) == "No case on record."


def test_no_ledger_and_a_torn_study_are_named(records: Path, edit: Edit) -> None:
    edit(records.parent / STUDY, lambda table: table["arms"]["baseline"].pop("flops"))
    with pytest.raises(ResultError, match=r"sweep\.json: not the expected content"):
        first_screen.answer(records)
    (records / "claims.json").unlink()
    with pytest.raises(ResultError, match=r"claims\.json is missing"):
        first_screen.answer(records)


def test_a_win_on_record_is_shown_beside_a_loss(records: Path, edit: Edit) -> None:
    model = CLAIMS[0] | {"id": "ADAM-TAU", "verdict": "holds", "figure": "adam_unshare"}
    edit(records / "claims.json", lambda claims: claims.append(model))
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2, 6.1], swe_f=[7.0, 7.11, 7.0])
    lost = first_screen.cases(records)
    assert lost.startswith("| Sharing wins, in a model | Sharing loses |\n")
    assert "docs/images/adam_unshare.png" in lost
    assert "In no network on record" in lost
    write_table(records.parent / "studies" / "24x64", "sweep")
    won = records.parent / "studies" / "24x64" / "sweep.json"
    put(won, edit, baseline=[6.1, 6.2] * 2, swe_f=[5.0, 5.11] * 2, equal_start=[4.9, 5.2] * 2)
    assert "In no network on record" in first_screen.cases(records), "the start's gain is no win"
    put(won, edit, baseline=[6.1, 6.2] * 2, swe_f=[5.0, 5.11] * 2, equal_start=[5.4, 5.5] * 2)
    shown = first_screen.cases(records)
    assert "docs/images/study_24x64_sweep.png" in shown
    assert "SWE-F **helps** against the tuned baseline" in shown
    assert "In no network" not in shown
    (records.parent / STUDY).unlink()
    assert first_screen.cases(records).startswith("| Sharing wins |\n")


def test_a_win_of_a_network_is_told_and_shown(records: Path, edit: Edit) -> None:
    """After BERT's own sentence; before a model's win; and not when the claim fails."""
    network = CLAIMS[0] | {
        "id": "TOY-UNROLLED",
        "verdict": "holds with limits",
        "qualifier": "3 of 4 settings",
        "figure": "toy_judged",
    }
    model = CLAIMS[0] | {"id": "ADAM-TAU", "verdict": "holds", "figure": "adam_unshare"}
    edit(records / "claims.json", lambda claims: claims.extend([model, network]))
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2, 6.1], swe_f=[7.0, 7.11, 7.0])
    assert "tying first **helps** small networks" in first_screen.answer(records)
    assert "own start in 3 of 4 settings: [TOY-UNROLLED]" in first_screen.answer(records)
    shown = first_screen.cases(records)
    assert shown.startswith("| Sharing wins | Sharing loses |\n")
    assert "docs/images/toy_judged.png" in shown
    assert "ADAM-TAU" not in shown
    edit(records / "claims.json", lambda claims: claims[-1].update(verdict="no gain"))
    assert "**helps** small" not in first_screen.answer(records)
    assert "docs/images/adam_unshare.png" in first_screen.cases(records)


def test_a_win_on_a_language_is_told_and_shown(records: Path, edit: Edit) -> None:
    """It is shown, but BERT's answer on text stays the first sentence."""
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2, 6.1], swe_f=[7.0, 7.11, 7.0])
    spoken = first_screen.answer(records)
    folder = records.parent / "studies" / "a"
    write_table(folder, "sweep")
    won = (folder / "sweep.json").rename(folder / "composition.json")
    edit(won, lambda table: table["study"].update(language={"kind": "composition"}))
    put(won, edit, baseline=[1.0, 1.1], swe_f=[0.1, 0.21], equal_start=[0.7, 0.8])
    assert "study_a_composition" not in first_screen.cases(records), "two seeds are few"
    losses = {"baseline": 1.0, "swe_f": 0.1, "equal_start": 0.7}
    seeds = {name: [loss, loss + 0.1, loss, loss, loss] for name, loss in losses.items()}
    put(won, edit, **seeds)
    assert first_screen.answer(records) == spoken
    shown = first_screen.cases(records)
    assert "docs/images/study_a_composition.png" in shown
    assert "on the composition language, " in shown
    claim = CLAIMS[0] | {"id": "LANG-COMPOSITION", "rigour": "measured", "qualifier": "Pre-LN"}
    edit(records / "claims.json", lambda claims: claims.append(claim | {"verdict": "no gain"}))
    told = first_screen.answer(records)
    assert "below its own start: **no gain (Pre-LN)** ([LANG-COMPOSITION]" in told
    together = claim | {"id": "LANG-CELLS", "verdict": "holds", "qualifier": "mean of 4 cells"}
    edit(records / "claims.json", lambda claims: claims.append(together))
    told = first_screen.answer(records)
    assert "over all its cells **holds (mean of 4 cells)** ([LANG-CELLS]" in told
    assert "cell by cell **no gain (Pre-LN)**" in told


def test_a_text_that_does_not_decide_stands_last(records: Path, edit: Edit) -> None:
    claim = CLAIMS[0] | {"id": "TOY-UNROLLED", "verdict": "holds", "figure": "toy_judged"}
    edit(records / "claims.json", lambda claims: claims.append(claim))
    assert first_screen.answer(records).startswith("SWE-F, tied for the first")
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2], swe_f=[5, 5.1], equal_start=[5.5, 5.62])
    first, _ = first_screen.answer(records).split("\n\n")
    assert first.startswith("Where every layer is a step of one iteration")
    assert first.index("On text: SWE-F, tied") < first.index("**is undecided**")


def test_networks_without_a_win_stand_beside_one(records: Path, edit: Edit) -> None:
    """Only while no BERT loses."""
    students = CLAIMS[0] | {"id": "TOY-SWE", "verdict": "no gain", "figure": "toy_students"}
    edit(records / "claims.json", lambda claims: claims.append(students))
    put(records.parent / STUDY, edit, baseline=[6, 6.1, 6], swe_f=[6, 6, 6], equal_start=[6, 6, 6])
    assert first_screen.cases(records).startswith("| Sharing does not win |\n")
    assert "docs/images/toy_students.png" in first_screen.cases(records)
    put(records.parent / STUDY, edit, baseline=[6.1, 6.2, 6.1], swe_f=[7.0, 7.11, 7.0])
    assert "Sharing does not win" not in first_screen.cases(records)


def test_minutes_stand_where_they_are_on_record(records: Path) -> None:
    assert "Minutes on" not in commands.table(records)
    times = {
        "device": "A Processor",
        "cores": 2,
        "steps": {"toy and theory": 120.0, "data": 60.0, "bert": 240.0},
        "total": 540.0,
    }
    dump(records / "times.json", times)
    table = commands.table(records)
    assert "| `python paper_repro.py` | 9 |" in table
    assert "| `python paper_repro.py theory toy claims figures` | 2 |" in table
    assert "| `python paper_repro.py bert claims figures` | 5 |" in table
    assert "Minutes on A Processor, 2 processes" in table
    build = {"seconds": 600.0, "text_bytes": 2e8}
    dump(records.parent / "data" / "stores.json", {"builds": [build]})
    assert "| 10 for 200 MB |" in commands.table(records)


def test_a_claim_in_full() -> None:
    text = claims_page.in_full(CLAIMS)
    first, second = text.split("### ")[1:]
    assert "R(t) \\<= exp(-2t) R(0) \\| any target (Theorem 1)" in first
    assert "**holds with limits (loose by 3.2)**, sampled: closed form." in first
    assert "(theory.md#the-bounds-themselves)" in first
    assert "`check_theorem1` in [theory/claims/theorems.py](../theory/claims/theorems.py)" in first
    assert "[theorem_bounds](images/theorem_bounds.png)" in first
    assert "**not run**.\n\n- Section: none\n" in second
    assert "- Figure: none\n- Command: `python paper_repro.py bert`" in second
    assert "\\<script\\>" in first
    unseen = claims_page.in_full([CLAIMS[0] | {"figure": "drawn_by_a_run"}])
    assert "- Figure: `drawn_by_a_run`, in the report\n" in unseen


def test_anchors_are_those_of_github() -> None:
    assert claims_page.anchor("2. Is it L² times faster in steps?") == (
        "2-is-it-l-times-faster-in-steps"
    )
    assert claims_page.anchor("THM2-EXACT") == "thm2-exact"
