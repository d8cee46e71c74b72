"""Token rows on disk, read through memory maps; and the order in which training visits them.

Documents are packed into full rows: the stream of their tokens, [SEP] between documents, is cut
into pieces of ``length - 2``, and each row is [CLS] piece [SEP]. No row has padding, so there is no
attention mask and no position is computed in vain. What speaks against it: a row may span
documents; RoBERTa (its "full sentences") found this about as good as rows within one document.

A store is a folder with two arrays and a manifest that names them. The manifest is replaced last
and the arrays' names depend on the inputs, so a failure at any moment leaves the store before.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bert.text import DataError, PathLike, documents, fingerprint, is_validation
from bert.vocab import Vocabulary
from training.files import atomic_open

FORMAT = "share-then-unshare tokens 1"
MANIFEST_NAME = "store.json"
PARTS = ("train", "valid")
# Last word of the seed, so that the order of the rows shares no random stream with the masks.
_STREAM = int.from_bytes(b"rows", "big")
_BATCH_CHARACTERS = 1 << 20  # of text encoded at once: bounds the memory, feeds all cores
_BATCH_TOKENS = 1 << 20  # packed and written at once
_HEADER_KEYS = ("format", "length", "per_mille", "vocabulary_sha256", "vocabulary_size", "text")
_ENTRY_KEYS = {"file", "rows", "documents", "tokens", "sha256"}
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TokenStore:
    """A finished store, open for reading.

    Attributes:
        folder: where it lies.
        train, valid: (rows, length) memory maps, read-only, uint16 or uint32.
        manifest: what it was made from: format, length, per_mille, vocabulary_sha256 and
            vocabulary_size, text (fingerprint), and per part documents, tokens (of the documents,
            before packing), rows, file, sha256 of the rows' bytes.
    """

    folder: Path
    train: NDArray[np.unsignedinteger]
    valid: NDArray[np.unsignedinteger]
    manifest: dict[str, Any]

    @property
    def length(self) -> int:
        """Tokens per row, [CLS] and [SEP] included."""
        return int(self.manifest["length"])

    @classmethod
    def open(
        cls, folder: PathLike, vocabulary: Vocabulary | None = None, *, verify: bool = False
    ) -> TokenStore:
        """Open a finished store; `verify` also reads all of it to compare the checksums.

        Raises:
            DataError: there is no store, it is of another format, an array is missing, truncated,
                of the wrong type or (with `verify`) changed, or `vocabulary` is not the one it was
                built with.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        if vocabulary is not None and manifest["vocabulary_sha256"] != vocabulary.sha256:
            raise DataError(
                f"{folder}: the store was built with another vocabulary "
                f"({manifest['vocabulary_size']} tokens, given {vocabulary.size})"
            )
        train, valid = (_open_part(folder, part, manifest, verify) for part in PARTS)
        return cls(folder, train, valid, manifest)


def build_store(
    paths: PathLike | Iterable[PathLike],
    vocabulary: Vocabulary,
    folder: PathLike,
    *,
    length: int,
    per_mille: int = 20,
    progress: Progress | None = None,
) -> TokenStore:
    """Encode the documents of `paths` into rows of `length` tokens, or reuse a finished store.

    Documents go to the validation part by `bert.text.is_validation(document, per_mille)`. The
    incomplete last row of each part is dropped. Memory (some 100 MB, mostly the encoder's) does not
    grow with the text; a document is held whole.
    A store in `folder` made from the same inputs (format, length, per_mille, vocabulary, text) is
    returned as it is; any other is replaced once the new one is complete.
    `progress(documents, tokens)` is called after each batch.

    Raises:
        DataError: a fault in the text (see `bert.text.documents`), or too little text for one row
            in a part (unless `per_mille`, 0 or 1000, leaves the part out on purpose). An existing
            store stays as it was.
        ValueError: `length` below 3 or `per_mille` outside 0..1000.
    """
    if length < 3:
        raise ValueError(f"length must be at least 3 ([CLS], a token, [SEP]), got {length}")
    sources: list[PathLike] = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    folder = Path(folder)
    inputs = {
        "format": FORMAT,
        "length": length,
        "per_mille": per_mille,
        "vocabulary_sha256": vocabulary.sha256,
        "vocabulary_size": vocabulary.size,
        "text": fingerprint(sources),
    }
    with contextlib.suppress(DataError):  # missing, foreign or truncated: build it
        store = TokenStore.open(folder, vocabulary)
        if all(store.manifest[key] == value for key, value in inputs.items()):
            return store
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    names = {part: f"{part}-{key}.npy" for part in PARTS}
    with contextlib.ExitStack() as files:
        packers = {
            part: _Packer(
                files.enter_context(atomic_open(folder / names[part])), vocabulary, length
            )
            for part in PARTS
        }
        _pack_documents(sources, vocabulary, per_mille, packers, progress)
        described = {
            part: {"file": names[part], **packer.finish()} for part, packer in packers.items()
        }
        wanted = {"train": per_mille < 1000, "valid": per_mille > 0}
        for part, entry in described.items():
            if wanted[part] and not entry["rows"]:
                raise DataError(
                    f"{sources[0]}: too little text for one {part} row of {length} tokens "
                    f"({entry['documents']} documents, {entry['tokens']} tokens)"
                )
    with atomic_open(folder / MANIFEST_NAME) as out:
        out.write(json.dumps(inputs | {"parts": described}, indent=1).encode() + b"\n")
    for part in PARTS:  # the arrays of the store before; its open memory maps stay valid
        for stale in folder.glob(f"{part}-*.npy"):
            if stale.name != names[part]:
                stale.unlink(missing_ok=True)
    return TokenStore.open(folder, vocabulary)


def row_order(seed: int, step: int, batch: int, rows: int) -> NDArray[np.int64]:
    """Return the (batch,) row indices of the batch at `step`, counted from 0.

    Training reads an endless sequence, one fresh permutation of all rows after another, `batch` of
    it per step; so every row comes once per epoch, also where a batch straddles two epochs. A pure
    function of its arguments: a resumed run asks for its step and gets the same rows. One
    permutation is drawn per epoch and two are kept, so a step costs O(batch) after the first.

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
        piece = _permutation(seed, epoch, rows)[start : start + stop - place]
        pieces.append(piece)
        place += len(piece)
    return np.concatenate(pieces)  # a copy: the cache stays the cache's


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, _STREAM]))
    return rng.permutation(rows)


class _Packer:
    """Packs token arrays into rows of one ``.npy`` file whose number of rows is not yet known."""

    def __init__(self, out: BinaryIO, vocabulary: Vocabulary, length: int) -> None:
        self._out, self._vocabulary, self._length = out, vocabulary, length
        self._pending: list[NDArray[np.unsignedinteger]] = []
        self._pending_tokens = self._documents = self._tokens = self._rows = 0
        self._digest = hashlib.sha256()
        self._separator = np.array([vocabulary.sep_id], dtype=vocabulary.dtype)
        self._write_header()

    def add(self, ids: NDArray[np.unsignedinteger]) -> None:
        if not len(ids):
            return
        pieces = [self._separator, ids] if self._documents else [ids]
        self._pending += pieces
        self._pending_tokens += sum(map(len, pieces))
        self._documents += 1
        self._tokens += len(ids)
        if self._pending_tokens >= _BATCH_TOKENS:
            self._flush()

    def finish(self) -> dict[str, Any]:
        """Write the last full rows and the final header; return the part's manifest entry."""
        self._flush()
        self._out.seek(0)
        self._write_header()  # same length: numpy leaves room for the first axis to grow
        return {
            "documents": self._documents,
            "tokens": self._tokens,
            "rows": self._rows,
            "sha256": self._digest.hexdigest(),
        }

    def _flush(self) -> None:
        if not self._pending:
            return
        stream = np.concatenate(self._pending)
        width = self._length - 2
        full = len(stream) // width
        rows = np.empty((full, self._length), dtype=self._vocabulary.dtype)
        rows[:, 0] = self._vocabulary.cls_id
        rows[:, 1:-1] = stream[: full * width].reshape(full, width)
        rows[:, -1] = self._vocabulary.sep_id
        data = rows.astype(rows.dtype.newbyteorder("<"), copy=False).tobytes()
        self._out.write(data)
        self._digest.update(data)
        self._rows += full
        rest = stream[full * width :].copy()  # not a view, which would keep the whole stream
        self._pending, self._pending_tokens = [rest], len(rest)

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._vocabulary.dtype.newbyteorder("<")),
            "fortran_order": False,
            "shape": (self._rows, self._length),
        }
        np.lib.format.write_array_header_1_0(self._out, header)


def _pack_documents(
    sources: list[PathLike],
    vocabulary: Vocabulary,
    per_mille: int,
    packers: dict[str, _Packer],
    progress: Progress | None,
) -> None:
    batch: list[str] = []
    characters = done = tokens = 0

    def encode() -> None:
        nonlocal batch, characters, done, tokens
        for document, ids in zip(batch, vocabulary.encode_batch(batch), strict=True):
            packers["valid" if is_validation(document, per_mille) else "train"].add(ids)
            tokens += len(ids)
        done += len(batch)
        batch, characters = [], 0
        if progress is not None:
            progress(done, tokens)

    for document in documents(sources):
        batch.append(document)
        characters += len(document)
        if characters >= _BATCH_CHARACTERS:
            encode()
    if batch:
        encode()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_NAME
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no finished token store (no {path.name})") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the manifest cannot be read ({error})") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not a token store of this version ({FORMAT!r})")
    entries = [manifest.get("parts", {}).get(part, {}) for part in PARTS]
    complete = all(key in manifest for key in _HEADER_KEYS)
    if not complete or not all(set(entry) >= _ENTRY_KEYS for entry in entries):
        raise DataError(f"{path}: the manifest is incomplete")
    return manifest


def _open_part(
    folder: Path, part: str, manifest: dict[str, Any], verify: bool
) -> NDArray[np.unsignedinteger]:
    entry = manifest["parts"][part]
    if not isinstance(entry["file"], str) or Path(entry["file"]).name != entry["file"]:
        raise DataError(f"{folder / MANIFEST_NAME}: names a file outside its folder")
    path = folder / entry["file"]
    shape = (int(entry["rows"]), int(manifest["length"]))
    dtype = np.dtype("<u2" if manifest["vocabulary_size"] <= 1 << 16 else "<u4")
    try:
        # numpy cannot map an empty array, hence the ordinary load for a part without rows.
        rows = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: the store's array is missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: the store's array is damaged or truncated ({error})") from None
    if rows.shape != shape or rows.dtype != dtype:
        raise DataError(
            f"{path}: the array is {rows.dtype} {rows.shape}, the manifest says {dtype} {shape}"
        )
    if verify and hashlib.sha256(rows).hexdigest() != entry["sha256"]:
        raise DataError(f"{path}: the array differs from its checksum in the manifest")
    return rows
