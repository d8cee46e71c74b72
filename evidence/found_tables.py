"""Tables that the ledger may judge by: the newest of a results folder first, then those on record.

On record are the studies of ``records/studies/<name>/<table>.json``: longer than the default run
makes, with device, commit and command inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swe.base.files import plain_name, read_json


@dataclass(frozen=True)
class FoundTable:
    """A table and where it comes from."""

    data: dict[str, Any]
    folder: Path
    """Of its study; tables in one folder share their runs."""
    study: str = ""
    """Name of the study on record, "" for the results folder's own."""

    @property
    def figure(self) -> str:
        """Name of its figure in the report."""
        table = self.data["table"]
        return f"study_{self.study}_{table}" if self.study else f"bert_{table}"

    @property
    def origin(self) -> str:
        """What evidence says about where it comes from."""
        return f", on record (study {self.study})" if self.study else ""


def find_tables(
    out: Path, studies: Path | None, names: Sequence[str], *arms: str
) -> list[FoundTable]:
    """Return the named tables in which all ``arms`` have been compared, best source first.

    Own tables come before records; within each, as ``names`` has them.
    """
    return [
        found
        for found in (*_own(out, names), *_recorded(studies, names))
        if all("difference" in found.data["arms"].get(arm, {}) for arm in arms)
    ]


def one_a_study(found: Sequence[FoundTable]) -> list[FoundTable]:
    """Keep of every study the table with the most finished arms, so that no run counts twice."""
    fullest: dict[Path, FoundTable] = {}
    for table in found:
        known = fullest.get(table.folder)
        if known is None or _finished(table) > _finished(known):
            fullest[table.folder] = table
    return list(fullest.values())


def _finished(table: FoundTable) -> int:
    return sum("values" in arm for arm in table.data["arms"].values())


def _own(out: Path, names: Sequence[str]) -> Iterator[FoundTable]:
    for name in names:
        pointer = out / "bert" / "tables" / f"{name}.json"
        if pointer.exists():
            folder = plain_name(read_json(pointer)["folder"])
            path = out / "bert" / "tables" / folder / f"{name}.json"
            if path.exists():
                yield FoundTable(read_json(path), path.parent)


def _recorded(studies: Path | None, names: Sequence[str]) -> Iterator[FoundTable]:
    if studies is None or not studies.is_dir():
        return
    for name in names:
        for folder in sorted(path for path in studies.iterdir() if path.is_dir()):
            path = folder / f"{name}.json"
            if path.exists():
                yield FoundTable(read_json(path), folder, folder.name)
