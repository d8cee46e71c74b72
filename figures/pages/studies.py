"""Put finished tables on record: ``python -m figures.pages.studies RESULTS NAME``.

Copies ``<table>.json`` from a results folder, and the curves of the table with the most arms, to
``records/studies/NAME``, from where the report, the claims and the pages of docs take them. Folders
are cut off the paths in recorded commands: where a text lay on one machine says nothing on another,
and is nobody's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evidence.results import LANGUAGES, Table, own_languages, own_rivals, own_tables
from evidence.rivals import ON_TEXT, RIVALS
from figures.bert.table_results import TITLES
from swe.base.files import atomic_open, plain_name, write_json
from swe.base.options import Parser


def without_folders(command: str) -> str:
    """Return a command line with every path cut to its last part."""
    return " ".join(
        word.rstrip("/").rsplit("/", 1)[-1] if "/" in word.rstrip("/") else word
        for word in command.split(" ")
    )


def take(results: Path, name: str, records: Path, tables: Sequence[str] = ()) -> list[Table]:
    """Copy the newest ``tables`` (default: all) of a results folder; returns what was copied.

    Raises ValueError for a table that is not there, when there is none at all, or when they belong
    to several studies: those have curves of their own.
    """
    own = [*own_tables(results), *own_languages(results), *own_rivals(results)]
    found = {result.table: result for result in own}
    missing = [table for table in tables if table not in found]
    if missing or not found:
        raise ValueError(f"{results}: has no table {', '.join(missing) or 'at all'}")
    folder = records / plain_name(name)
    taken = [found[table] for table in tables or found]
    if len({result.path.parent for result in taken}) > 1:
        names = ", ".join(result.table for result in taken)
        raise ValueError(f"{results}: {names} are of several studies: choose one's by --tables")
    # Tables of a study share their runs: one file of curves is enough.
    fullest = max(taken, key=lambda result: len(result.curves))
    for result in taken:
        data = dict(result.data)
        if data.get("environment"):
            where = data["environment"]
            data["environment"] = where | {"command": without_folders(where["command"])}
        write_json(folder / f"{result.table}.json", data)
    with atomic_open(folder / fullest.curves_path.name) as stream:
        stream.write(fullest.curves_path.read_bytes())
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(prog="python -m figures.pages.studies", description=__doc__)
    parser.add_argument("results", type=Path, help="results folder of paper_repro.py")
    parser.add_argument("name", help="of the study, such as 12x64")
    parser.add_argument(
        "--tables", nargs="+", choices=[*TITLES, *LANGUAGES, *RIVALS, ON_TEXT], default=[]
    )
    parser.add_argument("--records", type=Path, default=Path("records/studies"))
    given = parser.parse_args(arguments)
    try:
        taken = take(given.results, given.name, given.records, given.tables)
    except (ValueError, OSError) as error:
        parser.exit(1, f"figures.pages.studies: {error}\n")
    for result in taken:
        finished = "whole" if result.data["complete"] else "not finished"
        print(f"{given.records / given.name / result.table}.json: {finished}")


if __name__ == "__main__":
    main()
