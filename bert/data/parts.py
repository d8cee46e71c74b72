"""The two parts of a store while they are filled: training rows, validation rows, what is dropped.

With a validation text of its own, a training document that stands in it too is dropped from the
training part and counted. Refusing the text instead would end a build of hours at one document that
its owner cannot easily take out of an archive; dropping it from the validation part would make the
validation loss depend on the training text.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bert.data.held_out import HeldOut
from bert.data.packing import Documents, Packer
from bert.data.vocab import Vocabulary

PARTS = ("train", "valid")


class Parts:
    """Growing files ``{part}-{key}*.npy`` in `folder`, begun, or taken up again from `state`.

    With `apart_from_valid` training documents equal to a validation document that came before
    (see bert.data.held_out) are dropped. Raises OSError for files that cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        vocabulary: Vocabulary,
        *,
        length: int,
        documents: Documents,
        apart_from_valid: bool = False,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._key = key
        self._files = contextlib.ExitStack()
        self._packers: dict[str, Packer] = {}
        self._held: HeldOut | None = None
        self._dropped = {"documents": 0, "tokens": 0, "words": 0}
        with contextlib.ExitStack() as opened:
            for part in PARTS:
                packer = Packer(
                    folder / f"{part}-{key}",
                    vocabulary,
                    length,
                    documents,
                    state["parts"][part] if state else None,
                )
                opened.callback(packer.close)
                self._packers[part] = packer
            if apart_from_valid:
                self._held = HeldOut(_digests(folder, key), state["held_out"] if state else None)
                opened.callback(self._held.close)
                self._dropped = dict(state["dropped"]) if state else self._dropped
            self._files = opened.pop_all()

    @staticmethod
    def hold(
        folder: Path, key: str, vocabulary: Vocabulary, length: int, state: dict[str, Any]
    ) -> bool:
        """Tell whether the files of `state`, a checkpoint, are there and long enough."""
        return all(
            Packer.holds(folder / f"{part}-{key}", vocabulary, length, state["parts"][part])
            for part in PARTS
        ) and ("held_out" not in state or HeldOut.holds(_digests(folder, key), state["held_out"]))

    def add(self, ids: NDArray[np.unsignedinteger], words: int, *, valid: bool) -> None:
        """Add a whole document, its tokens and its number of words, to one of the parts."""
        if self._held is not None:
            if valid:
                self._held.add(ids)
            elif ids in self._held:
                for name, count in (("documents", 1), ("tokens", len(ids)), ("words", words)):
                    self._dropped[name] += count
                return
        self._packers["valid" if valid else "train"].add(ids, words)

    def checkpoint(self) -> dict[str, Any]:
        """Bring everything to the disk; return the JSON-able state to go on from."""
        state: dict[str, Any] = {
            "parts": {part: self._packers[part].checkpoint() for part in PARTS}
        }
        if self._held is not None:
            state |= {"held_out": self._held.checkpoint(), "dropped": dict(self._dropped)}
        return state

    def finish(self) -> dict[str, Any]:
        """Write what is left; return the manifest entries "parts" and, where asked, "dropped"."""
        entries: dict[str, Any] = {
            "parts": {
                part: {"file": f"{part}-{self._key}.npy", **self._packers[part].finish()}
                for part in PARTS
            }
        }
        return entries if self._held is None else entries | {"dropped": self._dropped}

    def close(self) -> None:
        """Close the files, finished or not."""
        self._files.close()


def _digests(folder: Path, key: str) -> Path:
    return folder / f"valid-{key}-digests.npy"
