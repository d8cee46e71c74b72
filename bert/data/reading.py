"""Bounded pieces of text out of lines, each with the place behind it.

A file may hold one line of gigabytes, so neither a file nor a document nor a line is ever read
whole (a JSON line is, up to a limit). Long texts are cut where BERT's tokenizer cuts too, at a
space or else beside a character that is a word by itself (CJK, punctuation); so the tokens of the
pieces are the tokens of the whole. A run of characters without any such place is kept whole, up to
`LONGEST_WORD`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from bert.data.errors import DataError as DataError  # the name that other modules import from here
from bert.data.unpacking import damages

Errors = Literal["strict", "replace", "latin-1"]
ERRORS: tuple[Errors, ...] = ("strict", "replace", "latin-1")
PIECE = 1 << 18  # bytes of a line read at once, and characters of a document handed on at once
LONGEST_WORD = 1 << 26  # characters without a place to cut at
_MARK = b"\xef\xbb\xbf"
# Some of the characters at which the tokenizer splits (white space that it knows as such, ASCII and
# the commonest other punctuation, CJK ideographs); a place beside one is never inside a word.
_APART = (
    " \\t\\n\\r\u00a0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    "!-/:-@\\[-`{-~\u2010-\u2027\u3001\u3002\uff01\uff0c\uff1f\u3400-\u4dbf\u4e00-\u9fff"
)
_NEXT_APART = re.compile(f"[{_APART}]")
_LAST_APART = re.compile(f".*[{_APART}]", re.DOTALL)


class Piece(NamedTuple):
    """A part of a document. The concatenated texts of a document's pieces are the document.

    place: where reading can go on behind this piece; valid where `last`. From a text file it is
    (bytes, lines) of the unpacked file, from a table or an array (0, records). read: how much of
    the source was read so far, in the unit of its total (bytes on disk, or examples).
    """

    text: str
    last: bool
    place: tuple[int, ...]
    read: int


class Raw(NamedTuple):
    """A part of a line, as it stands in the file; `ends` says that its line feed is there."""

    text: str
    ends: bool
    number: int
    offset: int


class Part(NamedTuple):
    """A part of a line without white space at its end; `begins`, `ends`: which ends it has."""

    text: str
    begins: bool
    ends: bool
    number: int
    offset: int


def cut(text: str, last_place: tuple[int, ...], read: int) -> Iterator[Piece]:
    """Cut a document that is in memory into pieces; `last_place` is the place behind it."""
    begin = 0
    while len(text) - begin > PIECE:
        end = text.rfind(" ", begin + 1, begin + PIECE)
        if end < 0 and (found := _LAST_APART.match(text, begin, begin + PIECE)):
            end = found.end()
        if end < 0:
            later = _NEXT_APART.search(text, begin + PIECE)
            end = later.start() if later else len(text)
        if end == len(text):
            break
        yield Piece(text[begin:end], False, last_place, read)
        begin = end
    yield Piece(text[begin:], True, last_place, read)


def text_pieces(parts: Iterator[Part], disk: BinaryIO) -> Iterator[Piece]:
    """Yield the documents of lines: blank lines lie between them."""
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


def line_pieces(parts: Iterator[Part], disk: BinaryIO) -> Iterator[Piece]:
    """Yield every line that is not blank as a document."""
    for part in parts:
        if part.text or not part.begins:
            yield Piece(part.text, part.ends, (part.offset, part.number), disk.tell())


def line_parts(raw: Iterator[Raw], file: Path) -> Iterator[Part]:
    """Yield the lines without white space at their ends, long ones in parts.

    Raises:
        DataError: a run of more than `LONGEST_WORD` characters without a place to cut at.
    """
    begins, carry, number, offset = True, "", 0, 0
    for fresh, ends, number, offset in raw:
        text, carry = carry + fresh, ""
        if ends:
            yield Part(text.rstrip(), begins, True, number, offset)
            begins = True
            continue
        # White space at the end of this part may be the end of the line, hence it waits.
        head = text[: max(text.rfind(" "), 0)].rstrip()
        if not head and (found := _LAST_APART.match(fresh)):
            head = text[: len(text) - len(fresh) + found.end()].rstrip()
        carry = text[len(head) :]
        if len(carry) > LONGEST_WORD:
            raise DataError(
                f"{file}: line {number} has {LONGEST_WORD} characters without a space between "
                "words, which is no text; take it out"
            )
        if head:
            yield Part(head, begins, False, number, offset)
            begins = False
    if carry or not begins:  # a last line without an end
        yield Part(carry.rstrip(), begins, True, number, offset)


def raw_parts(
    file: Path, stream: BinaryIO, start: tuple[int, int], errors: Errors
) -> Iterator[Raw]:
    """Yield the lines of an open file, from the place (bytes, lines) on, long ones in parts.

    Raises:
        DataError: a NUL byte, bytes that are no UTF-8 (strict), a damaged archive.
    """
    offset, number = start
    fresh, pending, base = True, b"", 0
    handler = _handler(errors)
    try:
        for raw in iter(lambda: stream.readline(PIECE), b""):
            number += fresh
            if (nul := raw.find(b"\0")) >= 0:
                wide = raw.count(b"\0") > len(raw) // 3
                raise DataError(
                    f"{file}: binary file, NUL byte at byte {offset + nul} (line {number})"
                    + ("; if it is UTF-16, iconv -f UTF-16LE -t UTF-8 converts it" if wide else "")
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
            yield Raw(text, ends, number, offset)
        base = offset - len(pending)
        if tail := codecs.utf_8_decode(pending, handler, True)[0]:
            yield Raw(tail, False, number, offset)
    except UnicodeDecodeError as error:
        at = base + error.start
        raise DataError(
            f"{file}: not UTF-8 text at byte {at} (line {number}); --errors latin-1 reads such "
            "bytes as Latin-1, --errors replace drops them"
        ) from None
    except damages() as error:
        raise DataError(f"{file}: corrupt archive after line {number} ({error})") from None


def decoded(data: bytes, errors: Errors) -> str:
    """Return bytes as text, without a byte-order mark. UnicodeDecodeError (strict)."""
    return codecs.utf_8_decode(data.removeprefix(_MARK), _handler(errors), True)[0]


def _handler(errors: Errors) -> str:
    return _LATIN if errors == "latin-1" else errors


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


_LATIN = "bert-latin-1"
codecs.register_error(_LATIN, _as_latin)
