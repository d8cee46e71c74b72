"""Text in: a stream of documents out of plain, compressed or JSON-lines files, never whole files.

Three things are decided here, because every later step relies on them: what a document is
(blank-line separated, or one JSON line), which documents are validation (a hash of their text), and
which files a data set was made from (a fingerprint of names and contents).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bert.data.reading import ERRORS, Errors, Piece, file_pieces
from bert.data.reading import DataError as DataError  # the name that other modules import from here
from swe.base.config import require

HASHED = 1 << 20  # bytes hashed between two reports: a millisecond's work
SUFFIXES = (".txt", ".jsonl", ".gz", ".xz", ".zst")
PathLike = str | os.PathLike[str]
Hashing = Callable[[int, int], None]
"""Called as hashing(bytes read, bytes in all); what it raises ends the reading."""


class Source(Protocol):
    """Where documents come from: files, or a data set of the Hugging Face hub."""

    def describe(self, hashing: Hashing | None = None) -> dict[str, Any]:
        """Return JSON-able data that identifies the text; equal data mean equal documents."""

    @property
    def total(self) -> int:
        """The amount that `Piece.read` counts up to; 0 when it is not known."""

    def pieces(self, start: tuple[int, ...] | None = None) -> Iterator[Piece]:
        """Stream the documents in pieces, from a place that an earlier piece named."""


class TextFiles:
    """Text files and folders as a `Source`.

    Raises DataError when a path is missing or unknown (as `source_files`), ConfigError for an
    unknown way with encoding errors.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        errors: Errors = "strict",
        field: str = "text",
    ) -> None:
        require(errors in ERRORS, "errors", errors, f"one of {', '.join(ERRORS)}")
        self._named = _named_files(paths)
        self._errors, self._field = errors, field
        self._described: dict[str, Any] | None = None
        self._stamps: list[tuple[int, int]] = []

    @property
    def total(self) -> int:
        """Bytes of all files as they lie on disk."""
        return sum(file.stat().st_size for _, file in self._named)

    def describe(self, hashing: Hashing | None = None) -> dict[str, Any]:
        """Names, sizes and sha256 of the files, their fingerprint, and how they are read.

        Reads all files, once. Raises DataError when one cannot be read.
        """
        if self._described is None:
            stamps = [_stamp(file) for _, file in self._named]
            total, before = sum(size for size, _ in stamps), 0
            digests = []
            for (name, file), (size, _) in zip(self._named, stamps, strict=True):
                tell = hashing and partial(_tell, hashing, before, total)
                digests.append((name, file_sha256(file, tell)))
                before += size
            self._stamps = stamps
            files = [
                {"name": name, "bytes": stamp[0], "sha256": digest.hex()}
                for (name, digest), stamp in zip(digests, self._stamps, strict=True)
            ]
            self._described = {
                "fingerprint": _fingerprint(digests),
                "errors": self._errors,
                "field": self._field,
                "files": files,
            }
        return self._described

    def documents(self) -> Iterator[str]:
        """Stream whole documents, one at a time; see :func:`documents`."""
        held: list[str] = []
        found = False
        for piece in self.pieces():
            held.append(piece.text)
            if piece.last:
                found = True
                yield "".join(held)
                held = []
        if not found:
            first, count = self._named[0][1], len(self._named)
            raise DataError(f"{first}: the text is empty (no document in {count} file(s))")

    def pieces(self, start: tuple[int, ...] | None = None) -> Iterator[Piece]:
        """Stream the documents; a place is (file, bytes, lines).

        Raises DataError for a fault in a file, or when a file changed after `describe`.
        """
        first, offset, lines = start or (0, 0, 0)
        before = sum(file.stat().st_size for _, file in self._named[:first])
        for number, (_, file) in enumerate(self._named[first:], first):
            here = (offset, lines) if number == first else (0, 0)
            for piece in file_pieces(file, here, errors=self._errors, field=self._field):
                yield piece._replace(place=(number, *piece.place), read=before + piece.read)
            if self._stamps and _stamp(file) != self._stamps[number]:
                raise DataError(f"{file}: changed while it was read")
            before += _stamp(file)[0]


def documents(
    paths: PathLike | Iterable[PathLike], *, errors: Errors = "strict", field: str = "text"
) -> Iterator[str]:
    r"""Stream the documents of files and folders, in the order given, folders sorted by path.

    Text files (``.txt``, ``.gz``, ``.xz``, ``.zst``) separate documents by one or more blank lines
    (white space counts as blank); a document is its lines joined by ``"\n"``, trailing white space
    removed. A ``.jsonl`` file (or ``.jsonl.gz``, ``.jsonl.xz``, ``.jsonl.zst``) holds one document
    per line under the key `field`; blank texts are skipped. A folder is read recursively and its
    files with other suffixes are passed over; a file named directly must have a known suffix. One
    document is held in memory at a time. All paths must exist before the first document is read.

    Raises:
        DataError: a path is missing or of unknown suffix; a file is binary (a NUL byte, invalid
            UTF-8 unless `errors` allows it), a damaged archive, or a JSON line without a string
            under `field`; or there is no document at all. It is raised while iterating, after the
            documents before the fault.
    """
    yield from TextFiles(paths, errors=errors, field=field).documents()


def source_files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Resolve files and folders to the list of files that `documents` reads, in its order.

    Raises:
        DataError: a path does not exist, a file has an unknown suffix, or a folder (or the list)
            holds no text file.
    """
    return [file for _, file in _named_files(paths)]


def fingerprint(paths: PathLike | Iterable[PathLike], hashing: Hashing | None = None) -> str:
    """Return the sha256 (hex) of the names and contents of the files, as stored on disk.

    A name is the path within the folder given, or the bare file name; moving the data elsewhere
    therefore keeps the fingerprint, renaming or recompressing it does not. Streams 1 MiB at a time.

    Raises:
        DataError: as `source_files`, or when a file cannot be read.
    """
    return str(TextFiles(paths).describe(hashing)["fingerprint"])


def file_sha256(file: Path, read: Callable[[int], None] | None = None) -> bytes:
    """Return the sha256 digest (32 bytes) of one file, streamed; `read` hears the bytes so far.

    Raises:
        DataError: the file cannot be read.
    """
    digest, done = hashlib.sha256(), 0
    try:
        with file.open("rb") as stream:
            while data := stream.read(HASHED):
                digest.update(data)
                done += len(data)
                if read is not None:
                    read(done)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return digest.digest()


def is_validation(document: str, per_mille: int = 20) -> bool:
    """Tell whether a document belongs to the validation part, about `per_mille` in a thousand.

    Decided by the sha256 of the text alone: not by its place, the number of workers or a seed. So
    adding files moves no document from one part to the other, and two equal documents are always
    on the same side. `per_mille` runs from 0 (none) to 1000 (all); a larger value keeps the
    documents that a smaller one chose.

    Raises:
        ValueError: `per_mille` outside 0..1000.
    """
    return digest_is_validation(hashlib.sha256(document.encode()).digest(), per_mille)


def digest_is_validation(digest: bytes, per_mille: int) -> bool:
    """As `is_validation`, from the sha256 of the document's UTF-8 text."""
    if not 0 <= per_mille <= 1000:
        raise ValueError(f"per_mille must be within 0..1000, got {per_mille}")
    return int.from_bytes(digest[:8], "big") % 1000 < per_mille


def _tell(hashing: Hashing, before: int, total: int, done: int) -> None:
    hashing(before + done, total)


def _fingerprint(digests: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, digest in digests:
        # Hash of hashes: no concatenation of names and contents can imitate another one.
        total.update(hashlib.sha256(name.encode()).digest())
        total.update(digest)
    return total.hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return found.st_size, found.st_mtime_ns


def _named_files(paths: PathLike | Iterable[PathLike]) -> list[tuple[str, Path]]:
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise DataError("no text given: the list of paths is empty")
    named: list[tuple[str, Path]] = []
    for entry in map(Path, listed):
        if entry.is_dir():
            inside = sorted(
                (file.relative_to(entry).as_posix(), file)
                for file in entry.rglob("*")
                if file.is_file() and file.name.endswith(SUFFIXES) and file.name[0] != "."
            )
            if not inside:
                suffixes = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
                raise DataError(f"{entry}: the folder holds no {suffixes} file")
            named += inside
        elif not entry.exists():
            raise DataError(f"{entry}: no such file or folder")
        elif not entry.name.endswith(SUFFIXES):
            raise DataError(f"{entry}: unknown suffix, expected one of {', '.join(SUFFIXES)}")
        else:
            named.append((entry.name, entry))
    return named
