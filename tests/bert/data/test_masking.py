from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bert.data import masking
from bert.data.masking import mask_rows, masked_per_row
from bert.data.text import DataError
from bert.data.vocab import SPECIALS, Vocabulary


def random_rows(vocabulary: Vocabulary, seed: int, rows: int, length: int) -> NDArray[np.uint16]:
    """[CLS] ... [SEP] with ordinary tokens, and here and there a [SEP] or [UNK] inside."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 99]))
    tokens = rng.choice(vocabulary.ordinary_ids, size=(rows, length))
    special = rng.random((rows, length)) < 0.1
    tokens[special] = rng.choice([vocabulary.sep_id, vocabulary.unk_id], size=special.sum())
    tokens[:, 0], tokens[:, -1] = vocabulary.cls_id, vocabulary.sep_id
    return tokens.astype(np.uint16)


cases = given(
    seed=st.integers(0, 2**40),
    step=st.integers(0, 10**6),
    rows=st.integers(1, 5),
    length=st.integers(12, 60),
    rate=st.floats(0.01, 0.4),
    whole_word=st.booleans(),
)


@settings(deadline=None, max_examples=60)
@cases
def test_properties(
    vocabulary: Vocabulary,
    seed: int,
    step: int,
    rows: int,
    length: int,
    rate: float,
    whole_word: bool,
) -> None:
    tokens = random_rows(vocabulary, seed, rows, length)
    before = tokens.copy()
    masked = max(1, round(rate * length))
    enough = vocabulary.is_ordinary[tokens].sum(axis=1) >= masked
    tokens = tokens[enough]
    assume(len(tokens))
    batch = mask_rows(tokens, vocabulary, seed, step, rate=rate, whole_word=whole_word)
    assert batch.inputs.dtype == batch.positions.dtype == batch.labels.dtype == np.int64
    assert batch.positions.shape == batch.labels.shape == (len(tokens), masked)
    assert (np.diff(batch.positions, axis=1) > 0).all()
    # Undoing the masks gives the rows; everything else was left alone.
    restored = batch.inputs.copy()
    np.put_along_axis(restored, batch.positions, batch.labels, axis=1)
    assert (restored == tokens).all()
    assert vocabulary.is_ordinary[batch.labels].all()
    shown = np.take_along_axis(batch.inputs, batch.positions, axis=1)
    assert (vocabulary.is_ordinary[shown] | (shown == vocabulary.mask_id)).all()
    again = mask_rows(tokens, vocabulary, seed, step, rate=rate, whole_word=whole_word)
    assert all((a == b).all() for a, b in zip(batch, again, strict=True))
    assert (before[enough] == tokens).all()


def reference_positions(
    row: list[int], keys: list[float], masked: int, vocabulary: Vocabulary
) -> list[int]:
    """Whole-word masking of one row in plain Python: words by key, until `masked` are reached."""
    words: list[list[int]] = []
    inside = False
    for position, token in enumerate(row):
        if not vocabulary.is_ordinary[token]:
            inside = False
        elif inside and vocabulary.tokens[token].startswith("##"):
            words[-1].append(position)
        else:
            words.append([position])
            inside = True
    order = sorted(range(len(words)), key=lambda word: keys[word])
    flat = [position for word in order for position in words[word]]
    return sorted(flat[:masked])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 1000), length=st.integers(20, 50), rate=st.floats(0.05, 0.4))
def test_whole_words_against_plain_python(
    vocabulary: Vocabulary, seed: int, length: int, rate: float
) -> None:
    tokens = random_rows(vocabulary, seed, 4, length)
    masked = masked_per_row(length, rate)
    assume((vocabulary.is_ordinary[tokens].sum(axis=1) >= masked).all())
    batch = mask_rows(tokens, vocabulary, seed, 3, rate=rate, whole_word=True)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 3, masking._STREAM]))
    keys = rng.random(tokens.shape)
    expected = [
        reference_positions(row, row_keys, masked, vocabulary)
        for row, row_keys in zip(tokens.tolist(), keys.tolist(), strict=True)
    ]
    assert batch.positions.tolist() == expected


def test_whole_words_written_out(vocabulary: Vocabulary) -> None:
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    # The first "##s" follows [CLS], "##ed" follows [UNK]: each is a word of its own.
    text = "[CLS] ##s walk ##ing ##s the [UNK] ##ed cat [SEP]"
    row = np.array([[ids[token] for token in text.split()]] * 400, dtype=np.uint16)
    batch = mask_rows(row, vocabulary, 1, 1, rate=0.3, whole_word=True)
    words = [[1], [2, 3, 4], [5], [7], [8]]
    seen = {tuple(positions) for positions in batch.positions.tolist()}
    expected = set()
    for first in words:
        for second in words:
            for third in words:
                if first != second != third != first:
                    expected.add(tuple(sorted((first + second + third)[:3])))
    assert seen == expected
    assert (2, 3, 4) in seen  # whole
    assert (1, 2, 5) in seen  # cut to its first piece
    assert (1, 3, 5) not in seen


@pytest.mark.parametrize("whole_word", [False, True])
def test_shares_and_places_are_those_of_bert(vocabulary: Vocabulary, whole_word: bool) -> None:
    rng = np.random.default_rng(np.random.SeedSequence([5, 5]))
    words = np.flatnonzero(vocabulary.is_ordinary & ~vocabulary.is_continuation)
    rows, length = 2000, 34
    tokens = rng.choice(words, size=(rows, length))
    tokens[:, 0], tokens[:, -1] = vocabulary.cls_id, vocabulary.sep_id
    batch = mask_rows(tokens, vocabulary, 11, 0, whole_word=whole_word)
    shown = np.take_along_axis(batch.inputs, batch.positions, axis=1)
    n = shown.size
    assert n == 2000 * 5
    # A random token is the original in one of V' cases. All bounds: 4 standard errors.
    same = 0.1 / len(vocabulary.ordinary_ids)
    for share, expected in (
        ((shown == vocabulary.mask_id).mean(), 0.8),
        ((shown == batch.labels).mean(), 0.1 + same),
        (((shown != vocabulary.mask_id) & (shown != batch.labels)).mean(), 0.1 - same),
    ):
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / n)
    # Each of the 32 places is masked equally often.
    counts = np.bincount(batch.positions.ravel(), minlength=length)
    assert counts[0] == counts[-1] == 0
    p = 5 / 32
    assert (abs(counts[1:-1] - rows * p) < 4 * math.sqrt(rows * p * (1 - p))).all()
    # Random replacements reach every ordinary token, and only those.
    replaced = shown[(shown != vocabulary.mask_id) & (shown != batch.labels)]
    assert set(replaced.tolist()) == set(vocabulary.ordinary_ids.tolist())


def test_seed_and_step_both_matter(vocabulary: Vocabulary) -> None:
    tokens = random_rows(vocabulary, 0, 8, 64)
    batches = [
        mask_rows(tokens, vocabulary, seed, step).inputs.tobytes()
        for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1), (10, 1), (1, 10))
    ]
    assert len(set(batches)) == len(batches)


def test_rows_of_any_integer_type_are_left_as_they_were(vocabulary: Vocabulary) -> None:
    tokens = random_rows(vocabulary, 0, 8, 64)
    expected = mask_rows(tokens, vocabulary, 0, 0)
    copies: list[NDArray[np.integer]] = [tokens.astype(np.uint32), tokens.astype(np.int64)]
    for given_rows in copies:
        batch = mask_rows(given_rows, vocabulary, 0, 0)
        assert all((a == b).all() for a, b in zip(batch, expected, strict=True))
        assert (given_rows == tokens).all()


@pytest.mark.parametrize(
    ("length", "rate", "masked"),
    [(128, 0.15, 19), (512, 0.15, 77), (3, 0.15, 1), (10, 1.0, 10), (100, 0.4, 40)],
)
def test_masked_per_row_written_out(length: int, rate: float, masked: int) -> None:
    assert masked_per_row(length, rate) == masked


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.1, math.nan])
def test_rate_out_of_range(vocabulary: Vocabulary, rate: float) -> None:
    with pytest.raises(ValueError, match=r"rate must be within \(0, 1\]"):
        mask_rows(random_rows(vocabulary, 0, 1, 20), vocabulary, 0, 0, rate=rate)


def test_row_without_enough_ordinary_tokens_is_named(vocabulary: Vocabulary) -> None:
    tokens = random_rows(vocabulary, 1, 3, 40)
    tokens[1] = vocabulary.unk_id
    tokens[1, 4:9] = vocabulary.ordinary_ids[0]
    with pytest.raises(DataError, match=r"^row 1 has 5 ordinary tokens, fewer than the 6 to mask$"):
        mask_rows(tokens, vocabulary, 0, 0)
    tokens[1, 9] = vocabulary.ordinary_ids[0]
    assert mask_rows(tokens, vocabulary, 0, 0).positions[1].tolist() == list(range(4, 10))


@pytest.mark.parametrize("foreign", [-1, 10**6])
def test_foreign_ids_and_wrong_shapes_are_refused(vocabulary: Vocabulary, foreign: int) -> None:
    tokens = random_rows(vocabulary, 1, 3, 40).astype(np.int64)
    tokens[2, 7] = foreign
    with pytest.raises(DataError, match="row 2 holds a token id outside the vocabulary"):
        mask_rows(tokens, vocabulary, 0, 0)
    with pytest.raises(ValueError, match="must be 2-D"):
        mask_rows(tokens[0], vocabulary, 0, 0)


def test_unused_fillers_are_neither_masked_nor_drawn() -> None:
    vocabulary = Vocabulary([*SPECIALS, *(f"[unused{i}]" for i in range(90)), "a", "b"])
    tokens = np.full((200, 20), 95)
    tokens[:, ::2] = 7  # [unused2]
    batch = mask_rows(tokens, vocabulary, 0, 0, rate=0.5)
    assert (batch.labels == 95).all()
    assert set(np.unique(batch.inputs).tolist()) == {7, vocabulary.mask_id, 95, 96}
