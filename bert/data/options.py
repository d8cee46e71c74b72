"""Options of every command that reads text: what is read of it, and how."""

from __future__ import annotations

import argparse
from pathlib import Path

from bert.data.formats import FORMATS
from bert.data.reading import ERRORS
from bert.data.text import Reading, TextFiles
from evidence.commands import add_several

TEXT_HELP = (
    "files or folders: .txt (documents separated by blank lines), .jsonl, .json, .csv, .tsv, all\n"
    "also .gz, .xz, .zst; .parquet"
)


def add_reading(parser: argparse._ActionsContainer, *, texts: bool = True) -> None:
    """Add the options that :func:`reading_of` reads; ``texts`` False: --errors alone."""
    parser.add_argument(
        "--errors",
        choices=ERRORS,
        default="strict",
        help="bytes that are not UTF-8: refuse the file (strict, default), drop them (replace),\n"
        "or read them as Latin-1",
    )
    if not texts:
        return
    parser.add_argument(
        "--field",
        default="text",
        help="key or column of the text in JSON, CSV, Parquet and data sets (default: text)",
    )
    parser.add_argument(
        "--document-per-line",
        action="store_true",
        help="in text files each line is a document, instead of what blank lines separate",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="what files hold whose suffix does not say it (default: they are passed over)",
    )
    add_several(
        parser,
        "--valid",
        type=Path,
        metavar="TEXT",
        help="hold out these files instead; documents of the text that stand in them are dropped",
    )
    parser.add_argument(
        "--cased",
        action="store_true",
        help="keep capital letters and accents: for a cased vocabulary, or to train one",
    )


def reading_of(given: argparse.Namespace) -> Reading:
    """Return how text is read."""
    return Reading(
        errors=given.errors,
        field=given.field,
        document_per_line=given.document_per_line,
        format=given.format,
    )


def valid_of(given: argparse.Namespace) -> TextFiles | None:
    """Return the validation text; None without one. DataError when it cannot be opened."""
    if not given.valid:
        return None
    return TextFiles(given.valid, reading=reading_of(given), vocabulary=given.vocab)
