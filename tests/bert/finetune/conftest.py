"""A small pre-trained run of ours, tied or not, and tasks in the official formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert.data.store import build_store
from bert.data.vocab import Vocabulary
from bert.finetune.learning.start import StartingPoint, of_model
from bert.model.config import BertConfig
from bert.model.encoder import build_bert
from bert.pretraining.task import MaskedLanguageTask
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import AlwaysShared, NeverShared, Schedule

NOISE = ("the", "sat", "on", "walked", "a", "b")


def shape(vocabulary: Vocabulary) -> BertConfig:
    return BertConfig(
        layers=2,
        hidden=16,
        heads=2,
        intermediate=32,
        vocabulary=vocabulary.size,
        positions=32,
        initial_std=0.1,
    )


@pytest.fixture(scope="session")
def start(vocabulary: Vocabulary) -> StartingPoint:
    """Random weights as a starting point: what is tested here does not need better ones."""
    return of_model(build_bert(shape(vocabulary), 0), vocabulary, {"kind": "random"})


@pytest.fixture(scope="session")
def run_folder(
    vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Return the folder of a finished pre-training run, "untied" or "tied", laid out as results."""
    out = tmp_path_factory.mktemp("results")
    text = out / "text.txt"
    rng = np.random.default_rng(0)
    lines = (" ".join(rng.choice(["cat", "mat", *NOISE], size=40)) for _ in range(200))
    text.write_text("\n\n".join(lines), encoding="utf-8")
    vocabulary.save(out / "data" / f"vocab-{vocabulary.sha256[:12]}.txt")
    store = build_store([text], vocabulary, out / "data" / "tokens", length=16, per_mille=100)
    task = MaskedLanguageTask(shape(vocabulary), vocabulary, store, 4, validation_rows=8)

    def folder(name: str) -> Path:
        schedule: Schedule = AlwaysShared() if name == "tied" else NeverShared()
        path = out / "bert" / "study" / f"{name}-s0"
        train(task, TrainConfig(steps=3, schedule=schedule), path)
        return path

    return folder


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SST-2 and STS-B: a text with "cat" is positive (score 4), one with "mat" negative (1)."""
    root = tmp_path_factory.mktemp("glue")
    rng = np.random.default_rng(1)

    def text(label: int) -> str:
        words = list(rng.choice(NOISE, size=rng.integers(2, 9)))
        words.insert(int(rng.integers(len(words) + 1)), ("mat", "cat")[label])
        return " ".join(words)

    def write(folder: str, name: str, header: str, rows: list[str]) -> None:
        path = root / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")

    for name, count in (("train.tsv", 200), ("dev.tsv", 41)):
        labels = rng.integers(0, 2, size=count)
        write("SST-2", name, "sentence\tlabel", [f"{text(y)}\t{y}" for y in labels])
        start = "genre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
        rows = [
            f"{i}\tg\tf\ty\to\ts\ts\t{text(y)}\t{text(y)}\t{1 + 3 * y}"
            for i, y in enumerate(labels)
        ]
        write("STS-B", name, f"index\t{start}\tscore", rows)
    write("SST-2", "test.tsv", "index\tsentence", [f"{i}\t{text(i % 2)}" for i in range(9)])
    return root


@pytest.fixture(scope="session")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 2.0: the answer is the word "cat" or "café", or there is neither in the text."""
    root = tmp_path_factory.mktemp("squad")
    rng = np.random.default_rng(2)
    for name, count in (("train", 160), ("dev", 30)):
        paragraphs: list[dict[str, Any]] = []
        for i in range(count):
            words = list(rng.choice(NOISE, size=rng.integers(6, 30)))
            answers = []
            if rng.random() < 0.7:
                word = str(rng.choice(["cat", "café"]))
                at = int(rng.integers(len(words)))
                words.insert(at, word)
                answers = [{"text": word, "answer_start": len(" ".join([*words[:at], ""]))}]
            qas = [
                {
                    "id": f"{name}{i}",
                    "question": "cat?",
                    "answers": answers,
                    "is_impossible": not answers,
                }
            ]
            paragraphs.append({"context": " ".join(words), "qas": qas})
        data = {"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}
        (root / f"{name}-v2.0.json").write_text(json.dumps(data), encoding="utf-8")
    return root
