"""Text in: a stream of documents out of plain, packed, JSON or table files, never whole files.

Three things are decided here, because every later step relies on them: what a document is
(blank-line separated, a line, or one record), which documents are validation (a hash of their
text), and which files a data set was made from (a fingerprint of names and contents). Which files
those are: bert.data.finding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bert.data.errors import DataError as DataError  # the name that other modules import from here
from bert.data.files import file_pieces
from bert.data.finding import Finder, PathLike
from bert.data.formats import FORMATS, Format
from bert.data.reading import ERRORS, Errors, Piece
from swe.base.config import require

HASHED = 1 << 20  # bytes hashed between two reports: a millisecond's work
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


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How text is read; ConfigError for an unknown value."""

    errors: Errors = "strict"
    """Bytes that are not UTF-8: refuse the file, drop them, or read them as Latin-1."""
    field: str = "text"
    """Key or column of the text in JSON, CSV, Parquet."""
    document_per_line: bool = False
    """In text files every line is a document, instead of what lies between blank lines."""
    format: Format | None = None
    """What files hold whose suffix does not say it; None: they are not read."""

    def __post_init__(self) -> None:
        require(self.errors in ERRORS, "errors", self.errors, f"one of {', '.join(ERRORS)}")
        known = (None, *FORMATS)
        require(self.format in known, "format", self.format, f"one of {', '.join(FORMATS)}")

    def describe(self) -> dict[str, Any]:
        """Return what decides the documents; the later options only where they are used."""
        more = {"document_per_line": self.document_per_line, "format": self.format}
        return {"errors": self.errors, "field": self.field} | {k: v for k, v in more.items() if v}


class TextFiles:
    """Text files and folders as a `Source`; `vocabulary` is a file in them that is no text.

    `reading`, or its `errors` and `field` alone. Raises DataError when a path is missing or unknown
    (as `source_files`), ConfigError for an unknown way of reading.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        errors: Errors = "strict",
        field: str = "text",
        reading: Reading | None = None,
        vocabulary: Path | None = None,
    ) -> None:
        self._reading = reading or Reading(errors=errors, field=field)
        finder = Finder(
            paths,
            errors=self._reading.errors,
            field=self._reading.field,
            format=self._reading.format,
            vocabulary=vocabulary,
        )
        self._found = finder.found
        self.passed_over = {reason: len(names) for reason, names in finder.passed_over.items()}
        self.note = finder.note
        self._described: dict[str, Any] | None = None
        self._stamps: list[tuple[int, int]] = []

    @property
    def total(self) -> int:
        """Bytes of all files as they lie on disk."""
        return sum(found.file.stat().st_size for found in self._found)

    def describe(self, hashing: Hashing | None = None) -> dict[str, Any]:
        """Names, sizes and sha256 of the files, their fingerprint, and how they are read.

        Reads all files, once. Raises DataError when one cannot be read.
        """
        if self._described is None:
            stamps = [_stamp(found.file) for found in self._found]
            total, before = sum(size for size, _ in stamps), 0
            digests = []
            for found, (size, _) in zip(self._found, stamps, strict=True):
                tell = hashing and partial(_tell, hashing, before, total)
                digests.append((found.raw_name, file_sha256(found.file, tell)))
                before += size
            self._stamps = stamps
            files = [
                {"name": found.name, "bytes": stamp[0], "sha256": digest.hex()}
                for found, (_, digest), stamp in zip(self._found, digests, stamps, strict=True)
            ]
            self._described = {
                "fingerprint": _fingerprint(digests),
                **self._reading.describe(),
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
            first, count = self._found[0].file, len(self._found)
            raise DataError(f"{first}: the text is empty (no document in {count} file(s))")

    def pieces(self, start: tuple[int, ...] | None = None) -> Iterator[Piece]:
        """Stream the documents; a place is (file, bytes, lines).

        Raises DataError for a fault in a file, or when a file changed after `describe`.
        """
        first, offset, lines = start or (0, 0, 0)
        before = sum(found.file.stat().st_size for found in self._found[:first])
        reading = self._reading
        for number, (_, _, file, form) in enumerate(self._found[first:], first):
            here = (offset, lines) if number == first else (0, 0)
            for piece in file_pieces(
                file,
                here,
                format=form,
                errors=reading.errors,
                field=reading.field,
                document_per_line=reading.document_per_line,
            ):
                yield piece._replace(place=(number, *piece.place), read=before + piece.read)
            if self._stamps and _stamp(file) != self._stamps[number]:
                raise DataError(f"{file}: changed while it was read")
            before += _stamp(file)[0]


def documents(
    paths: PathLike | Iterable[PathLike], *, errors: Errors = "strict", field: str = "text"
) -> Iterator[str]:
    r"""Stream the documents of files and folders, in the order given, folders sorted by path.

    Text files (``.txt``) separate documents by one or more blank lines (white space counts as
    blank); a document is its lines joined by ``"\n"``, trailing white space removed. A ``.jsonl``
    or ``.ndjson`` file holds one document per line under the key `field`, a ``.json`` file the
    same or one array of records, a ``.csv``, ``.tsv`` or ``.parquet`` file a column `field`; blank
    texts are skipped. All but Parquet may be packed (``.gz``, ``.xz``, ``.zst`` behind the
    suffix), and text may be UTF-16 or UTF-32 with its mark. Which files of a folder are read:
    bert.data.finding. One document is held in memory at a time (and a JSON array). All paths must
    exist before the first document is read.

    Raises:
        DataError: a path is missing or of unknown suffix; a file is binary (a NUL byte, invalid
            UTF-8 unless `errors` allows it), a damaged archive, a pointer to a file that was not
            fetched, a vocabulary, or a record without a string under `field`; or there is no
            document at all. It is raised while iterating, after the documents before the fault.
    """
    yield from TextFiles(paths, errors=errors, field=field).documents()


def source_files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Resolve files and folders to the list of files that `documents` reads, in its order.

    Raises:
        DataError: a path does not exist, a file has an unknown suffix, or a folder (or the list)
            holds no text file.
    """
    return [found.file for found in Finder(paths).found]


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


def _fingerprint(digests: Iterable[tuple[bytes, bytes]]) -> str:
    total = hashlib.sha256()
    for name, digest in digests:
        # Hash of hashes: no concatenation of names and contents can imitate another one.
        total.update(hashlib.sha256(name).digest())
        total.update(digest)
    return total.hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return found.st_size, found.st_mtime_ns
