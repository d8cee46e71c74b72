"""Bounded pieces of text out of one file, plain or compressed, each with the place behind it.

A file may hold one line of gigabytes, so neither a file nor a document nor a line is ever read
whole (a JSON line is, up to a limit). Long texts are cut at a space, where BERT's tokenizer cuts
too; so the tokens of the pieces are the tokens of the whole. Only a run of a quarter million
characters without a space is cut in its middle, and a run of Latin letters that long is no word.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, NamedTuple, cast

from swe.base.errors import SweError

Errors = Literal["strict", "replace", "latin-1"]
ERRORS: tuple[Errors, ...] = ("strict", "replace", "latin-1")
COMPRESSED = (".gz", ".xz", ".zst")
PIECE = 1 << 18  # bytes of a line read at once, and characters of a document handed on at once
LONGEST_JSON = 1 << 28  # characters of a JSON line, which must be parsed whole
_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = b"\xef\xbb\xbf"


class DataError(SweError, ValueError):
    """Bad input data; the message is one line that names the file and the reason."""


class Piece(NamedTuple):
    """A part of a document. The concatenated texts of a document's pieces are the document.

    place: where reading can go on behind this piece; valid where `last`. From `file_pieces` it is
    (bytes, lines) of the decompressed file. read: how much of the source was read so far, in the
    unit of its total (bytes on disk, or examples).
    """

    text: str
    last: bool
    place: tuple[int, ...]
    read: int


class _Part(NamedTuple):
    """A part of a line: `begins` and `ends` say which ends of the line it has."""

    text: str
    begins: bool
    ends: bool
    number: int
    offset: int


def file_pieces(
    file: Path, start: tuple[int, int] = (0, 0), *, errors: Errors = "strict", field: str = "text"
) -> Iterator[Piece]:
    """Stream the documents of one file in pieces, from the place `start` on.

    See `bert.data.text.documents` for the formats. `errors` says what becomes of bytes that are not
    UTF-8: "strict" refuses them, "replace" puts U+FFFD (which BERT's tokenizer drops), "latin-1"
    reads just those bytes as Latin-1.

    Raises:
        DataError: the file cannot be read, is binary, no UTF-8 (strict), a damaged archive or
            has a faulty JSON line; raised after the documents before the fault.
    """
    bare = file.name
    for suffix in COMPRESSED:
        bare = bare.removesuffix(suffix)
    try:
        with file.open("rb") as disk, _decompressed(file, disk) as stream:
            _skip(file, stream, start[0])
            parts = _parts(file, stream, start, errors)
            if bare.endswith(".jsonl"):
                yield from _json_pieces(file, parts, disk, field)
            else:
                yield from _text_pieces(parts, disk)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None


def cut(text: str, last_place: tuple[int, ...], read: int) -> Iterator[Piece]:
    """Cut a document that is in memory into pieces; `last_place` is the place behind it."""
    begin = 0
    while len(text) - begin > PIECE:
        end = text.rfind(" ", begin + 1, begin + PIECE)
        end = end if end > 0 else begin + PIECE
        yield Piece(text[begin:end], False, last_place, read)
        begin = end
    yield Piece(text[begin:], True, last_place, read)


def text_of_record(record: object, field: str, where: str) -> str:
    """Return the text of one example (a JSON object or a row of a data set).

    Raises:
        DataError: `field` is absent or no string, or holds half a surrogate pair.
    """
    text = record.get(field) if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise DataError(f'{where} has no string under the key "{field}"')
    if _SURROGATE.search(text):  # an escape alone, valid JSON and yet not encodable
        raise DataError(f"{where} holds half a surrogate pair, which is no text")
    return text


def _text_pieces(parts: Iterator[_Part], disk: BinaryIO) -> Iterator[Piece]:
    held: list[str] = []
    size, inside, place = 0, False, (0, 0)
    for part in parts:
        if part.begins and part.ends and not part.text:  # a blank line
            if inside:
                yield Piece("".join(held), True, (part.offset, part.number), disk.tell())
                held, size, inside = [], 0, False
            continue
        if part.begins and inside:
            held.append("\n")
        held.append(part.text)
        size += len(part.text) + 1
        inside = True
        place = (part.offset, part.number)
        if size >= PIECE:
            yield Piece("".join(held), False, place, disk.tell())
            held, size = [], 0
    if inside:
        yield Piece("".join(held), True, place, disk.tell())


def _json_pieces(file: Path, parts: Iterator[_Part], disk: BinaryIO, field: str) -> Iterator[Piece]:
    held: list[str] = []
    size = 0
    for part in parts:
        where = f"{file}: line {part.number}"
        held.append(part.text)
        size += len(part.text)
        if size > LONGEST_JSON:
            raise DataError(f"{where} is longer than {LONGEST_JSON} characters, too long for JSON")
        if not part.ends:
            continue
        line, held, size = "".join(held), [], 0
        if not line:
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({error})") from None
        text = text_of_record(record, field, where)
        if text.strip():
            yield from cut(text, (part.offset, part.number), disk.tell())


def _parts(file: Path, stream: BinaryIO, start: tuple[int, int], errors: Errors) -> Iterator[_Part]:
    """Yield the lines without white space at their ends, long ones in parts."""
    offset, number = start
    fresh, begins, carry, pending, base = True, True, "", b"", 0
    handler = _LATIN if errors == "latin-1" else errors
    try:
        for raw in iter(lambda: stream.readline(PIECE), b""):
            number += fresh
            if (nul := raw.find(b"\0")) >= 0:
                raise DataError(
                    f"{file}: binary file, NUL byte at byte {offset + nul} (line {number})"
                )
            base = offset - len(pending)
            offset += len(raw)
            raw = pending + raw
            if base == 0 and raw.startswith(_MARK):
                raw, base = raw[3:], 3
            fresh = ends = raw.endswith(b"\n")
            # In UTF-8 no other character contains the byte of a line feed, so a line is decoded
            # by itself; a character cut by the end of a part waits for the next part.
            text, used = codecs.utf_8_decode(raw, handler, ends)
            pending = raw[used:]
            text = carry + text
            carry = ""
            if ends:
                yield _Part(text.rstrip(), begins, True, number, offset)
                begins = True
                continue
            # White space at the end of this part may be the end of the line, hence it waits.
            head = text[: max(text.rfind(" "), 0)].rstrip() or text.rstrip()
            carry = text[len(head) :]
            if head:
                yield _Part(head, begins, False, number, offset)
                begins = False
        base = offset - len(pending)
        carry += codecs.utf_8_decode(pending, handler, True)[0]
        if carry or not begins:  # a last line without an end
            yield _Part(carry.rstrip(), begins, True, number, offset)
    except UnicodeDecodeError as error:
        at = base + error.start
        raise DataError(f"{file}: not UTF-8 text at byte {at} (line {number})") from None
    except _damages() as error:
        raise DataError(f"{file}: corrupt archive after line {number} ({error})") from None


def _skip(file: Path, stream: BinaryIO, count: int) -> None:
    """Move to a place in the decompressed bytes: a seek in plain files, else reading."""
    try:
        if stream.seekable():
            stream.seek(count)
        else:
            while count and (data := stream.read(min(count, 1 << 20))):
                count -= len(data)
    except _damages() as error:
        raise DataError(f"{file}: corrupt archive before byte {count} ({error})") from None


def _decompressed(file: Path, disk: io.BufferedReader) -> BinaryIO:
    if file.suffix == ".gz":
        return cast(BinaryIO, gzip.open(disk, "rb"))
    if file.suffix == ".xz":
        return _in_members(disk, lzma.LZMADecompressor)
    if file.suffix == ".zst":
        zstd = _zstd()
        if zstd is None:
            raise DataError(f"{file}: reading .zst needs the package backports.zstd")
        return _in_members(disk, zstd.ZstdDecompressor)
    return disk


def _in_members(disk: io.BufferedReader, decompressor: Callable[[], Any]) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Members(disk, decompressor), 1 << 16))


class _Members(io.RawIOBase):
    """The members of an .xz or .zst file, one after another, decompressed.

    The libraries' own file objects take whatever follows a member and is no member for the end of
    the file. A damaged second member would then silently shorten a corpus; here it is an error.
    """

    def __init__(self, disk: io.BufferedReader, decompressor: Callable[[], Any]) -> None:
        self._disk, self._new = disk, decompressor
        self._current: Any = None
        self._unused = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._current is None:
                # Zero bytes between and behind members are padding, which .xz allows.
                data = (self._unused or self._disk.read(1 << 16)).lstrip(b"\0")
                self._unused = b""
                if not data:
                    if not self._disk.peek(1):
                        return 0
                    continue
                self._current = self._new()
            else:
                data = self._disk.read(1 << 16) if self._current.needs_input else b""
                if self._current.needs_input and not data:
                    raise EOFError("the file ends within a compressed member")
            found = self._current.decompress(data, len(buffer))
            if self._current.eof:
                self._unused, self._current = self._current.unused_data, None
            if found:
                buffer[: len(found)] = found
                return len(found)


def _zstd() -> ModuleType | None:
    """The standard library's module (Python 3.14), or its backport, or nothing.

    Imported by name they would be invisible to the cache key; the checker knows neither everywhere.
    """
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return None
    return cast(ModuleType, zstd)


def _damages() -> tuple[type[Exception], ...]:
    known = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
    zstd = _zstd()
    return known if zstd is None else (*known, zstd.ZstdError)


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


_LATIN = "bert-latin-1"
codecs.register_error(_LATIN, _as_latin)
