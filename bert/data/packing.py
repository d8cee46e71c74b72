"""From the tokens of documents to full rows, in a file that grows and can be taken up again.

Every row is [CLS], length - 2 tokens, [SEP]; none has padding, so there is no attention mask and no
position is computed in vain. There are two ways to fill them, and neither is better in all:

across: the stream of all documents, [SEP] between them, is cut into pieces. Nothing is lost but
  the last, incomplete row of the part; a row may span documents, which RoBERTa ("full sentences",
  Liu et al. 2019) found about as good as rows within one document.
apart: a row holds one document only. A document's last row ends with the document, so it repeats
  some tokens of the row before; a document shorter than a row is left out. Both are counted.

A row with fewer ordinary tokens than a masked batch hides (all [UNK]: letters that the vocabulary
lacks) could teach nothing and is dropped, which is counted too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from bert.data.masking import maskable
from bert.data.vocab import Vocabulary

Documents = Literal["across", "apart"]
DOCUMENTS: tuple[Documents, ...] = ("across", "apart")
BATCH_TOKENS = 1 << 20  # packed and written at once
_HEADER_BYTES = 128
UNMASKABLE = "unmaskable"
"""Rows that were dropped; absent from a manifest without any, as from those of earlier versions."""
_COUNTS = ("documents", "tokens", "words", "rows", "repeated", "left_out", UNMASKABLE)


class GrowingArray:
    """A ``.npy`` file that grows along its first axis; `length` entries of it are on disk.

    With `keep` an existing file is taken up again and cut to that many entries (what lies behind
    was written after the last checkpoint); without, a new file replaces it, and memory maps of the
    old one stay valid.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], width: int | None = None, *, keep: int | None = None
    ) -> None:
        self._dtype, self._width = dtype.newbyteorder("<"), width
        self._digest = hashlib.sha256()
        self.length = keep or 0
        if keep is None:
            path.unlink(missing_ok=True)
        self._file = path.open("r+b" if keep is not None else "x+b")
        self._write_header()
        entry = self._dtype.itemsize * (width or 1)
        start, left = self._file.tell(), self.length * entry
        while left and (data := self._file.read(min(left, 1 << 20))):
            self._digest.update(data)
            left -= len(data)
        self._file.seek(start + self.length * entry)
        self._file.truncate()

    @staticmethod
    def holds(path: Path, entry_bytes: int, length: int) -> bool:
        """Tell whether the file at `path` is long enough for `length` entries."""
        return path.is_file() and path.stat().st_size >= _HEADER_BYTES + length * entry_bytes

    def append(self, entries: NDArray[Any]) -> None:
        """Write entries, (n,) or (n, width)."""
        data = np.ascontiguousarray(entries, dtype=self._dtype).tobytes()
        self._file.write(data)
        self._digest.update(data)
        self.length += len(entries)

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self) -> str:
        """Write the final header, close the file, return the sha256 of the entries' bytes."""
        self._write_header()
        self.sync()
        os.fchmod(self._file.fileno(), 0o644)
        self._file.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file, finished or not; entries not yet synced may be lost."""
        with contextlib.suppress(OSError):  # of a full disk, which was told already
            self._file.close()

    def _write_header(self) -> None:
        # Always the same length: numpy leaves room for the first axis to grow.
        shape = (self.length,) if self._width is None else (self.length, self._width)
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": shape,
        }
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(cast(Any, self._file), header)
        assert self._file.tell() == _HEADER_BYTES


class Packer:
    """Packs the documents of one part (train or valid) into rows; `state` takes one up again.

    Files: ``NAME.npy`` (rows, length), and for documents apart ``NAME-starts.npy``, int64, the
    first row of every document that has rows.
    """

    def __init__(
        self,
        stem: Path,
        vocabulary: Vocabulary,
        length: int,
        documents: Documents,
        state: dict[str, Any] | None = None,
    ) -> None:
        self._vocabulary, self._length, self._apart = vocabulary, length, documents == "apart"
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._pending: list[NDArray[np.unsignedinteger]] = []
        starts = None
        if state is not None:
            self._counts |= state["counts"]
            self._pending = [np.array(state["pending"], dtype=vocabulary.dtype)]
            starts = state["starts"]
        self._pending_tokens = sum(map(len, self._pending))
        self._separator = np.array([vocabulary.sep_id], dtype=vocabulary.dtype)
        self._new_starts: list[int] = []  # rows before a document among the pending ones
        keep = None if state is None else self._counts["rows"]
        self._rows = GrowingArray(
            stem.with_name(f"{stem.name}.npy"), vocabulary.dtype, length, keep=keep
        )
        self._starts = None
        if self._apart:
            self._starts = GrowingArray(
                stem.with_name(f"{stem.name}-starts.npy"), np.dtype(np.int64), keep=starts
            )

    @staticmethod
    def holds(stem: Path, vocabulary: Vocabulary, length: int, state: dict[str, Any]) -> bool:
        """Tell whether the files hold what `state`, from `checkpoint`, says."""
        rows, starts = stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}-starts.npy")
        entry = length * vocabulary.dtype.itemsize
        return GrowingArray.holds(rows, entry, state["counts"]["rows"]) and (
            state["starts"] is None or GrowingArray.holds(starts, 8, state["starts"])
        )

    def add(self, ids: NDArray[np.unsignedinteger], words: int) -> None:
        """Add one whole document, with its number of blank-separated words for the count."""
        if not len(ids):
            return
        width = self._length - 2
        counts = self._counts
        if self._apart:
            if len(ids) < width:
                counts["left_out"] += len(ids)
            else:
                self._new_starts.append(self._pending_tokens // width)
                full, rest = divmod(len(ids), width)
                self._keep(ids[: full * width])
                if rest:
                    self._keep(ids[-width:])
                    counts["repeated"] += width - rest
        else:
            if counts["documents"]:
                self._keep(self._separator)
            self._keep(ids)
        counts["documents"] += 1
        counts["tokens"] += len(ids)
        counts["words"] += words
        if self._pending_tokens >= BATCH_TOKENS:
            self._flush()

    def checkpoint(self) -> dict[str, Any]:
        """Bring everything to the disk; return the JSON-able state to go on from."""
        self._flush()
        self._rows.sync()
        pending = np.concatenate(self._pending).tolist() if self._pending else []
        starts = None
        if self._starts is not None:
            self._starts.sync()
            starts = self._starts.length
        return {"counts": dict(self._counts), "pending": pending, "starts": starts}

    def finish(self) -> dict[str, Any]:
        """Write the last full rows and the final headers; return the part's manifest entry."""
        self._flush()
        counts = {name: n for name, n in self._counts.items() if n or name != UNMASKABLE}
        entry = {**counts, "sha256": self._rows.finish()}
        if self._starts is not None:
            entry["starts_sha256"] = self._starts.finish()
        return entry

    def close(self) -> None:
        """Close the files, finished or not."""
        self._rows.close()
        if self._starts is not None:
            self._starts.close()

    def _keep(self, ids: NDArray[np.unsignedinteger]) -> None:
        self._pending.append(ids)
        self._pending_tokens += len(ids)

    def _flush(self) -> None:
        if not self._pending:
            return
        stream = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        self._pending = []
        width = self._length - 2
        full = len(stream) // width
        kept = np.ones(full, dtype=bool)
        step = -(-BATCH_TOKENS // width)  # rows at once: a long document is not copied whole
        for begin in range(0, full, step):
            tokens = stream[begin * width : min(begin + step, full) * width].reshape(-1, width)
            rows = np.empty((len(tokens), self._length), dtype=self._vocabulary.dtype)
            rows[:, 0] = self._vocabulary.cls_id
            rows[:, 1:-1] = tokens
            rows[:, -1] = self._vocabulary.sep_id
            kept[begin : begin + step] = here = maskable(rows, self._vocabulary)
            self._rows.append(rows if here.all() else rows[here])
        if self._starts is not None and self._new_starts:
            # A document all of whose rows are dropped begins where the next one does: no start.
            before = np.concatenate(([0], kept.cumsum()))[[*self._new_starts, full]]
            has_rows = np.diff(before) > 0
            self._starts.append(self._counts["rows"] + before[:-1][has_rows])
            self._new_starts = []
        self._counts["rows"] += int(kept.sum())
        self._counts[UNMASKABLE] += int(full - kept.sum())
        rest = stream[full * width :].copy()  # not a view, which would keep the whole stream
        self._pending, self._pending_tokens = [rest], len(rest)
