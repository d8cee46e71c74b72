"""Rows: special tokens, segments, truncation, padding, and which rows a batch holds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert.data.vocab import Vocabulary
from bert.finetune.data.glue import Example
from bert.finetune.data.rows import Rows, TrainingOrder, sentence_rows, truncate_pair


def words(vocabulary: Vocabulary, rows: Rows, index: int) -> list[str]:
    return [vocabulary.tokens[i] for i in rows.row(index)]


def test_rows_written_out(vocabulary: Vocabulary) -> None:
    examples = [Example(0, "the cat", "sat", 1), Example(1, "the mat walked", "the cat", 0)]
    rows = sentence_rows(examples, vocabulary, 9, regression=False)
    assert words(vocabulary, rows, 0) == ["[CLS]", "the", "cat", "[SEP]", "sat", "[SEP]"]
    assert words(vocabulary, rows, 1) == [
        "[CLS]",
        "the",
        "mat",
        "walk",
        "##ed",
        "[SEP]",
        "the",
        "cat",
        "[SEP]",
    ]
    narrow = rows.batch(np.array([1, 0]))
    assert narrow["inputs"].shape == (2, 9), "never beyond the longest row that is allowed"
    rows = sentence_rows(examples, vocabulary, 32, regression=False)
    batch = rows.batch(np.array([1, 0]))
    assert batch["inputs"].shape == (2, 16), "padded to a multiple of 8"
    assert (batch["inputs"][1, 6:] == vocabulary.pad_id).all()
    assert batch["lengths"].tolist() == [9, 6]
    assert batch["segments"][0].tolist() == [0] * 6 + [1] * 3 + [0] * 7
    assert batch["segments"][1].tolist() == [0] * 4 + [1] * 2 + [0] * 10
    assert batch["labels"].tolist() == [0, 1]


def test_single_sentences_are_cut_and_have_one_segment(vocabulary: Vocabulary) -> None:
    rows = sentence_rows([Example(0, "cat " * 20, None, 2.5)], vocabulary, 8, regression=True)
    assert words(vocabulary, rows, 0) == ["[CLS]", *["cat"] * 6, "[SEP]"]
    batch = rows.batch(np.array([0]))
    assert int(batch["segments"].sum()) == 0
    assert batch["labels"].dtype.is_floating_point


@pytest.mark.parametrize(
    ("lengths", "room", "kept"),
    [((5, 3), 8, (5, 3)), ((5, 3), 6, (3, 3)), ((3, 3), 5, (3, 2)), ((9, 1), 4, (3, 1))],
)
def test_truncation_written_out(lengths: tuple[int, int], room: int, kept: tuple[int, int]) -> None:
    assert truncate_pair(*lengths, room) == kept


@given(st.integers(1, 50), st.integers(1, 50), st.integers(2, 60))
def test_truncation_takes_from_the_longer(a: int, b: int, room: int) -> None:
    x, y = truncate_pair(a, b, room)
    assert x + y == min(a + b, room)
    assert x <= a
    assert y <= b
    assert x == a or x >= y, "only the longer one lost"
    assert y == b or y >= x - 1


@given(st.integers(5, 60), st.integers(1, 7), st.integers(1, 5), st.integers(1, 20))
def test_every_pool_holds_the_rows_of_the_plain_order(
    count: int, batch: int, pool: int, steps: int
) -> None:
    """Sorting by length moves rows between the batches of a pool, never in or out of it."""
    rng = np.random.default_rng(count)
    starts = np.cumsum([0, *rng.integers(3, 30, size=count)])
    rows = Rows(np.zeros(starts[-1], np.uint16), starts, np.full(count, 3), 0, 40)
    plain, pooled = TrainingOrder(batch, 1, steps), TrainingOrder(batch, pool, steps)
    for first in range(0, steps, pool):
        inside = range(first, min(first + pool, steps))
        expected = np.concatenate([plain.rows(rows, 1, i) for i in inside])
        got = [pooled.rows(rows, 1, i) for i in inside]
        assert sorted(np.concatenate(got)) == sorted(expected)
        assert all(
            np.array_equal(g, pooled.rows(rows, 1, i)) for g, i in zip(got, inside, strict=True)
        )
        padding = [
            sum(rows.lengths[g].max() * batch for g in batches)
            for batches in (got, [plain.rows(rows, 1, i) for i in inside])
        ]
        assert padding[0] <= padding[1]


def test_evaluation_sees_every_row_once(vocabulary: Vocabulary) -> None:
    examples = [Example(i, "cat " * (i % 7 + 1), None, 0) for i in range(23)]
    rows = sentence_rows(examples, vocabulary, 32, regression=False)
    batches = rows.by_length(4)
    assert sorted(np.concatenate(batches)) == list(range(23))
    lengths = [rows.lengths[batch] for batch in batches]
    assert all(a.max() <= b.min() for a, b in itertools.pairwise(lengths))
