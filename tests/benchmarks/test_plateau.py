"""Settings in search of the plateau's end: each once, resumable, and over when a run has left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.plateau import CENTRE, FACTORS, TOGETHER, Setting, run, settings, task_of
from bert.data.masking import maskable
from bert.model.encoder import Bert
from bert.study.comparison import StudyData, prepare_data
from figures.pages.plateau import of_setting
from swe.base.errors import ConfigError
from swe.base.files import write_json

TINY = Setting(
    size="2x16", vocabulary=120, length=16, rows=4, rate=1e-3, mtokens=0.00064, mask_rate=0.3
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(1, 6))) for _ in range(80)]
    folder = tmp_path_factory.mktemp("data")
    text = "\n\n".join(" ".join(rng.choice(words, size=40)) for _ in range(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return prepare_data(TINY.study, folder, text=[folder / "text.txt"])


def test_every_setting_is_there_once_and_told_apart() -> None:
    every = settings(["length=8,rows=256", "mtokens=24"])
    assert every[0] == CENTRE
    assert len(every) == 1 + sum(map(len, FACTORS.values())) + len(TOGETHER) + 1
    assert len({one.words() for one in every}) == len({one.name for one in every}) == len(every)
    tokens = [one.steps * one.rows * one.length for one in every[:-1]]
    assert max(tokens) - min(tokens) <= 128 * 64, "the same for all, to a batch"
    asked = settings(["vocabulary=512", "mtokens=24"], only=True)
    assert asked == [replace(CENTRE, vocabulary=512), replace(CENTRE, mtokens=24.0)]
    with pytest.raises(ConfigError, match="widht"):
        settings(["widht=3"])
    with pytest.raises(ConfigError, match=r"mask_rate = 2\.0"):
        settings(["mask_rate=2.0"])


def test_a_task_is_the_settings(data: StudyData) -> None:
    scaled = replace(TINY, position_scale=3.0, branch_scale=0.5)
    task, plain = task_of(scaled, data), task_of(TINY, data)
    assert task.batch(0, 0)["masked"].shape == (4, 5), "0.3 of 16"
    one, other = (t.build(0) for t in (task, plain))
    assert isinstance(one, Bert)
    assert isinstance(other, Bert)
    torch.testing.assert_close(one.positions.weight, 3 * other.positions.weight)
    assert torch.equal(one.words.weight, other.words.weight)
    inputs = task.batch(0, 0)["inputs"]
    other.positions.weight.data *= 3
    assert not torch.equal(one.encode(inputs), other.encode(inputs)), "branches"
    assert task.describe() != plain.describe()


def test_a_row_with_too_few_tokens_to_mask_gives_its_place(data: StudyData) -> None:
    """The store keeps rows for a study's rate; at a higher one another stands in."""
    task = task_of(replace(TINY, mask_rate=0.5), data)
    bare = np.array(task.store.train)
    bare[0, 3:] = task.vocabulary.unk_id
    poor = replace(task, store=replace(task.store, train=bare))
    rows = poor.rows_of("train", np.arange(3))
    assert np.array_equal(rows[1:], bare[1:3])
    assert maskable(rows, task.vocabulary, 0.5).all()
    assert poor.masks(rows, 0, 0).positions.shape == (3, 8)
    assert np.array_equal(rows, poor.rows_of("train", np.arange(3))), "always the same one"


def test_a_run_stops_and_goes_on_to_the_same_line(data: StudyData, tmp_path: Path) -> None:
    whole = run(TINY, data, tmp_path / "one", lambda: False)
    calls = iter(range(100))
    assert run(TINY, data, tmp_path / "two", lambda: next(calls) >= 4) is None
    again = run(TINY, data, tmp_path / "two", lambda: False)
    assert whole is not None
    assert again is not None
    assert [{**one, "seconds": 0} for one in (whole, again)] == [{**whole, "seconds": 0}] * 2
    row = of_setting(whole)
    assert (row.updates, row.tokens, row.left, row.at) == (10, 640, 0, None)
    assert whole["valid"]["step"] == list(range(1, 11))


def test_a_run_that_left_is_over(data: StudyData, tmp_path: Path) -> None:
    """Against a blind loss that the first evaluations are below already."""
    write_json(tmp_path / TINY.name / "blind.json", {"loss": 100.0})
    line = run(TINY, data, tmp_path, lambda: False)
    assert line is not None
    assert line["valid"]["step"] == [1]
    assert run(TINY, data, tmp_path, lambda: False) == line, "nothing is run again"
    assert of_setting(line).at == 64.0
