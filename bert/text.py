"""Text in: a stream of documents out of plain, compressed or JSON-lines files, never whole files.

Three things are decided here, because every later step relies on them: what a document is
(blank-line separated, or one JSON line), which documents are validation (a hash of their text), and
which files a data set was made from (a fingerprint of names and contents). The files of bert/ that
write data share the atomic writer at the end.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

SUFFIXES = (".txt", ".jsonl", ".gz", ".xz")
_SURROGATE = re.compile("[\ud800-\udfff]")
PathLike = str | os.PathLike[str]


class DataError(ValueError):
    """Bad input data; the message is one line that names the file and the reason."""


def documents(paths: PathLike | Iterable[PathLike]) -> Iterator[str]:
    r"""Stream the documents of files and folders, in the order given, folders sorted by path.

    Text files (``.txt``, ``.gz``, ``.xz``) separate documents by one or more blank lines (white
    space counts as blank); a document is its lines joined by ``"\n"``, trailing white space
    removed. A ``.jsonl`` file (or ``.jsonl.gz``, ``.jsonl.xz``) holds one document per line under
    the key ``"text"``; blank texts are skipped. A folder is read recursively and its files with
    other suffixes are passed over; a file named directly must have a known suffix. One document
    is held in memory at a time. All paths must exist before the first document is read.

    Raises:
        DataError: a path is missing or of unknown suffix; a file is binary (a NUL byte, invalid
            UTF-8), a damaged archive, or a JSON line without a ``"text"`` string; or there is no
            document at all. It is raised while iterating, after the documents before the fault.
    """
    files = source_files(paths)
    found = False
    for file in files:
        bare = file.name.removesuffix(".gz").removesuffix(".xz")
        reader = _json_documents if bare.endswith(".jsonl") else _text_documents
        for document in reader(file):
            found = True
            yield document
    if not found:
        raise DataError(f"{files[0]}: the text is empty (no document in {len(files)} file(s))")


def source_files(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    """Resolve files and folders to the list of files that `documents` reads, in its order.

    Raises:
        DataError: a path does not exist, a file has an unknown suffix, or a folder (or the list)
            holds no text file.
    """
    return [file for _, file in _named_files(paths)]


def fingerprint(paths: PathLike | Iterable[PathLike]) -> str:
    """Return the sha256 (hex) of the names and contents of the files, as stored on disk.

    A name is the path within the folder given, or the bare file name; moving the data elsewhere
    therefore keeps the fingerprint, renaming or recompressing it does not. Streams 1 MiB at a time.

    Raises:
        DataError: as `source_files`, or when a file cannot be read.
    """
    total = hashlib.sha256()
    for name, file in _named_files(paths):
        # Hash of hashes: no concatenation of names and contents can imitate another one.
        total.update(hashlib.sha256(name.encode()).digest())
        total.update(file_sha256(file))
    return total.hexdigest()


def file_sha256(file: Path) -> bytes:
    """Return the sha256 digest (32 bytes) of one file, streamed.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None


def is_validation(document: str, per_mille: int = 20) -> bool:
    """Tell whether a document belongs to the validation part, about `per_mille` in a thousand.

    Decided by the sha256 of the text alone: not by its place, the number of workers or a seed. So
    adding files moves no document from one part to the other, and two equal documents are always
    on the same side. `per_mille` runs from 0 (none) to 1000 (all); a larger value keeps the
    documents that a smaller one chose.

    Raises:
        ValueError: `per_mille` outside 0..1000.
    """
    if not 0 <= per_mille <= 1000:
        raise ValueError(f"per_mille must be within 0..1000, got {per_mille}")
    digest = hashlib.sha256(document.encode()).digest()
    return int.from_bytes(digest[:8], "big") % 1000 < per_mille


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
                raise DataError(f"{entry}: the folder holds no .txt, .jsonl, .gz or .xz file")
            named += inside
        elif not entry.exists():
            raise DataError(f"{entry}: no such file or folder")
        elif not entry.name.endswith(SUFFIXES):
            raise DataError(f"{entry}: unknown suffix, expected one of {', '.join(SUFFIXES)}")
        else:
            named.append((entry.name, entry))
    return named


def _open(file: Path) -> BinaryIO:
    if file.suffix == ".gz":
        return cast(BinaryIO, gzip.open(file, "rb"))
    if file.suffix == ".xz":
        return cast(BinaryIO, lzma.open(file, "rb"))
    return file.open("rb")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end); any fault becomes a DataError."""
    number, offset = 0, 0
    try:
        with _open(file) as stream:
            for number, raw in enumerate(stream, 1):
                # Decoding a line at a time loses nothing: in UTF-8 no other character contains
                # the byte of a line feed.
                if (nul := raw.find(b"\0")) >= 0:
                    raise DataError(
                        f"{file}: binary file, NUL byte at byte {offset + nul} (line {number})"
                    )
                start = 3 if number == 1 and raw.startswith(b"\xef\xbb\xbf") else 0
                yield number, raw[start:].decode("utf-8").rstrip()
                offset += len(raw)
    except UnicodeDecodeError as error:
        # `error.object` may lack a byte-order mark, hence start is counted from its own end.
        at = offset + start + error.start
        raise DataError(f"{file}: not UTF-8 text at byte {at} (line {number})") from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{file}: corrupt archive after line {number} ({error})") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None


def _text_documents(file: Path) -> Iterator[str]:
    lines: list[str] = []
    for _, line in _lines(file):
        if line:
            lines.append(line)
        elif lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


def _json_documents(file: Path) -> Iterator[str]:
    for number, line in _lines(file):
        if not line:
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{file}: line {number} is not JSON ({error})") from None
        text = record.get("text") if isinstance(record, dict) else None
        if not isinstance(text, str):
            raise DataError(f'{file}: line {number} has no string under the key "text"')
        if _SURROGATE.search(text):  # an escape alone, valid JSON and yet not encodable
            raise DataError(f"{file}: line {number} holds half a surrogate pair, which is no text")
        if text.strip():
            yield text
