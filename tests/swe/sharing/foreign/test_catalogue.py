"""Other people's models: tied, they train and generate as the stock class does with their weights.

The catalogue is on record (docs/foreign_models.md). What it took is to be taken again, and nothing
may differ from untied copies.
"""

from __future__ import annotations

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import transformers

from benchmarks.foreign import families, optimisers, vision, wrappers
from benchmarks.foreign.apart import apart
from benchmarks.foreign.route import NEAR, descent, distance, fitting_rate
from benchmarks.foreign.ways import lists_of_layers

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.filterwarnings("ignore")
Row = dict[str, Any]


@cache
def record() -> Any:
    path = ROOT / "records" / "foreign" / "catalogue.json"
    return json.loads(path.read_text(encoding="utf-8"))["sections"]


def rows_on_record(section: str, package: str, version: str) -> dict[tuple[str, str], Row]:
    """{(family, class): row} where the record was made with the installed version."""
    content = record().get(section)
    if content is None or content["versions"].get(package) != version:
        return {}
    return {(row.get("family", ""), row.get("class", "")): row for row in content["rows"]}


def assert_as_good(row: Row, before: Row | None) -> None:
    """Nothing differs in silence, and what was taken is taken, with no more options."""
    for found in row["lists"]:
        assert "wrong" not in found, found
        assert found.get("generates", "same") == "same", found
    if before is not None and before["lists"]:
        ways = {found["where"]: found.get("way") for found in row["lists"]}
        assert ways == {found["where"]: found.get("way") for found in before["lists"]}, row


def test_the_record_has_nothing_that_differs_in_silence() -> None:
    """61 lists of layers were taken in models without a cache before layers kept their modules."""
    models = [one for name in ("transformers", "timm", "torchvision") for one in _lists(name)]
    assert [one for one in models if "wrong" in one] == []
    assert {one["generates"] for one in models if "generates" in one} == {"same"}
    assert sum(one.get("way") == "as it is" for one in _lists("transformers")) > 61
    assert [row for row in record()["wrappers"]["rows"] if "wrong" in row] == []
    odd = [row["wrong"] for row in record()["optimisers"]["rows"] if "wrong" in row]
    assert all(optimisers.CLIPS in words for words in odd)


def _lists(section: str) -> list[Row]:
    return [one for row in record()[section]["rows"] for one in row.get("lists", [])]


CHOSEN = {
    ("bert", "BertForMaskedLM"): {"bert.encoder.layer": "as it is"},
    ("gpt2", "GPT2LMHeadModel"): {"transformer.h": "as it is"},
    ("gemma2", "Gemma2ForCausalLM"): {"model.layers": "unit=2"},
    ("t5", "T5ForConditionalGeneration"): {
        "encoder.block": "layers=slice(1, None)",
        "decoder.block": "layers=slice(1, None)",
    },
    ("whisper", "WhisperForConditionalGeneration"): {
        "model.encoder.layers": "as it is",
        "model.decoder.layers": "as it is",
    },
    ("beit", "BeitModel"): {"layers": "per_layer=('drop_path',)"},
}


@pytest.mark.parametrize(("family", "name"), CHOSEN)
def test_a_chosen_class_is_taken_and_generates(family: str, name: str) -> None:
    row = families.judged(family, name)
    assert_as_good(row, None)
    assert {found["where"]: found.get("way") for found in row["lists"]} == CHOSEN[family, name]
    assert all("generates" in found for found in row["lists"]) == name.endswith(
        ("LMHeadModel", "ForCausalLM", "Generation")
    )


@pytest.mark.parametrize(
    ("family", "name", "first"),
    [
        ("t5", "T5ForConditionalGeneration", 1),
        ("bart", "BartForConditionalGeneration", 0),
        ("whisper", "WhisperForConditionalGeneration", 0),
    ],
)
def test_encoder_and_decoder_are_tied_in_one_call(family: str, name: str, first: int) -> None:
    case, _ = families.case_of(family, name)
    both = [where for where, _ in lists_of_layers(case)]
    assert len(both) == 2
    part = {where: slice(first, None) for where in both}
    assert distance(case, both, descent(fitting_rate(case)), layers=part) < NEAR / 100


def test_a_wrong_rule_would_be_seen() -> None:
    """The sum of the gradients in the place of their mean, which is off by the number of layers."""
    case, _ = families.case_of("bert", "BertModel")
    [(where, _)] = lists_of_layers(case)
    make = descent(fitting_rate(case))
    assert distance(case, where, make) < NEAR / 100
    assert distance(case, where, make, convention="sum") > 100 * NEAR


def test_a_process_that_ends_is_told() -> None:
    def end() -> Row:
        raise SystemExit(3)

    assert apart(end, {"class": "X"})["not_tried"] == "the process ended: status 1"


@pytest.mark.parametrize("name", [n for n in optimisers.optimisers() if n.startswith("torch")])
def test_an_optimiser_of_torch_is_right(name: str) -> None:
    row = optimisers.judged_optimiser(name)
    assert row.get("not_tried") or row["distance"] < NEAR, row
    assert "wrong" not in row, row


@pytest.mark.slow
@pytest.mark.parametrize("family", families.classes())
def test_a_family_of_transformers(family: str) -> None:
    before = rows_on_record("transformers", "transformers", transformers.__version__)
    for name in families.classes()[family]:
        told = {"family": family, "class": name}
        row = apart(partial(families.judged, family, name), told)
        assert_as_good(row, before.get((family, name)))


@pytest.mark.slow
@pytest.mark.parametrize("family", vision.timm_families())
@pytest.mark.parametrize("dropped", [False, True])
def test_a_family_of_timm(family: str, dropped: bool) -> None:
    told = {"family": family}
    assert_as_good(apart(lambda: vision.judged_timm(family, dropped=dropped), told), None)


@pytest.mark.slow
@pytest.mark.parametrize("family", vision.torchvision_models())
def test_a_family_of_torchvision(family: str) -> None:
    assert_as_good(apart(lambda: vision.judged_torchvision(family), {"family": family}), None)


@pytest.mark.slow
@pytest.mark.parametrize("family", wrappers.MODELS)
@pytest.mark.parametrize("name", wrappers.WRAPPERS)
def test_a_wrapper_is_right_or_refused(name: str, family: str) -> None:
    row = apart(lambda: wrappers.judged_wrapper(name, family), {"wrapper": name})
    assert "wrong" not in row, row
    assert len({"distance", "refusal", "not_tried"} & row.keys()) == 1, row
    refused = ("first layer frozen", "alpha_pattern", "some layers", "Parallel", "fully_shard")
    assert ("refusal" in row) == any(word in name for word in refused) or "not_tried" in row, row
