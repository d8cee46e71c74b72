"""What a file holds by its name: suffixes in any case, a packer's behind that of the content."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from bert.data.unpacking import COMPRESSED

Format = Literal["text", "jsonl", "json", "csv", "tsv", "parquet"]
FORMATS: tuple[Format, ...] = ("text", "jsonl", "json", "csv", "tsv", "parquet")
_BY_SUFFIX: dict[str, Format] = {
    ".txt": "text",
    ".text": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
SUFFIXES = (*_BY_SUFFIX, *COMPRESSED)
"""Suffixes of files that are read; a name with a packer's alone is looked into."""


def packing(name: str) -> str:
    """Return a packer's suffix at the end of a name, in small letters; "" without one."""
    suffix = PurePath(name).suffix.lower()
    return suffix if suffix in COMPRESSED else ""


def format_of(name: str) -> Format | None:
    """Return what a name says that the file holds; None where it says nothing that is known."""
    bare = name[: len(name) - len(packing(name))]
    return _BY_SUFFIX.get(PurePath(bare).suffix.lower())
