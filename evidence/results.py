"""Where the files of a results folder and of the records lie, and how they are read.

    theory/<name>.json, toy/<name>.json   results, their content under "data"
    bert/current.json                     pointer to bert/<folder>: comparison.json and its runs
    bert/tables/<table>.json              pointer to bert/tables/<folder>: <table>.json, curves
    bert/languages/<language>.json        the same of a language: <language>.json, curves
    bert/rivals/rivals-<language>.json    the same of all methods on a language, or "text"
    bert/finetune/<table>.json            pointer to bert/finetune/<folder>: <table>.json
    claims.json                           the ledger

A pointer is {"folder": name}, a folder beside it. On record, in the same formats, are
``records/studies/<study>/<table>.json`` and ``records/finetune/scores.json``.

Absent is not wrong: a reader returns None or nothing, and pages say which command makes the file.
What is there but cannot be read is a ResultError that names the file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evidence.claim import Record
from evidence.rivals import ON_TEXT, RIVALS
from swe.base.errors import ResultError
from swe.base.files import plain_name, read_lines
from swe.base.files import read_json as read_existing_json

TABLES = ("table1", "table2", "table3", "table4", "speedup", "sweep", "headline")
"""Verbs whose tables are looked for, in the order of pages."""
LANGUAGES = ("composition", "hierarchy")
"""Languages of known truth, each with a table of its name; they say nothing of text."""
ON_RECORD = (
    "studies/*/*.json",
    "finetune/scores.json",
    "default/times.json",
    "full/result_times.json",
)
"""What of the records folder the ledger, the report and the command line use."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a failure to find the expected content into a ResultError that names ``path``."""
    try:
        yield
    except ResultError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ResultError(
            f"{path}: not the expected content ({type(error).__name__}: {error})"
        ) from error


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, None when there is no such file; null is no content."""
    if not path.exists():
        return None
    with reading(path):
        content = read_existing_json(path)
        if content is None:
            raise ValueError("null")
        return content


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a line file, [] when absent; a torn last line is dropped."""
    with reading(path):
        return read_lines(path)


def read_data(out: Path, source: str) -> Any:
    """Return "data" of the record at ``out / source``, None when absent."""
    record = read_json(out / source)
    if record is None:
        return None
    with reading(out / source):
        return record["data"]


def read_claims(out: Path) -> list[dict[str, str]] | None:
    """Return the claim ledger, None when absent; ResultError for records of another form."""
    path = out / "claims.json"
    ledger = read_json(path)
    if ledger is None:
        return None
    with reading(path):
        return [Record.from_json(record, path).to_json() for record in ledger]


def pointed(out: Path, pointer: str) -> str | None:
    """Return the folder that the file ``out / pointer`` names, relative to ``out``; None without.

    The name is a plain one: a stranger's file points nowhere outside.
    """
    record = read_json(out / pointer)
    if record is None:
        return None
    with reading(out / pointer):
        return f"{pointer.rpartition('/')[0]}/{plain_name(record['folder'])}"


def comparison_source(out: Path) -> str | None:
    """Return where the current study's comparison lies, relative to ``out``."""
    folder = pointed(out, "bert/current.json")
    return None if folder is None else f"{folder}/comparison.json"


def read_comparison(out: Path) -> dict[str, Any] | None:
    """Return the current study's comparison, None when there is none."""
    source = comparison_source(out)
    comparison: dict[str, Any] | None = None if source is None else read_json(out / source)
    if comparison is not None:
        with reading(out / str(source)):
            if comparison["reference"] not in comparison["arms"]:
                raise KeyError(comparison["reference"])
    return comparison


@dataclass(frozen=True)
class Table:
    """One finished or partly finished table of the paper."""

    table: str
    """Name of the verb that made it."""
    path: Path
    """Tables in one folder share their runs."""
    source: str
    """The path as captions show it, relative to the results or the repository."""
    data: dict[str, Any]
    study: str = ""
    """Name of the study on record, "" for the results folder's own."""

    @property
    def name(self) -> str:
        """Name of its CSV files."""
        return f"study-{self.study}-{self.table}" if self.study else self.table

    @property
    def origin(self) -> str:
        """What evidence says about where it comes from."""
        return f", on record (study {self.study})" if self.study else ""

    def figure(self, part: str = "") -> str:
        """Return the name of one of its figures, part "" being the table itself."""
        first = f"study_{self.study}_{self.table}" if self.study else f"bert_{self.table}"
        return f"{first}_{part}" if part else first

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """Lines of the curves' file, [] when there is none."""
        return read_rows(self.curves_path)

    @property
    def curves_path(self) -> Path:
        """Where the curves of its runs lie, one line a run."""
        return self.path.with_name(f"{self.table}-curves.jsonl")


def own_tables(out: Path) -> list[Table]:
    """Return the newest of every table in a results folder, those with an arm to compare."""
    return _own(out, "bert/tables", TABLES)


def own_languages(out: Path) -> list[Table]:
    """Return the newest table of every language in a results folder, as :func:`own_tables`."""
    return _own(out, "bert/languages", LANGUAGES)


def own_rivals(out: Path) -> list[Table]:
    """Return the newest comparison of all methods on every language and on text."""
    return _own(out, "bert/rivals", (*RIVALS, ON_TEXT))


def _own(out: Path, pointers: str, names: Sequence[str]) -> list[Table]:
    found = []
    for table in names:
        folder = pointed(out, f"{pointers}/{table}.json")
        if folder is not None:
            source = f"{folder}/{table}.json"
            found += _table(table, out / source, source)
    return found


def recorded_tables(studies: Path | None) -> list[Table]:
    """Return the tables of every study on record, [] when there are none."""
    return _recorded(studies, TABLES)


def recorded_languages(studies: Path | None) -> list[Table]:
    """Return the languages' tables of every study on record, [] when there are none."""
    return _recorded(studies, LANGUAGES)


def recorded_rivals(studies: Path | None) -> list[Table]:
    """Return the comparisons of all methods of every study on record, [] when there are none."""
    return _recorded(studies, (*RIVALS, ON_TEXT))


def _recorded(studies: Path | None, names: Sequence[str]) -> list[Table]:
    if studies is None or not studies.is_dir():
        return []
    return [
        result
        for folder in sorted(path for path in studies.iterdir() if path.is_dir())
        for table in names
        for result in _table(
            table,
            folder / f"{table}.json",
            f"records/studies/{folder.name}/{table}.json",
            folder.name,
        )
    ]


def _table(table: str, path: Path, source: str, study: str = "") -> list[Table]:
    data = read_json(path)
    if data is None:
        return []
    with reading(path):
        comparable = any("difference" in arm for arm in data["arms"].values())
        known = all(arm in data["arms"] for arm in data["order"])
        if not known or data["reference"] not in data["arms"]:
            raise KeyError("an arm of the order or the reference")
    return [Table(table, path, source, data, study)] if comparable else []


def find_tables(out: Path, studies: Path | None, names: Sequence[str], *arms: str) -> list[Table]:
    """Return the named tables in which all ``arms`` have been compared, best source first.

    A results folder's own come before those on record; within each, as ``names`` has them. Tables
    of causal models are not among them: the claims that these judge are of masked ones.
    """
    return [
        found
        for tables in (own_tables(out), recorded_tables(studies))
        for name in names
        for found in tables
        if found.table == name
        and found.data["study"].get("objective", "masked") == "masked"
        and all("difference" in found.data["arms"].get(arm, {}) for arm in arms)
    ]


@dataclass(frozen=True)
class Scores:
    """Fine-tuned scores of one table's arms."""

    path: Path
    source: str
    """The path as captions show it."""
    data: dict[str, Any]
    table: str = ""
    """Name of the verb, "" for the scores on record: their data name it."""

    @property
    def name(self) -> str:
        """Name of its figure; its CSV file has the same with hyphens."""
        return f"bert_{self.table}_finetune" if self.table else "study_finetune"

    @property
    def origin(self) -> str:
        """What evidence says about where they come from."""
        return "" if self.table else ", on record"


def own_scores(out: Path) -> list[Scores]:
    """Return the newest fine-tuned scores of every table in a results folder."""
    found = []
    for table in TABLES:
        folder = pointed(out, f"bert/finetune/{table}.json")
        if folder is not None:
            source = f"{folder}/{table}.json"
            found += _scores(out / source, source, table)
    return found


def recorded_scores(studies: Path | None) -> list[Scores]:
    """Return the scores on record, in ``finetune`` beside the studies on record."""
    if studies is None:
        return []
    return _scores(studies.parent / "finetune" / "scores.json", "records/finetune/scores.json")


def _scores(path: Path, source: str, table: str = "") -> list[Scores]:
    data = read_json(path)
    if data is None:
        return []
    with reading(path):
        for task in data["task_order"]:
            if data["reference"] not in data["tasks"][task]["arms"]:
                raise KeyError(f"{data['reference']} of {task}")
    return [Scores(path, source, data, table)]


def missing_records(records: Path) -> str:
    """Say in a line which records are not there, and what that changes; "" when all are."""
    missing = [pattern for pattern in ON_RECORD if not any(records.glob(pattern))]
    if not missing:
        return ""
    return (
        f"{records}: has no {', no '.join(missing)}: what rests on longer runs is left out or says "
        '"not run"; the folder records/ of the source belongs beside paper_repro.py'
    )
