"""Masked-language-model inputs: which tokens are hidden, by what, and what was there.

Every row hides the same number of tokens M. BERT's recipe draws a number per row and pads up to a
cap; a fixed number needs no padding and no weights, so the head can gather (B, M) positions with
static shapes, and every row weighs the same in the loss.

Shapes: B rows, S tokens per row, M masked tokens per row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert.data.text import DataError
from bert.data.vocab import Vocabulary

# Last word of the seed, so that masks share no random stream with the order of the rows.
_STREAM = int.from_bytes(b"mask", "big")
RATE = 0.15
"""BERT's share of a row's tokens that are hidden."""
MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the rest keep their own token


class MaskedBatch(NamedTuple):
    """A batch ready for the model; all arrays int64.

    inputs: (B, S) tokens with the chosen ones replaced; positions: (B, M) columns of the chosen
    tokens, ascending in each row; labels: (B, M) the tokens that stood there.
    """

    inputs: NDArray[np.int64]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]


def masked_per_row(length: int, rate: float = RATE) -> int:
    """Return M = max(1, round(rate * length)), the number of masked tokens in a row.

    Raises:
        ValueError: a rate outside (0, 1].
    """
    if not 0.0 < rate <= 1.0:
        raise ValueError(f"rate must be within (0, 1], got {rate}")
    return max(1, round(rate * length))


def maskable(
    rows: NDArray[np.integer], vocabulary: Vocabulary, rate: float = RATE
) -> NDArray[np.bool_]:
    """Tell which of `rows` (B, S) hold the M ordinary tokens that `mask_rows` hides; (B,).

    An id outside the vocabulary counts as its last token: that fault is `mask_rows`'s to tell.
    """
    known_BS = np.minimum(rows, vocabulary.size - 1)
    ordinary_B = np.count_nonzero(vocabulary.is_ordinary[known_BS], axis=1)
    return np.asarray(ordinary_B >= masked_per_row(rows.shape[1], rate))


def mask_rows(
    rows: NDArray[np.integer],
    vocabulary: Vocabulary,
    seed: int,
    step: int,
    *,
    rate: float = RATE,
    whole_word: bool = False,
) -> MaskedBatch:
    """Mask M = max(1, round(rate * S)) ordinary tokens in every row of `rows` (B, S).

    The tokens are drawn uniformly without replacement; special tokens never. Of the chosen, 80 %
    become [MASK], 10 % an ordinary token drawn uniformly (it may happen to be the same), 10 % stay.

    With `whole_word`, whole words are drawn in random order until M tokens are reached, and the
    last word is cut to its first pieces where it would exceed M. A "##" piece belongs to the word
    before it; one that follows a special token (a word split between rows) begins a word itself.

    A pure function of its arguments: (seed, step) seeds the generator, `rows` is not changed.

    Raises:
        DataError: a row has fewer than M ordinary tokens (see `maskable`), or an id outside the
            vocabulary; the message names the row.
        ValueError: `rows` is not 2-D, or the rate is outside (0, 1].
    """
    inputs_BS = known_ids(rows, vocabulary)
    masked = masked_per_row(inputs_BS.shape[1], rate)
    ordinary_BS = vocabulary.is_ordinary[inputs_BS]
    available_B = ordinary_BS.sum(axis=1)
    if (available_B < masked).any():
        row = int((available_B < masked).argmax())
        raise DataError(
            f"row {row} has {available_B[row]} ordinary tokens, fewer than the {masked} to mask"
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, step, _STREAM]))
    keys_BS = rng.random(inputs_BS.shape)
    if whole_word:
        # One key for a whole word, that of its number in the row; a stable sort then keeps the
        # pieces of a word together and in order. Single tokens are the case of one-piece words.
        words_BS = _word_numbers(inputs_BS, ordinary_BS, vocabulary)
        keys_BS = np.take_along_axis(keys_BS, words_BS, axis=1)
    keys_BS[~ordinary_BS] = 2.0  # above any key, hence chosen last, hence never
    order_BS = np.argsort(keys_BS, axis=1, kind="stable")
    positions_BM = np.sort(order_BS[:, :masked], axis=1)
    labels_BM = np.take_along_axis(inputs_BS, positions_BM, axis=1)

    lot_BM = rng.random(labels_BM.shape)
    random_BM = vocabulary.ordinary_ids[
        rng.integers(len(vocabulary.ordinary_ids), size=labels_BM.shape)
    ]
    shown_BM = np.where(
        lot_BM < MASK_SHARE,
        vocabulary.mask_id,
        np.where(lot_BM < MASK_SHARE + RANDOM_SHARE, random_BM, labels_BM),
    )
    np.put_along_axis(inputs_BS, positions_BM, shown_BM, axis=1)
    return MaskedBatch(inputs_BS, positions_BM, labels_BM)


def known_ids(rows: NDArray[np.integer], vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return a copy of `rows` (B, S), int64, all of them ids of the vocabulary.

    Raises:
        DataError: an id outside the vocabulary; the message names the row.
        ValueError: `rows` is not 2-D.
    """
    if rows.ndim != 2:
        raise ValueError(f"rows must be 2-D (B, S), got shape {rows.shape}")
    ids_BS = rows.astype(np.int64)
    foreign_BS = (ids_BS < 0) | (ids_BS >= vocabulary.size)
    if foreign_BS.any():
        row = int(foreign_BS.any(axis=1).argmax())
        raise DataError(f"row {row} holds a token id outside the vocabulary of {vocabulary.size}")
    return ids_BS


def _word_numbers(
    tokens_BS: NDArray[np.int64], ordinary_BS: NDArray[np.bool_], vocabulary: Vocabulary
) -> NDArray[np.int64]:
    """Number the words of each row from 0; (B, S), meaningless at special tokens."""
    begins_BS = ordinary_BS & ~vocabulary.is_continuation[tokens_BS]
    begins_BS[:, 0] |= ordinary_BS[:, 0]
    begins_BS[:, 1:] |= ordinary_BS[:, 1:] & ~ordinary_BS[:, :-1]
    return np.maximum(begins_BS.cumsum(axis=1, dtype=np.int64) - 1, 0)
