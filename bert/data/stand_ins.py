"""Rows that cannot be masked, met in a store: another row stands in for each, always the same one.

A text in letters that the vocabulary lacks is all [UNK], and there is nothing to hide in it. New
stores leave such rows out (bert.data.packing); one that an earlier version built may hold them,
and a run on it must not end at the first. A stand-in is a whole row: every batch keeps its B rows
of M predictions, each of the same weight, whatever number of ranks shares it. Leaving the row out
of the mean instead would weigh the others by the batch they fell into.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bert.data.masking import RATE, maskable, masked_per_row
from bert.data.reading import DataError
from bert.data.vocab import Vocabulary

# Last word of the seed, so that stand-ins share no random stream with rows and masks.
_STREAM = int.from_bytes(b"stand", "big")
_DRAWS, _BLOCK = 64, 256


def rows_to_mask(
    part: NDArray[np.unsignedinteger],
    chosen: NDArray[np.integer],
    vocabulary: Vocabulary,
    rate: float = RATE,
) -> NDArray[np.unsignedinteger]:
    """Return the `chosen` (B,) rows of a part of a store (N, S), all maskable at `rate`; (B, S).

    A function of the part and the places alone.

    Raises:
        DataError: no row of the part can be masked.
    """
    rows = part[chosen]
    poor = np.flatnonzero(~maskable(rows, vocabulary, rate))
    if len(poor):
        rows = np.array(rows)
        for place in poor:
            rows[place] = part[_stand_in(part, int(chosen[place]), vocabulary, rate)]
    return rows


def require_maskable(
    part: NDArray[np.unsignedinteger], vocabulary: Vocabulary, name: str, rate: float = RATE
) -> None:
    """Refuse a part of which no row can be masked (DataError); one without rows passes."""
    if len(part) and _first(part, 0, vocabulary, rate) is None:
        raise DataError(
            f"{name}: no row has the {masked_per_row(part.shape[1], rate)} tokens to mask; the "
            "vocabulary does not know this text: train one on it (--vocab-size), or name another"
        )


def _stand_in(
    part: NDArray[np.unsignedinteger], place: int, vocabulary: Vocabulary, rate: float
) -> int:
    """Draw places by the row's own number until one is maskable; look through them all at last."""
    rng = np.random.default_rng(np.random.SeedSequence([place, _STREAM]))
    for _ in range(_DRAWS):
        drawn = rng.integers(len(part), size=_BLOCK)
        good = maskable(part[drawn], vocabulary, rate)
        if good.any():
            return int(drawn[good.argmax()])
    for begin in (place, 0):
        found = _first(part, begin, vocabulary, rate)
        if found is not None:
            return found
    raise DataError("no row of the store has tokens to mask; build it with another vocabulary")


def _first(
    part: NDArray[np.unsignedinteger], begin: int, vocabulary: Vocabulary, rate: float
) -> int | None:
    for start in range(begin, len(part), 1 << 12):
        good = maskable(part[start : start + (1 << 12)], vocabulary, rate)
        if good.any():
            return start + int(good.argmax())
    return None
