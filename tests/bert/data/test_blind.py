"""The best blind loss: by enumeration of orders and shown symbols, by draws, by a trained table."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bert.data.blind import KEPT_SHARE, SMOOTHING, Law, hidden_shares, law_of, losses
from bert.data.masking import MASK_SHARE, RANDOM_SHARE, mask_rows, masked_per_row
from bert.data.text import DataError
from bert.data.vocab import SPECIALS, Vocabulary

VOCABULARY = Vocabulary([*SPECIALS, "a", "##b", "c", "##d", "e", "f"])
CLS, SEP = VOCABULARY.cls_id, VOCABULARY.sep_id


def rows(seed: int, count: int, length: int = 14) -> NDArray[np.int64]:
    """Rows between [CLS] and [SEP], skewed, some with an [UNK]; "f" in none."""
    rng = np.random.default_rng(seed)
    ids = np.array([VOCABULARY.unk_id, 5, 6, 7, 8, 9])
    body = rng.choice(ids, (count, length - 2), p=[0.06, 0.4, 0.2, 0.2, 0.1, 0.04])
    return np.column_stack([np.full(count, CLS), body, np.full(count, SEP)])


def test_every_row_weighs_the_same() -> None:
    text = np.array([[CLS, 5, 5, 5, 7, SEP], [CLS, 9, 0, 0, 0, SEP]])
    law = law_of([text[:1], text[1:]], VOCABULARY)
    counts = 5 * np.array([0, 0, 0, 0, 0, 3 / 4, 0, 1 / 4, 0, 1, 0]) / 2
    expected = (counts + SMOOTHING * VOCABULARY.is_ordinary) / (5 + 6 * SMOOTHING)
    np.testing.assert_allclose(law.p, expected, rtol=1e-14)
    assert (law.tokens, law.seen.tolist()) == (5, (counts > 0).tolist())
    assert law.p.sum() == pytest.approx(1, rel=1e-14)


def test_chunks_make_no_difference() -> None:
    text = rows(0, 50)
    whole, parts = (law_of(c, VOCABULARY) for c in ([text], np.array_split(text, 7)))
    np.testing.assert_allclose(whole.p, parts.p, rtol=1e-13)


@pytest.mark.parametrize("whole_word", [False, True])
def test_a_text_without_ordinary_tokens_is_refused(whole_word: bool) -> None:
    with pytest.raises(DataError, match="no ordinary token"):
        law_of([np.full((3, 8), VOCABULARY.unk_id)], VOCABULARY, whole_word=whole_word)


@pytest.mark.parametrize(("lengths", "masked"), [
    ([1, 1, 1, 1], 2), ([1, 2, 3], 3), ([3, 1, 2, 2, 1, 1], 4), ([4, 4], 3), ([2], 1), ([1, 2], 9),
])  # fmt: skip
def test_hidden_pieces_by_all_orders(lengths: list[int], masked: int) -> None:
    orders = list(permutations(range(len(lengths))))
    hidden = {(word, piece): 0 for word, size in enumerate(lengths) for piece in range(size)}
    for order in orders:
        pieces = [(word, piece) for word in order for piece in range(lengths[word])]
        for one in pieces[:masked]:
            hidden[one] += 1
    profile = [lengths.count(k) for k in range(1, max(lengths) + 1)]
    [_, shares] = hidden_shares(np.array([[3] * len(profile), profile]), masked)
    for (word, piece), times in hidden.items():
        found = shares[lengths[word] - 1, piece] if piece < masked else 0.0
        assert found == pytest.approx(times / len(orders), rel=1e-12)


def test_a_row_hides_as_many_pieces_as_it_should() -> None:
    """Rows of 512 tokens: counts of sets up to 1e90, and still the sum is exact to 1e-12."""
    counts, masked = np.array([[330, 60, 14, 3, 1]]), masked_per_row(512)
    [shares] = hidden_shares(counts, masked)
    assert float(counts[0] @ shares.sum(axis=1)) == pytest.approx(masked, rel=1e-12)
    assert np.all(np.diff(shares[4, :5]) < 0), "later pieces are hidden less often"


@pytest.mark.parametrize("whole_word", [False, True])
def test_the_law_is_that_of_the_masks_drawn(whole_word: bool) -> None:
    """Counts of drawn labels lie within 5 of their standard errors (independent at most)."""
    text, drawn = rows(1, 30), np.zeros(VOCABULARY.size)
    draws = 400
    for step in range(draws):
        labels = mask_rows(text, VOCABULARY, 0, step, whole_word=whole_word).labels
        drawn += np.bincount(labels.ravel(), minlength=VOCABULARY.size)
    law = law_of([text], VOCABULARY, whole_word=whole_word)
    kinds = len(VOCABULARY.ordinary_ids)
    raw = (law.p * (law.tokens + SMOOTHING * kinds) - SMOOTHING * VOCABULARY.is_ordinary).clip(0)
    expected = raw / law.tokens * drawn.sum()
    assert np.all(np.abs(drawn - expected) <= 5 * np.sqrt(expected) + 1e-9)
    other = law_of([text], VOCABULARY, whole_word=not whole_word)
    assert np.abs(law.p - other.p).max() > 0.01, "the two ways to mask are told apart"


def joint(law: Law) -> NDArray[np.float64]:
    """P(shown, label) by going through both, (V, V)."""
    ordinary = VOCABULARY.ordinary_ids
    table = np.zeros((VOCABULARY.size, VOCABULARY.size))
    for label in ordinary:
        table[VOCABULARY.mask_id, label] += MASK_SHARE * law.p[label]
        table[label, label] += KEPT_SHARE * law.p[label]
        for other in ordinary:
            table[other, label] += RANDOM_SHARE / len(ordinary) * law.p[label]
    return table


def test_losses_are_those_of_the_joint_law() -> None:
    law = law_of([rows(2, 40)], VOCABULARY)
    table = joint(law)
    assert table.sum() == pytest.approx(1, rel=1e-14)
    shown, labels = np.nonzero(table)
    assert len(shown) == 6 * 7, "every pair of a symbol shown and a label"
    expected = -np.log(table[shown, labels] / table.sum(axis=1)[shown])
    np.testing.assert_allclose(losses(law, VOCABULARY, shown, labels), expected, rtol=1e-12)


def test_a_trained_table_of_biases_gets_there_and_not_below() -> None:
    """Free logits for every symbol shown, by gradient descent on the training law."""
    law = law_of([rows(3, 40)], VOCABULARY)
    table = torch.from_numpy(joint(law))
    logits = torch.zeros_like(table, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-10)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -(table * torch.log_softmax(logits, 1)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    trained = float(loss().detach())
    shown, labels = np.nonzero(joint(law))
    best = float(joint(law)[shown, labels] @ losses(law, VOCABULARY, shown, labels))
    assert best <= trained <= best + 1e-5
    unigram = -float(law.p[law.p > 0] @ np.log(law.p[law.p > 0]))
    assert best < unigram, "what is shown helps"


def test_a_label_that_the_text_lacks_costs_half_a_count() -> None:
    law = law_of([rows(4, 20)], VOCABULARY)
    lost = losses(law, VOCABULARY, np.array([VOCABULARY.mask_id]), np.array([10]))
    assert not law.seen[10]
    assert lost[0] == pytest.approx(np.log((law.tokens + 6 * SMOOTHING) / SMOOTHING), rel=1e-14)
    assert masked_per_row(14) == 2
