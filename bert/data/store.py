"""Token rows on disk, read through memory maps.

A store is a folder with the rows of both parts (see bert.data.packing), the vocabulary, and a
manifest that names them. The manifest is written last and the arrays' names depend on the inputs,
so a failure at any moment leaves the store before, and an unfinished one can be taken up again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bert.data.building import Build, Progress, Role, difference, tidy, unfinished
from bert.data.finding import PathLike
from bert.data.manifest import FORMAT as FORMAT
from bert.data.manifest import MANIFEST_NAME as MANIFEST_NAME
from bert.data.manifest import VOCABULARY_NAME as VOCABULARY_NAME
from bert.data.masking import masked_per_row
from bert.data.packing import DOCUMENTS, UNMASKABLE, Documents
from bert.data.parts import PARTS
from bert.data.text import DataError, Hashing, Source, TextFiles
from bert.data.too_little import require_rows
from bert.data.vocab import Vocabulary
from swe.base.config import require
from swe.base.files import write_json
from swe.base.interrupt import Interrupted

_HEADER_KEYS = (
    "format",
    "length",
    "documents",
    "per_mille",
    "vocabulary_sha256",
    "vocabulary_size",
    "text",
)
_LEFT_ALONE = "it is left alone unless told to replace it"
_ENTRY_KEYS = {"file", "rows", "documents", "tokens", "words", "sha256"}


@dataclass(frozen=True)
class TokenStore:
    """A finished store, open for reading.

    Attributes:
        folder: where it lies.
        train, valid: (rows, length) memory maps, read-only, uint16 or uint32.
        train_starts, valid_starts: first row of every document that has rows, int64; None where
            rows go across documents.
        manifest: what it was made from: format, length, documents (across or apart), per_mille,
            vocabulary_sha256 and vocabulary_size (and cased, where it is), text and valid_text
            (names, sizes and sha256 of the files), documents_sha256 (a chain over all documents),
            and per part documents, tokens and blank-separated words (of the documents, before
            packing), rows, tokens that are repeated or left out (see bert.data.packing), file,
            sha256 of the rows' bytes. With a valid_text also repeats_of_valid ("dropped": see
            bert.data.parts) and dropped, the documents, tokens and words of the text that stand in
            the validation text too. Where there are any: per part unmaskable (see
            bert.data.packing), and passed_over, files that were not read, by reason (see
            bert.data.finding).
    """

    folder: Path
    train: NDArray[np.unsignedinteger]
    valid: NDArray[np.unsignedinteger]
    manifest: dict[str, Any]
    train_starts: NDArray[np.int64] | None = None
    valid_starts: NDArray[np.int64] | None = None

    @property
    def length(self) -> int:
        """Tokens per row, [CLS] and [SEP] included."""
        return int(self.manifest["length"])

    @property
    def left_out(self) -> str:
        """Say which rows were dropped because nothing in them can be masked; "" where none was."""
        dropped = [
            f"{entry[UNMASKABLE]} of {part}"
            for part, entry in self.manifest["parts"].items()
            if entry.get(UNMASKABLE)
        ]
        least = masked_per_row(self.length)
        return (
            f"rows left out, for fewer than {least} of their tokens are words of the vocabulary: "
            f"{' and '.join(dropped)}"
            if dropped
            else ""
        )

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
        starts = [_open_starts(folder, part, manifest, verify) for part in PARTS]
        return cls(folder, train, valid, manifest, *starts)


def build_store(
    text: Source | PathLike | Iterable[PathLike],
    vocabulary: Vocabulary,
    folder: PathLike,
    *,
    length: int,
    documents: Documents = "across",
    per_mille: int = 20,
    valid: Source | PathLike | Iterable[PathLike] | None = None,
    jobs: int = 1,
    replace: bool = True,
    hashing: Hashing | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    peaks: dict[int, int] | None = None,
) -> TokenStore:
    """Encode the documents of `text` into rows of `length` tokens, or reuse a finished store.

    Documents go to the validation part by `bert.data.text.is_validation(document, per_mille)`; with
    `valid`, its documents are the validation part and all of `text` is for training, but for those
    that stand in both: they are dropped from it and counted (see bert.data.parts). `documents` says
    whether rows go across documents or keep them apart (see bert.data.packing). The bytes of the
    store are a function of text, vocabulary and these options alone, not of `jobs` (tokenizing
    processes; with 1, this process) or of interruptions. Memory (some 100 MB a process, mostly the
    encoder's) does not grow with the text; the tokens of one document are held at a time, and with
    `valid` a digest of each of its documents.

    A store in `folder` made from the same inputs is returned as it is; an unfinished build of the
    same inputs goes on from its last checkpoint. Of other inputs, either is replaced once the new
    store is complete, or refused when `replace` is false.
    `hashing(bytes read, bytes in all)` is called while the files of the text, and then those of
    `valid`, are hashed, `progress` after each batch; `stop` is asked at both times. `peaks`
    receives the peak memory in bytes of every process that took part, by process id.

    Raises:
        DataError: a fault in the text (see `bert.data.text.documents`), too little text for one row
            in a part (unless `per_mille`, 0 or 1000, leaves the part out on purpose), other inputs
            without `replace`, another build in the folder, no space. An existing store stays as it
            was, and an unfinished one can go on.
        ValueError: `length` below 3, `per_mille` outside 0..1000, `documents` unknown.
        Interrupted: `stop` turned true; the same call goes on.
    """
    if length < 3:
        raise ValueError(f"length must be at least 3 ([CLS], a token, [SEP]), got {length}")
    if not 0 <= per_mille <= 1000:
        raise ValueError(f"per_mille must be within 0..1000, got {per_mille}")
    require(documents in DOCUMENTS, "documents", documents, f"one of {', '.join(DOCUMENTS)}")
    folder = Path(folder)
    source = _source(text)
    valid_source = None if valid is None else _source(valid)
    roles = [Role(source, per_mille)]
    if valid_source is not None:  # before the text, which is compared with it
        roles = [Role(valid_source, 1000), Role(source, 0)]

    def hashed(done: int, total: int) -> None:
        if hashing is not None:
            hashing(done, total)
        if stop():
            raise Interrupted(f"{folder}: stopped; the same command goes on")

    inputs: dict[str, Any] = {
        "format": FORMAT,
        "length": length,
        "documents": documents,
        "per_mille": roles[-1].per_mille,
        "vocabulary_sha256": vocabulary.sha256,
        "vocabulary_size": vocabulary.size,
        "text": source.describe(hashed),
        "valid_text": None if valid_source is None else valid_source.describe(hashed),
    }
    if vocabulary.cased:
        inputs["cased"] = True
    if valid_source is not None:  # tells these stores from older ones, which kept the repeats
        inputs["repeats_of_valid"] = "dropped"
    previous: TokenStore | None = None
    try:
        previous = TokenStore.open(folder)
    except DataError as error:  # missing, foreign or truncated: build it
        if not replace and (folder / MANIFEST_NAME).exists():
            raise DataError(f"{error}; {_LEFT_ALONE}") from None
    else:
        changed = difference(inputs, previous.manifest)
        if changed is None:
            return previous
        if not replace:
            raise DataError(f"{folder}: holds a store of another {changed}; {_LEFT_ALONE}")
    state = unfinished(folder)
    if state is not None and not replace and (changed := difference(inputs, state["inputs"])):
        raise DataError(
            f"{folder}: holds an unfinished build with another {changed}; {_LEFT_ALONE}"
        )
    build = Build(folder, roles, vocabulary, inputs, jobs=jobs, progress=progress, stop=stop)
    entries = build.run()
    if peaks is not None:
        peaks.update(build.peaks)
    try:
        require_rows(inputs, entries)
    except DataError:
        tidy(folder, set() if previous is None else _array_names(previous.manifest))
        raise
    if isinstance(source, TextFiles) and source.passed_over:
        entries["passed_over"] = source.passed_over
    vocabulary.save(folder / VOCABULARY_NAME)
    write_json(folder / MANIFEST_NAME, inputs | entries)
    tidy(folder, _array_names(inputs | entries))
    return TokenStore.open(folder, vocabulary)


def _source(text: Source | PathLike | Iterable[PathLike]) -> Source:
    if isinstance(text, str | os.PathLike):
        return TextFiles(text)
    return TextFiles(text) if isinstance(text, Iterable) else text


def _array_names(manifest: dict[str, Any]) -> set[str]:
    files = [entry["file"] for entry in manifest["parts"].values()]
    return {name for file in files for name in (file, _starts_name(file))}


def _starts_name(file: str) -> str:
    return f"{Path(file).stem}-starts.npy"


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
    dtype = np.dtype("<u2" if manifest["vocabulary_size"] <= 1 << 16 else "<u4")
    if not isinstance(entry["file"], str) or Path(entry["file"]).name != entry["file"]:
        raise DataError(f"{folder / MANIFEST_NAME}: names a file outside its folder")
    path = folder / entry["file"]
    rows = _open_array(path)
    shape = (int(entry["rows"]), int(manifest["length"]))
    if rows.shape != shape or rows.dtype != dtype:
        raise DataError(
            f"{path}: the array is {rows.dtype} {rows.shape}, the manifest says {dtype} {shape}"
        )
    if verify:
        _verify(path, rows, entry["sha256"])
    return rows


def _open_starts(
    folder: Path, part: str, manifest: dict[str, Any], verify: bool
) -> NDArray[np.int64] | None:
    entry = manifest["parts"][part]
    if manifest["documents"] != "apart":
        return None
    path = folder / _starts_name(entry["file"])
    starts = _open_array(path)
    if starts.ndim != 1 or starts.dtype != np.int64:
        raise DataError(f"{path}: the array is {starts.dtype} {starts.shape}, not starts of rows")
    if verify:
        _verify(path, starts, entry["starts_sha256"])
    return starts


def _verify(path: Path, array: NDArray[Any], sha256: str) -> None:
    if hashlib.sha256(cast(Any, array)).hexdigest() != sha256:
        raise DataError(f"{path}: the array differs from its checksum in the manifest")


def _open_array(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as stream:  # numpy cannot map an empty array, so look at it first
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f"format {version}")
            shape, _, _ = np.lib.format.read_array_header_1_0(stream)
        array = np.load(path, mmap_mode="r" if shape[0] else None, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: the store's array is missing") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: the store's array is damaged or truncated ({error})") from None
    return array
