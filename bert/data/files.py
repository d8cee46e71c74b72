"""Pieces of documents out of one file, of whatever format and packing."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from bert.data.errors import DataError
from bert.data.formats import Format, format_of, packing
from bert.data.reading import Errors, Piece, line_parts, line_pieces, raw_parts, text_pieces
from bert.data.records import json_line_pieces, json_pieces, parquet_pieces, table_pieces
from bert.data.unpacking import opened, skip


def file_pieces(
    file: Path,
    start: tuple[int, int] = (0, 0),
    *,
    format: Format | None = None,  # noqa: A002 - the option's name
    errors: Errors = "strict",
    field: str = "text",
    document_per_line: bool = False,
) -> Generator[Piece, None, None]:
    """Stream the documents of one file in pieces, from the place `start` on.

    See `bert.data.text.documents` for the formats; None: what the name says, or else text. `errors`
    says what becomes of bytes that are not UTF-8: "strict" refuses them, "replace" puts U+FFFD
    (which BERT's tokenizer drops), "latin-1" reads just those bytes as Latin-1.

    Raises:
        DataError: the file cannot be read, is binary, no UTF-8 (strict), a damaged archive or
            has a faulty record; raised after the documents before the fault.
    """
    held = format or format_of(file.name) or "text"
    try:
        if held == "parquet":
            if packing(file.name):
                raise DataError(f"{file}: Parquet in an archive; unpack it (it is packed inside)")
            with file.open("rb") as disk:
                yield from parquet_pieces(file, disk, field, start[1])
            return
        with opened(file) as (disk, stream):
            skip(file, stream, start[0])
            raw = raw_parts(file, stream, start if start[0] else (0, 0), errors)
            if held in ("csv", "tsv"):
                delimiter = "\t" if held == "tsv" else ","
                yield from table_pieces(file, raw, disk, field, delimiter, start[1])
                return
            parts = line_parts(raw, file)
            if held == "jsonl" or (held == "json" and start[0]):
                yield from json_line_pieces(file, parts, disk, field)
            elif held == "json":
                yield from json_pieces(file, parts, disk, field, start[1])
            elif document_per_line:
                yield from line_pieces(parts, disk)
            else:
                yield from text_pieces(parts, disk)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
