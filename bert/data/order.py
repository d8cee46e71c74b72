"""The order in which training visits the rows of a store; any step is found by itself.

Up to `LARGEST_TABLE` rows an epoch's order is a table, drawn once (4 million rows: 32 MB and some
50 ms). Above it the order is computed, not stored: a Feistel network is a bijection of 2h-bit
numbers whatever its round function is, and walking its cycle until the value is below the number
of rows makes it one of the rows (Black and Rogaway 2002, "Ciphers with arbitrary finite domains").
A place then costs a few dozen operations and no memory, whatever the size of the store. What speaks
against it for small stores: a table is a uniform draw from all orders, the network only looks like
one; and results already recorded were made with the table.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

LARGEST_TABLE = 1 << 22
_ROUNDS = 8
# Last word of the seed, so that the order of the rows shares no random stream with the masks.
_STREAM = int.from_bytes(b"rows", "big")


def row_order(seed: int, step: int, batch: int, rows: int) -> NDArray[np.int64]:
    """Return the (batch,) row indices of the batch at `step`, counted from 0.

    Training reads an endless sequence, one fresh permutation of all rows after another, `batch` of
    it per step; so every row comes once per epoch, also where a batch straddles two epochs. A pure
    function of its arguments: a resumed run asks for its step and gets the same rows, at the cost
    of O(batch) (and at most two tables of `LARGEST_TABLE` rows).

    Raises:
        ValueError: `rows` or `batch` below 1, or a negative seed or step.
    """
    if rows < 1 or batch < 1 or step < 0 or seed < 0:
        raise ValueError(
            f"need rows >= 1, batch >= 1, step >= 0, seed >= 0, "
            f"got rows={rows}, batch={batch}, step={step}, seed={seed}"
        )
    place, stop = step * batch, (step + 1) * batch
    pieces = []
    while place < stop:
        epoch, start = divmod(place, rows)
        end = min(start + stop - place, rows)
        if rows <= LARGEST_TABLE:
            piece = _table(seed, epoch, rows)[start:end]
        else:
            piece = keyed_permutation(np.arange(start, end), rows, seed, epoch)
        pieces.append(piece)
        place += len(piece)
    return np.concatenate(pieces)  # a copy: the cache stays the cache's


def keyed_permutation(
    places: NDArray[np.int64], count: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Return the images of `places` (n,) under a permutation of 0..count-1 keyed by the rest.

    The network works on the smallest even number of bits that holds `count`, hence on less than
    4 `count` values, and a walk takes less than four steps on average.
    """
    half = max(1, -(-(count - 1).bit_length() // 2))
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    keys = np.random.SeedSequence([seed, epoch, _STREAM]).generate_state(_ROUNDS, np.uint64)
    values = places.astype(np.uint64)
    walking = np.arange(len(values))
    while len(walking):
        value = values[walking]
        left, right = value >> shift, value & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        values[walking] = (left << shift) | right
        walking = walking[values[walking] >= count]
    return values.astype(np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words (Stafford's variant 13 of MurmurHash3's finaliser)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@functools.lru_cache(maxsize=2)
def _table(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, _STREAM]))
    return rng.permutation(rows)
