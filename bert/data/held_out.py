"""Documents of a validation text, known again where they stand in the training text too.

Two documents are the same here when their tokens are: text that differs in what the tokenizer drops
(case, accents, white space, line breaks) is the same text to the model, so it would be trained on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bert.data.packing import GrowingArray

DIGEST_BYTES = 16  # of a sha256; two of n documents agree by chance with less than n^2 / 2^129


class HeldOut:
    """Digests of the validation documents: in memory to compare, in a file to go on from.

    Memory: less than 200 bytes a validation document, whatever its length; nothing for the others.
    With `keep` the file at `path` is taken up again, cut to that many digests.
    """

    def __init__(self, path: Path, keep: int | None = None) -> None:
        self._file = GrowingArray(path, np.dtype(np.uint8), DIGEST_BYTES, keep=keep)
        self._file.sync()
        rows = np.load(path, allow_pickle=False) if keep else []
        self._known: set[bytes] = {row.tobytes() for row in rows}
        self._new: list[bytes] = []

    @staticmethod
    def holds(path: Path, count: int) -> bool:
        """Tell whether the file at `path` has `count` digests to go on from."""
        return GrowingArray.holds(path, DIGEST_BYTES, count)

    def add(self, ids: NDArray[np.unsignedinteger]) -> None:
        """Note a validation document by its tokens."""
        digest = _digest(ids)
        if len(ids) and digest not in self._known:
            self._known.add(digest)
            self._new.append(digest)

    def __contains__(self, ids: NDArray[np.unsignedinteger]) -> bool:
        """Tell whether a document's tokens are those of a validation document."""
        return bool(self._known) and _digest(ids) in self._known

    def checkpoint(self) -> int:
        """Bring the digests to the disk; return how many there are."""
        if self._new:
            rows = np.frombuffer(b"".join(self._new), np.uint8).reshape(-1, DIGEST_BYTES)
            self._file.append(rows)
            self._new = []
        self._file.sync()
        return self._file.length

    def close(self) -> None:
        """Close the file; digests since the last checkpoint are lost with it."""
        self._file.close()


def _digest(ids: NDArray[np.unsignedinteger]) -> bytes:
    return hashlib.sha256(cast(Any, np.ascontiguousarray(ids))).digest()[:DIGEST_BYTES]
