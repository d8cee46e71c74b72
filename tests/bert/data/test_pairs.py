from __future__ import annotations

import math

import numpy as np
import pytest

from bert.data.pairs import PairBatch, pair_rows
from bert.data.store import TokenStore, build_store
from bert.data.text import DataError
from bert.data.vocab import SPECIALS, Vocabulary

DOCUMENTS, LENGTH = 12, 16


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    """A word is its document and its place: d3w17; every fifth token is a full stop."""
    words = [f"d{d}w{w}" for d in range(DOCUMENTS) for w in range(200)]
    return Vocabulary([*SPECIALS, ".", *words])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> TokenStore:
    folder = tmp_path_factory.mktemp("pairs")
    texts = [
        " ".join("." if w % 5 == 4 else f"d{d}w{w}" for w in range(20 + 15 * d))
        for d in range(DOCUMENTS)
    ]
    (folder / "text.txt").write_text("\n\n".join(texts))
    return build_store(
        folder / "text.txt", vocabulary, folder, length=LENGTH, per_mille=0, documents="apart"
    )


def pairs(store: TokenStore, vocabulary: Vocabulary, chosen: np.ndarray, step: int) -> PairBatch:
    return pair_rows(store.train, store.train_starts, chosen, vocabulary, 3, step)


def split(tokens: list[int], vocabulary: Vocabulary) -> tuple[list[str], list[str]]:
    """A and B as words, from one row written [CLS] A [SEP] B [SEP]."""
    words = [vocabulary.tokens[token] for token in tokens]
    assert words[0] == "[CLS]"
    assert words[-1] == "[SEP]"
    assert words.count("[SEP]") == 2
    middle = words.index("[SEP]")
    return words[1:middle], words[middle + 1 : -1]


def document(words: list[str]) -> str:
    [found] = {word[1 : word.index("w")] for word in words if word != "."}
    return found


def test_pairs_against_the_text_they_come_from(store: TokenStore, vocabulary: Vocabulary) -> None:
    follows_seen = set()
    for step in range(30):
        chosen = np.arange(len(store.train))[step % 3 :: 3]
        batch = pairs(store, vocabulary, chosen, step)
        for row, tokens, segments, follows in zip(
            chosen, batch.tokens.tolist(), batch.segments.tolist(), batch.follows, strict=True
        ):
            first, second = split(tokens, vocabulary)
            assert segments == [0] * (len(first) + 2) + [1] * (len(second) + 1)
            text = [vocabulary.tokens[token] for token in store.train[row][1:-1]]
            assert first == text[: len(first)]
            assert first[-1] == "."  # every row here has full stops
            if follows:
                assert first + second == text[:-1]
            elif len(first) > 1:
                assert document(first) != document(second)
            follows_seen.add(int(follows))
    assert follows_seen == {0, 1}


def test_labels_are_even_and_partners_uniform(store: TokenStore, vocabulary: Vocabulary) -> None:
    """4 standard errors: half follow, and every other row is a partner equally often."""
    rows = len(store.train)
    n = 40_000
    batch = pairs(store, vocabulary, np.zeros(n, dtype=np.int64), 0)
    assert abs(batch.follows.mean() - 0.5) < 4 * 0.5 / math.sqrt(n)
    assert store.train_starts is not None
    sizes = np.diff(np.append(store.train_starts, rows))
    counts = np.zeros(DOCUMENTS)
    for tokens in batch.tokens[batch.follows == 0].tolist():
        counts[int(document(split(tokens, vocabulary)[1]))] += 1
    assert counts[0] == 0
    share = sizes[1:] / sizes[1:].sum()
    spread = np.sqrt(counts.sum() * share * (1 - share))
    assert (abs(counts[1:] - counts.sum() * share) < 4 * spread).all()


def test_a_function_of_seed_and_step(store: TokenStore, vocabulary: Vocabulary) -> None:
    chosen = np.arange(10)
    one, same, other = (pairs(store, vocabulary, chosen, step) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert (one.tokens != other.tokens).any()


def test_rows_without_sentence_ends_are_cut_anywhere(vocabulary: Vocabulary) -> None:
    rows = np.full((4, LENGTH), 7, dtype=np.uint16)
    batch = pair_rows(rows, np.array([0, 2]), np.zeros(2000, dtype=np.int64), vocabulary, 0, 0)
    lengths = np.bincount((batch.segments == 0).sum(axis=1) - 2)
    assert lengths[0] == 0
    assert len(lengths) == LENGTH - 3  # A has 1..S-4 tokens, B the rest of S-3
    assert (lengths[1:] > 0).all()


def test_stores_without_pairs_are_refused(store: TokenStore, vocabulary: Vocabulary) -> None:
    chosen = np.arange(1)
    with pytest.raises(DataError, match="a store with documents apart"):
        pair_rows(store.train, None, chosen, vocabulary, 0, 0)
    with pytest.raises(DataError, match="two documents at least"):
        pair_rows(store.train, np.array([0]), chosen, vocabulary, 0, 0)
    with pytest.raises(DataError, match="rows of 4 tokens are too short"):
        pair_rows(store.train[:, :4], store.train_starts, chosen, vocabulary, 0, 0)
