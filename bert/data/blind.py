"""What a model blind to context can reach at best on masked tokens: the plateau's loss, exactly.

**Blind** is a model that sees the symbol shown at the masked position and nothing else: [MASK] in
80 % of the predictions, a token drawn uniformly in 10 %, the label itself in 10 %. A network finds
all of that without attention, from a bias and the embedding of the one position, so this, and not
the cross-entropy of the unigram alone, is the level at which a masked language model waits; it is
about a tenth lower, since where a token is shown a frequent one is mostly the label.

Let p be the law of labels and K the number of ordinary tokens. P(label y, shown s) is
0.8 p(y) for s = [MASK] and p(y) (0.1 / K + 0.1 [s = y]) for a token s, so the least expected loss
has

    q(y | [MASK]) = p(y),    q(y | s) = p(y) (0.1 / K + 0.1 [s = y]) / (0.1 / K + 0.1 p(s)),

and no other q does better (Gibbs). p is of the training text, the loss is taken over the very
predictions, symbols shown and all, on which runs are judged: nothing is drawn, nothing estimated.

**The law of labels.** Every row hides M of its o ordinary tokens, drawn alike, and rows weigh the
same: an ordinary token of a row weighs 1 / o. With whole words the later pieces of a word weigh
less, for the last word is cut to its first ones: piece j (from 0) is hidden where the words before
its own in the random order have at most M - 1 - j pieces. Of n words, a set of k others stands
before it with probability 1 / (n C(n - 1, k)); sets are counted by size and pieces together.

**Tokens that the training text does not have.** Unsmoothed, one of them in the held-out rows costs
infinitely much. Every ordinary token gets half a count more (Krichevsky and Trofimov 1981: of all
constants the one with the least worst-case regret, (K - 1) / 2 log N over N tokens): nothing where
the text is long, and never in favour of a run, as it is fixed and not fitted to the held-out rows.

**Positions** are not given to the blind model. Rows are cut by length, not at sentences, so a
column says nearly nothing of its token, and a table of a row's length times V would have to be
fitted; a run must pass the level by evidence.plateau.MARGIN, far more than columns can give.

Shapes: B rows, S tokens in a row, V the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bert.data.masking import MASK_SHARE, RANDOM_SHARE, masked_per_row
from bert.data.text import DataError
from bert.data.vocab import Vocabulary

SMOOTHING = 0.5
"""Counts that every ordinary token has more."""
ENTRIES = 1 << 20
"""Numbers in a table of sets of words at most: 8 MB."""
KEPT_SHARE = 1 - MASK_SHARE - RANDOM_SHARE


@dataclass(frozen=True)
class Law:
    """The law p of labels. ``p``: (V,), smoothed, 0 for what is never hidden; ``seen``: (V,) bool,
    tokens that the text has; ``tokens``: ordinary tokens of the text."""

    p: NDArray[np.float64]
    seen: NDArray[np.bool_]
    tokens: int


def law_of(
    chunks: Iterable[NDArray[np.integer]], vocabulary: Vocabulary, *, whole_word: bool = False
) -> Law:
    """Return the law of labels of a text's rows, given as chunks (B, S) in any number.

    One pass, memory of a chunk. DataError where no row has an ordinary token.
    """
    weights_V, counts_V = np.zeros(vocabulary.size), np.zeros(vocabulary.size, dtype=np.int64)
    for rows_BS in chunks:
        ordinary_BS = vocabulary.is_ordinary[rows_BS]
        counts_V += np.bincount(rows_BS[ordinary_BS], minlength=vocabulary.size)
        if whole_word:
            shares = _piece_weights(rows_BS, ordinary_BS, vocabulary)
        else:
            available_B = ordinary_BS.sum(axis=1)
            shares = np.repeat(1.0 / np.maximum(available_B, 1), available_B)
        weights_V += np.bincount(rows_BS[ordinary_BS], shares, vocabulary.size)
    tokens = int(counts_V.sum())
    if not tokens:
        raise DataError("no ordinary token in the training rows; build the store of another text")
    kinds = len(vocabulary.ordinary_ids)
    effective_V = tokens * weights_V / weights_V.sum() + SMOOTHING * vocabulary.is_ordinary
    return Law(effective_V / (tokens + SMOOTHING * kinds), counts_V > 0, tokens)


def losses(
    law: Law, vocabulary: Vocabulary, shown: NDArray[np.integer], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return the best blind model's loss in nats of each prediction; like ``labels`` in shape.

    ``shown``: the symbol at the position, [MASK] or an ordinary token.
    """
    kinds = len(vocabulary.ordinary_ids)
    by_chance, own = RANDOM_SHARE / kinds, KEPT_SHARE
    at_token = (by_chance + own * (shown == labels)) / (by_chance + own * law.p[shown])
    factor = np.where(shown == vocabulary.mask_id, 1.0, at_token)
    return np.asarray(-np.log(law.p[labels]) - np.log(factor))


def _piece_weights(
    rows_BS: NDArray[np.integer], ordinary_BS: NDArray[np.bool_], vocabulary: Vocabulary
) -> NDArray[np.float64]:
    """Return the weight of every ordinary token, rows one after the other, with whole words.

    Words as bert.data.masking has them: a piece behind a special token begins one.
    """
    masked = masked_per_row(rows_BS.shape[1])
    begins_BS = ordinary_BS & ~vocabulary.is_continuation[rows_BS]
    begins_BS[:, 0] |= ordinary_BS[:, 0]
    begins_BS[:, 1:] |= ordinary_BS[:, 1:] & ~ordinary_BS[:, :-1]
    begins = begins_BS[ordinary_BS]
    if not len(begins):
        return np.zeros(0)
    row = np.repeat(np.arange(len(rows_BS)), ordinary_BS.sum(axis=1))
    word, first = np.cumsum(begins) - 1, np.flatnonzero(begins)
    pieces = np.bincount(word)
    profiles = np.zeros((len(rows_BS), int(pieces.max())), dtype=np.int64)
    np.add.at(profiles, (row[first], pieces - 1), 1)
    kinds, kind = np.unique(profiles, axis=0, return_inverse=True)
    piece = np.arange(len(word)) - first[word]
    shares = np.zeros(len(word))
    size = max(1, ENTRIES // masked**2)
    for begin in range(0, len(kinds), size):
        own = kind.reshape(-1)[row] - begin
        here = (own >= 0) & (own < size) & (piece < masked)
        table = hidden_shares(kinds[begin : begin + size], masked)
        shares[here] = table[own[here], pieces[word[here]] - 1, piece[here]]
    return shares / masked


def hidden_shares(profiles: NDArray[np.int64], masked: int) -> NDArray[np.float64]:
    """Return (U, L, M): [u, l - 1, j] is the probability that piece j of a word of l pieces is
    hidden in row u.

    ``profiles``: (U, L), words of 1 .. L pieces in a row, of which ``masked`` = M pieces are
    hidden. What is said of words and pieces that there are not means nothing.
    """
    rows, longest = profiles.shape
    words_U = profiles.sum(axis=1)
    choose = _binomials(int(words_U.max()), masked)
    some_U, size_K = np.maximum(words_U, 1), np.arange(masked)
    ways_UK = some_U[:, None] * choose[some_U - 1]
    before_UK = np.where(size_K < some_U[:, None], 1 / np.maximum(ways_UK, 1), 0.0)
    # sets[u, k, s]: sets of k words with s pieces in all.
    sets = np.zeros((rows, masked, masked))
    sets[:, 0, 0] = 1.0
    for length in range(1, min(longest, masked - 1) + 1):
        count_U, old = profiles[:, length - 1], sets
        sets = old.copy()
        for k in range(1, min(int(count_U.max()), (masked - 1) // length) + 1):
            ways = choose[count_U, k][:, None, None]
            sets[:, k:, k * length :] += ways * old[:, : masked - k, : masked - k * length]
    found = np.zeros((rows, longest, masked))
    for size in range(1, longest + 1):
        if profiles[:, size - 1].any():
            others = sets.copy()  # without one word of this size: sets divided by 1 + x y^size
            for k in range(1, masked):
                others[:, k, size:] -= others[:, k - 1, : max(0, masked - size)]
            below = np.cumsum(np.einsum("uk,uks->us", before_UK, others), axis=1)
            pieces = min(size, masked)
            found[:, size - 1, :pieces] = below[:, ::-1][:, :pieces]
    return found


def _binomials(most: int, below: int) -> NDArray[np.float64]:
    """Return n choose k, (most + 1, below)."""
    table = np.zeros((most + 1, below))
    table[:, 0] = 1.0
    for n in range(1, most + 1):
        table[n, 1:] = table[n - 1, 1:] + table[n - 1, :-1]
    return table
