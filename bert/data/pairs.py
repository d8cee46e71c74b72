"""Next-sentence pairs out of full rows, drawn when a batch is made; stores have none.

BERT's second objective (Devlin et al. 2019): half of the rows are [CLS] A [SEP] B [SEP] with B the
text that follows A, half with B from another document, and the model tells which. The paper
reports masked language modelling only, so this is an option, off by default. Here A and B together
always fill the row, hence no padding; both begin behind a full stop, question or exclamation mark
where there is one (else at any token), so that a broken sentence does not give the answer away.

Shapes: B rows, S tokens per row, W = S - 2 tokens of text in a stored row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert.data.masking import maskable
from bert.data.text import DataError
from bert.data.vocab import Vocabulary

# Last word of the seed, so that pairs share no random stream with rows and masks.
_STREAM = int.from_bytes(b"pair", "big")
_ENDS = (".", "?", "!")
_ATTEMPTS = 1000


class PairBatch(NamedTuple):
    """tokens: (B, S); segments: (B, S), 0 for [CLS] A [SEP] and 1 for B [SEP]; follows: (B,).

    `follows` is 1 where B follows A in the text; all int64.
    """

    tokens: NDArray[np.int64]
    segments: NDArray[np.int64]
    follows: NDArray[np.int64]


def pairs_to_mask(
    rows: NDArray[np.unsignedinteger],
    starts: NDArray[np.int64] | None,
    chosen: NDArray[np.int64],
    vocabulary: Vocabulary,
    seed: int,
    step: int,
) -> PairBatch:
    """As `pair_rows`, but a pair without enough tokens to mask is drawn anew, of any row.

    Two rows that can be masked may make a pair that cannot: it takes a part of each.

    Raises:
        DataError: as `pair_rows`; or no pair of many that were drawn can be masked.
    """
    pairs = pair_rows(rows, starts, chosen, vocabulary, seed, step)
    for attempt in range(1, _ATTEMPTS):
        poor = np.flatnonzero(~maskable(pairs.tokens, vocabulary))
        if not len(poor):
            return pairs
        rng = np.random.default_rng(np.random.SeedSequence([seed, step, _STREAM, attempt]))
        others = rng.integers(len(rows), size=len(poor))
        again = pair_rows(rows, starts, others, vocabulary, int(rng.integers(2**63)), step)
        for old, new in zip(pairs, again, strict=True):
            old[poor] = new
    raise DataError(
        "no pair has enough tokens to mask; the vocabulary does not know this text: build the "
        "store with another"
    )


def pair_rows(
    rows: NDArray[np.unsignedinteger],
    starts: NDArray[np.int64] | None,
    chosen: NDArray[np.int64],
    vocabulary: Vocabulary,
    seed: int,
    step: int,
) -> PairBatch:
    """Make a pair of each of the `chosen` (B,) rows of a part of a store, `rows` (N, S).

    `starts` are the first rows of the documents (see `bert.data.store`). A comes from the row
    itself, as does B where it follows; else B is from a row drawn uniformly from all other
    documents. A pure function of its arguments.

    Raises:
        DataError: rows that go across documents, rows too short for a pair, or one document only.
    """
    if starts is None:
        raise DataError("next-sentence pairs need a store with documents apart")
    if len(starts) < 2:
        raise DataError("next-sentence pairs need rows of two documents at least")
    width = rows.shape[1] - 2
    if width < 3:
        raise DataError(f"rows of {rows.shape[1]} tokens are too short for a pair, 5 are needed")
    rng = np.random.default_rng(np.random.SeedSequence([seed, step, _STREAM]))
    follows = rng.integers(2, size=len(chosen))
    wanted = rng.random((len(chosen), 2))  # where to cut, and where B of another document begins
    document = np.searchsorted(starts, chosen, side="right") - 1
    first = starts[document]
    behind = np.append(starts, len(rows))[document + 1]
    other = rng.integers(len(rows) - (behind - first))
    other += np.where(other >= first, behind - first, 0)  # skip the row's own document

    own = rows[chosen][:, 1:-1].astype(np.int64)
    foreign = rows[other][:, 1:-1].astype(np.int64)
    tokens = np.empty((len(chosen), rows.shape[1]), dtype=np.int64)
    segments = np.zeros_like(tokens)
    ends = np.array([token in _ENDS for token in vocabulary.tokens])
    for index in range(len(chosen)):
        text, content = own[index], width - 1
        cut = _behind_a_sentence(ends[text], 1, content - 1, wanted[index, 0])
        second = text[cut:content]
        if not follows[index]:
            begin = _behind_a_sentence(ends[foreign[index]], 0, cut + 1, wanted[index, 1])
            second = foreign[index][begin : begin + content - cut]
        tokens[index] = np.concatenate(
            ([vocabulary.cls_id], text[:cut], [vocabulary.sep_id], second, [vocabulary.sep_id])
        )
        segments[index, cut + 2 :] = 1
    return PairBatch(tokens, segments, follows)


def _behind_a_sentence(ends: NDArray[np.bool_], low: int, high: int, share: float) -> int:
    """Return the place in low..high behind a sentence's end that is nearest to a drawn one."""
    drawn = low + int(share * (high - low + 1))
    places = np.flatnonzero(ends[:high]) + 1
    places = places[places >= low]
    return int(places[abs(places - drawn).argmin()]) if len(places) else drawn
