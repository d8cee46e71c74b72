"""The optional second objective: on the same core, and absent unless asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bert.data.text import DataError
from bert.model.encoder import build_bert
from bert.pretraining.next_sentence import NextSentenceTask, PairBert
from bert.pretraining.task import MaskedLanguageTask
from bert.study.arms import StudyConfig
from bert.study.comparison import StudyData, build_task, prepare_data
from swe.base.errors import ConfigError
from swe.run.loop import train

STUDY = StudyConfig(
    size="2x16",
    vocabulary=200,
    length=16,
    rows=8,
    steps=30,
    seeds=1,
    check=0.2,
    validation_rows=40,
    arms=("baseline", "swe-f"),
    documents="apart",
    pairs="next-sentence",
    peak_lr=0.03,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    """Documents of one letter each, so that pairs can be told apart."""
    rng = np.random.default_rng(0)
    texts = []
    for number in range(300):
        letter = "abcdefgh"[number % 8]
        words = [letter * n for n in rng.integers(1, 4, size=60)]
        texts.append(" ".join(f"{word}." if i % 4 == 3 else word for i, word in enumerate(words)))
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "text.txt").write_text("\n\n".join(texts))
    return prepare_data(STUDY, folder / "data", text=[folder / "text.txt"])


@pytest.fixture(scope="module")
def task(data: StudyData) -> NextSentenceTask:
    task = build_task(STUDY, data)
    assert isinstance(task, NextSentenceTask)
    return task


def test_it_is_off_unless_asked_for(data: StudyData) -> None:
    assert StudyConfig().pairs == "none"
    plain = build_task(replace(STUDY, pairs="none"), data)
    assert type(plain) is MaskedLanguageTask
    assert plain.describe()["task"] != build_task(STUDY, data).describe()["task"]
    with pytest.raises(ConfigError, match="documents = 'across': must be apart for next-sentence"):
        replace(STUDY, documents="across")
    unknown: dict[str, Any] = {"pairs": "both"}
    with pytest.raises(ConfigError, match="pairs = 'both': must be none or next-sentence"):
        replace(STUDY, **unknown)


def test_a_batch_has_masked_pairs(task: NextSentenceTask) -> None:
    one, same, other = task.batch(1, 2), task.batch(1, 2), task.batch(1, 3)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["inputs"], other["inputs"])
    assert set(one) == {"inputs", "masked", "labels", "segments", "follows"}
    special = torch.tensor([task.vocabulary.cls_id, task.vocabulary.sep_id])
    assert not torch.isin(one["labels"], special).any()
    restored = one["inputs"].scatter(1, one["masked"], one["labels"])
    assert ((restored == task.vocabulary.sep_id).sum(1) == 2).all()
    assert one["segments"].shape == one["inputs"].shape


def test_the_shared_parameters_start_as_without_pairs(task: NextSentenceTask) -> None:
    model, plain = task.build(3), build_bert(task.config, 3)
    assert isinstance(model, PairBert)
    theirs = dict(model.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, theirs.pop(name))
    assert set(theirs) == {"pooler.weight", "pooler.bias", "follows.weight", "follows.bias"}


def test_the_loss_is_the_sum_of_both(task: NextSentenceTask) -> None:
    model = task.build(0)
    loss = float(task.loss(model, task.batch(0, 0)).detach())
    expected = math.log(task.config.padded_vocabulary) + math.log(2)
    assert loss == pytest.approx(expected, rel=0.1)


def test_segments_reach_the_model(task: NextSentenceTask) -> None:
    model = task.build(0).eval()
    batch = dict(task.batch(0, 0))
    before = model(batch["inputs"], batch["masked"], batch["segments"])[1]
    after = model(batch["inputs"], batch["masked"], 1 - batch["segments"])[1]
    assert not torch.allclose(before, after)


def test_it_trains_on_the_core(task: NextSentenceTask, tmp_path: Path) -> None:
    """Shared, untied and resumed like any task; the evaluation is fixed."""
    config = replace(STUDY, steps=12).train_config("swe-f", 0)
    summary = train(task, config, tmp_path / "run")
    assert set(summary["valid"]) == {
        "loss",
        "accuracy",
        "next_loss",
        "next_accuracy",
        "predictions",
    }
    assert summary["valid"]["predictions"] == 40 * task.masked
    model = task.build(0)
    assert task.evaluate(model, torch.device("cpu")) == task.evaluate(model, torch.device("cpu"))


def test_both_heads_learn_a_batch_by_heart(task: NextSentenceTask) -> None:
    model, batch = task.build(0), dict(task.batch(0, 0))
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        optimizer.step()
    _, follows = model(batch["inputs"], batch["masked"], batch["segments"])
    assert (follows.argmax(-1) == batch["follows"]).all()
    assert float(task.loss(model, batch).detach()) < 0.5 * math.log(38)


def test_a_store_with_documents_across_is_refused(data: StudyData, tmp_path: Path) -> None:
    text = data.store.parent.parent / "text.txt"
    across = prepare_data(
        replace(STUDY, documents="across", pairs="none"),
        tmp_path,
        text=[text],
        vocabulary_file=data.vocabulary_file,
    )
    with pytest.raises(DataError, match="a store with documents apart"):
        build_task(STUDY, across)
    # A finished store stands for its text, if it is what the study asks for.
    assert prepare_data(STUDY, tmp_path, text=[data.store]).store == data.store
    with pytest.raises(DataError, match="the store has documents across, asked for apart"):
        prepare_data(STUDY, tmp_path, text=[across.store])
    with pytest.raises(DataError, match="the store has length 16, asked for 32"):
        prepare_data(replace(STUDY, length=32), tmp_path, text=[data.store])
