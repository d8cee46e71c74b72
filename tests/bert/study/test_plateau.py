"""The blind loss of a task is what a model that looks at its own position alone is given for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bert.data.blind import law_of, losses
from bert.languages.composition import Composition
from bert.model.config import BertConfig
from bert.model.encoder import Bert
from bert.pretraining.next_sentence import PairBert
from bert.pretraining.task import MaskedLanguageTask
from bert.study.arms import StudyConfig
from bert.study.comparison import StudyData, build_task, prepare_data
from bert.study.language_study import LanguageStudy, build_language_task
from bert.study.plateau import (
    _training_rows,
    blind_in,
    blind_of,
    in_words,
    stated,
    summarised,
)
from swe.base.files import read_json, write_json, write_lines

STUDY = StudyConfig(
    size="3x16", vocabulary=120, length=16, rows=4, steps=12, seeds=2, validation_rows=20
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Skewed made-up words, many of several pieces."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(1, 7))) for _ in range(80)]
    weights = 1 / np.arange(1, 81)
    documents = [
        " ".join(rng.choice(words, size=40, p=weights / weights.sum())) + " ." for _ in range(300)
    ]
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n\n".join(documents), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def data(text: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return prepare_data(STUDY, tmp_path_factory.mktemp("data"), text=[text])


def task_of(study: StudyConfig, data: StudyData) -> MaskedLanguageTask:
    task = build_task(study, data)
    assert isinstance(task, MaskedLanguageTask)
    return task


def table_of(task: MaskedLanguageTask) -> Tensor:
    """Logits by symbol shown, (V, V): the best blind model's, one pair at a time."""
    law = law_of(_training_rows(task), task.vocabulary, whole_word=task.whole_word)
    size = task.vocabulary.size
    table = torch.full((size, size), -torch.inf, dtype=torch.float64)
    ordinary = np.array(task.vocabulary.ordinary_ids)
    for shown in (task.vocabulary.mask_id, *ordinary):
        nats = losses(law, task.vocabulary, np.full(len(ordinary), shown), ordinary)
        table[int(shown), torch.from_numpy(ordinary)] = -torch.from_numpy(nats)
    return table


class Table:
    """Logits by a table's row of the symbol at each place: its hidden states are the symbols."""

    table: Tensor
    config: BertConfig

    def encode(
        self, inputs: Tensor, segments: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        # In float32, which has every symbol of so small a vocabulary exactly.
        return inputs.float()[..., None].expand(-1, -1, self.config.hidden)

    def predict(self, hidden_BSH: Tensor, masked: Tensor) -> Tensor:
        return self.table[hidden_BSH[..., 0].long().gather(1, masked).flatten()]


class Blind(Table, Bert):
    """What evaluation is given."""


class BlindPair(Table, PairBert):
    """The same with the head of sentence pairs, whatever that says."""


@pytest.mark.parametrize("whole_word", [False, True])
def test_evaluation_gives_a_blind_model_this_loss(data: StudyData, whole_word: bool) -> None:
    """Same rows, same masks; float32 logits are right to 1e-6."""
    task = task_of(replace(STUDY, whole_word=whole_word), data)
    model = Blind(task.config)
    model.table = table_of(task)
    found = task.evaluate(model, torch.device("cpu"))
    blind = blind_of(task)
    assert blind is not None
    assert blind["loss"] == pytest.approx(found["loss"], rel=1e-6)
    assert blind["predictions"] == found["predictions"]
    assert 0 < blind["loss"] < blind["unigram"]
    other = blind_of(replace(task, whole_word=not whole_word))
    assert other is not None
    assert other["loss"] != blind["loss"]


def test_pairs_have_theirs(text: Path, tmp_path: Path) -> None:
    study = replace(STUDY, documents="apart", pairs="next-sentence")
    task = task_of(study, prepare_data(study, tmp_path, text=[text]))
    model = BlindPair(task.config)
    model.table = table_of(task)
    found = task.evaluate(model, torch.device("cpu"))
    blind = blind_of(task)
    assert blind is not None
    assert blind["loss"] == pytest.approx(found["loss"], rel=1e-6)


def test_it_is_computed_once(data: StudyData, tmp_path: Path) -> None:
    task = build_task(STUDY, data)
    assert blind_in(tmp_path) is None
    first = stated(tmp_path, task)
    assert first == blind_of(task) == blind_in(tmp_path)
    write_json(tmp_path / "blind.json", {"loss": 1.0})
    assert stated(tmp_path, task) == {"loss": 1.0}


def test_a_summary_says_when_the_run_left(data: StudyData, tmp_path: Path) -> None:
    task = build_task(STUDY, data)
    blind = blind_of(task)
    assert blind is not None
    losses = [blind["loss"] + 1, blind["loss"] - 0.25, blind["loss"] - 0.75]
    rows = [{"kind": "valid", "step": 4 * k, "loss": loss} for k, loss in enumerate(losses, 1)]
    write_lines(tmp_path / "metrics.jsonl", [{"kind": "train", "step": 1}, *rows])
    summary = summarised(tmp_path, {"steps": 12, "tokens": 1200}, task)
    assert summary == read_json(tmp_path / "summary.json")
    assert summary["plateau"]["left_after_tokens"] == 1000
    assert summary["plateau"]["least"] == losses[-1]
    assert in_words(summary["plateau"]).endswith("left after 1000 tokens")
    write_lines(tmp_path / "metrics.jsonl", rows[:2])
    assert summarised(tmp_path, summary, task) == summary, "once"
    stuck = summarised(tmp_path, {"steps": 12, "tokens": 1200}, task)["plateau"]
    assert stuck["left_after_tokens"] is None
    assert in_words(stuck).endswith("stuck on it")


def test_languages_and_causal_models_state_none(data: StudyData, tmp_path: Path) -> None:
    language = LanguageStudy(size="2x16", language=Composition(symbols=4, hops=2))
    assert stated(tmp_path, build_language_task(language)) is None
    assert stated(tmp_path, build_task(replace(STUDY, objective="causal"), data)) is None
    assert not list(tmp_path.iterdir())
