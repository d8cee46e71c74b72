"""All methods on a text: planned without it, run on it, and refused where the plan would be off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paper_repro
from bert.data.vocab import SPECIALS, Vocabulary
from bert.study.comparison import StudyData, build_task, planned_task, prepare_data
from bert.study.rival_methods import METHODS
from bert.study.rivals import RivalArm
from bert.study.table_study import chosen_arms
from bert.study.text_rivals import TEXT_SCALES, TextRivals, asked_text_rivals, build_text_rivals
from evidence.results import own_rivals
from evidence.rivals import ON_TEXT
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from tests.bert.study.test_rivals import costs_by_hand

WORDS = ["".join(chr(97 + (7 * k + j * j) % 26) for j in range(2 + k % 4)) for k in range(60)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("text") / "text.txt"
    documents = (" ".join(rng.choice(WORDS, size=200)) for _ in range(40))
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


def study_of(**changes: Any) -> TextRivals:
    return replace(TEXT_SCALES["smoke"], vocabulary=100, length=16, **changes)


@pytest.fixture(scope="module")
def data(text: Path) -> StudyData:
    return prepare_data(study_of(), text.parent / "data", text=[text])


@pytest.mark.parametrize("scale", list(TEXT_SCALES))
def test_every_scale_runs_a_part_of_the_methods(scale: str) -> None:
    study = asked_text_rivals(scale, 0, {})
    assert study == TEXT_SCALES[scale] == from_dict(TextRivals, to_dict(study))
    assert set(study.only) < set(METHODS)
    for arm in chosen_arms(ON_TEXT, study):
        assert isinstance(arm, RivalArm)
        if arm.method != "core":
            assert study.costs_of(arm) == costs_by_hand(study, arm, arm.updates)


def test_a_method_that_is_not_asked_for_needs_no_room() -> None:
    """Five layers cannot be grown from half of them, nor eight updates hold stages."""
    study = asked_text_rivals("smoke", 0, {"size": "5x32", "steps": 8, "only": ["swe-f"]})
    assert [arm.name for arm in study.arms_of(ON_TEXT)] == ["baseline", "swe-f"]


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_the_planned_task_costs_what_the_runs_does(objective: str, data: StudyData) -> None:
    study = study_of(objective=objective)
    there, planned = build_task(study, data), planned_task(study)
    assert there.vocabulary.size == study.vocabulary
    assert (there.config, there.masked, there.length) == (
        planned.config,
        planned.masked,
        planned.length,
    )
    assert there.flops_per_batch == planned.flops_per_batch == study.update_flops


def test_another_vocabulary_than_was_planned_for_is_refused(
    data: StudyData, tmp_path: Path
) -> None:
    assert build_text_rivals(study_of(), data).config == study_of().task.config
    Vocabulary([*SPECIALS, "a", "b"]).save(tmp_path / "vocab.txt")
    with pytest.raises(ConfigError, match=r"vocabulary = 101: must be 100, as many tokens as"):
        build_text_rivals(replace(study_of(), vocabulary=101), data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": "next-sentence"}, "pairs = 'next-sentence': must be none"),
        ({"size": "5x32"}, "layers = 5: must be even, to be grown from half of them"),
        ({"size": "5x32", "only": ["cycle"]}, "layers = 5: must be a multiple, to be shared in a"),
        ({"only": ["stack"]}, "only = 'stack': must be of baseline, equal-start"),
        ({"taus": [0.1]}, "taus"),
    ],
)
def test_impossible_studies_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked_text_rivals("small", 0, settings)


@pytest.mark.slow
def test_the_command_compares_them_on_the_text(text: Path, tmp_path: Path) -> None:
    asked = [
        "rivals", "--scale", "smoke", "--text", str(text), "--out", str(tmp_path), "--jobs", "1",
        "--seeds", "1", "--set", "vocabulary=100", "length=16", "only=identity",
    ]  # fmt: skip
    assert paper_repro.main(asked) == 0
    [table] = own_rivals(tmp_path)
    assert table.table == ON_TEXT
    assert table.data["order"] == ["baseline", "identity", "identity uncharged"]
    assert table.data["blind"]["predictions"] > 0
    for row in table.data["arms"].values():
        assert row["flops"] == {"0": sum(row["phase_flops"])}
        assert row.get("verdict", "on the plateau") == "on the plateau"
    assert paper_repro.main(["rivals", "--scale", "full", "--text", str(text)]) == 2
