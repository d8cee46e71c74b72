"""Documents out of records: JSON lines, a JSON array, a table of CSV or Parquet.

A record's document is the string under one key (JSON) or in one column, `field`. A place in JSON
lines is one of text, (bytes, lines); elsewhere it is (0, records), and going on reads the file from
its beginning: an array has to be parsed whole, and a row of CSV may hold line feeds.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bert.data.errors import DataError
from bert.data.reading import Part, Piece, Raw, cut

LONGEST_JSON = 1 << 28  # characters of a JSON value or of a CSV row, which must be parsed whole
_LONGEST_FIELD = 1 << 28
_SURROGATE = re.compile("[\ud800-\udfff]")


class NoFieldError(DataError):
    """The file's records have no such key or column at all: it holds something else."""


def text_of_record(record: object, field: str, where: str) -> str:
    """Return the text of one example (a JSON object or a row of a data set).

    Raises:
        DataError: `field` is absent or no string, or holds half a surrogate pair.
    """
    if not isinstance(record, dict) or field not in record:
        raise NoFieldError(
            f'{where} has no string under the key "{field}"{_instead(record)}; --field names it'
        )
    text = record[field]
    if not isinstance(text, str):
        held = "null" if text is None else f"a value of type {type(text).__name__}"
        raise DataError(
            f'{where} has no string under the key "{field}" but {held}; take it out of the file, '
            "or name another key with --field"
        )
    if _SURROGATE.search(text):  # an escape alone, valid JSON and yet not encodable
        raise DataError(f"{where} holds half a surrogate pair, which is no text")
    return text


def _instead(record: object) -> str:
    """Say which strings are there."""
    strings = record.items() if isinstance(record, dict) else ()
    names = [repr(name) for name, value in strings if isinstance(value, str)][:8]
    return f", only under {', '.join(names)}" if names else ""


def json_line_pieces(
    file: Path, parts: Iterator[Part], disk: BinaryIO, field: str
) -> Iterator[Piece]:
    """Yield the document of every line that is not blank.

    Raises:
        DataError: a line that is no JSON, too long, or without a text.
    """
    yield from _of_lines(file, _whole_lines(file, parts), disk, field)


def json_pieces(
    file: Path, parts: Iterator[Part], disk: BinaryIO, field: str, done: int
) -> Iterator[Piece]:
    """Yield the documents of a ``.json`` file: lines of records, or one value over all lines.

    The value is an array of records, or one record. `done` of them are passed over.

    Raises:
        DataError: as `json_line_pieces`.
    """
    lines = _whole_lines(file, parts)
    first = next(lines, None)
    if first is None:
        return
    try:
        value: object = json.loads(first[0])
    except (json.JSONDecodeError, RecursionError):
        value = None
    second = next(lines, None)
    if isinstance(value, dict) and second is not None:
        yield from _of_lines(file, itertools.chain([first, second], lines), disk, field)
        return
    if value is None or second is not None:
        whole, size = [first[0]], 0
        for line, _ in itertools.chain([second] if second else [], lines):
            size += len(line)
            _require_short(size, str(file))
            whole.append(line)
        value = _parsed("\n".join(whole), str(file))
    records = value if isinstance(value, list) else [value]
    for number, record in enumerate(records[done:], done + 1):
        where = f"{file}: record {number}"
        text = text_of_record(record, field, where)
        if text.strip():
            yield from cut(text, (0, number), disk.tell())


def table_pieces(
    file: Path, raw: Iterator[Raw], disk: BinaryIO, field: str, delimiter: str, done: int
) -> Iterator[Piece]:
    """Yield the documents of a column of CSV (RFC 4180: quotes doubled, line feeds in quotes).

    The first row names the columns. `done` rows are passed over.

    Raises:
        DataError: no such column, a row with another number of columns, broken quotes.
    """
    csv.field_size_limit(_LONGEST_FIELD)  # of the whole process: it can only be raised here
    rows = csv.reader(_text_lines(file, raw), delimiter=delimiter, strict=True)
    number = 0
    try:
        header = next(rows, [])
        if header.count(field) != 1:
            raise NoFieldError(
                f"{file}: line 1: {header.count(field)} columns {field!r}; --field names one of "
                f"{', '.join(map(repr, header[:8]))}"
            )
        column = header.index(field)
        for row in rows:
            if not row:
                continue
            number += 1
            where = f"{file}: line {rows.line_num}"
            if len(row) != len(header):
                raise DataError(f"{where}: {len(row)} columns, the header has {len(header)}")
            if number > done and row[column].strip():
                yield from cut(row[column], (0, number), disk.tell())
    except csv.Error as error:
        raise DataError(f"{file}: line {rows.line_num}: no CSV ({error})") from None


def parquet_pieces(file: Path, disk: BinaryIO, field: str, done: int) -> Iterator[Piece]:
    """Yield the documents of a column of a Parquet file, some hundred rows in memory at a time.

    Raises:
        DataError: the package pyarrow is missing, no such column, a damaged file.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{file}: reading Parquet needs the package pyarrow (the extra hf-data)"
        ) from None
    number = 0
    try:
        table = parquet.ParquetFile(disk)
        columns = table.schema_arrow.names
        if field not in columns:
            raise NoFieldError(
                f"{file}: no column {field!r}; --field names one of "
                f"{', '.join(map(repr, columns[:8]))}"
            )
        for batch in table.iter_batches(batch_size=256, columns=[field]):
            for value in batch.column(0).to_pylist():
                number += 1
                if number > done:
                    text = text_of_record({field: value}, field, f"{file}: row {number}")
                    if text.strip():
                        yield from cut(text, (0, number), disk.tell())
    except (ValueError, OSError) as error:  # pyarrow's own are one or the other
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: no Parquet file, or damaged ({_short(error)})") from None


def _of_lines(
    file: Path, lines: Iterator[tuple[str, tuple[int, int]]], disk: BinaryIO, field: str
) -> Iterator[Piece]:
    for line, place in lines:
        where = f"{file}: line {place[1]}"
        text = text_of_record(_parsed(line, where), field, where)
        if text.strip():
            yield from cut(text, place, disk.tell())


def _whole_lines(file: Path, parts: Iterator[Part]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the lines that are not blank, each with the place behind it."""
    held: list[str] = []
    size = 0
    for part in parts:
        held.append(part.text)
        size += len(part.text)
        _require_short(size, f"{file}: line {part.number}")
        if part.ends:
            if size:
                yield "".join(held), (part.offset, part.number)
            held, size = [], 0


def _text_lines(file: Path, raw: Iterator[Raw]) -> Iterator[str]:
    held: list[str] = []
    size = 0
    for text, ends, number, _ in raw:
        held.append(text)
        size += len(text)
        _require_short(size, f"{file}: line {number}")
        if ends:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def _parsed(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error})") from None


def _require_short(size: int, where: str) -> None:
    if size > LONGEST_JSON:
        raise DataError(
            f"{where} is longer than {LONGEST_JSON} characters, too long for JSON or CSV; write "
            "one record a line"
        )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
