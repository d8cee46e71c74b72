"""Fill README.md and the pages of docs/ from committed records: ``python -m figures.pages.readme``.

A block is what stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``. PAGES says which
folder below ``records/`` fills a page; ``--pages`` picks some, ``--records`` names another folder.
NAME is one of BLOCKS or OF_FOLDERS, claim:ID for one claim's verdict and evidence, throughput-...,
or for a study on record study:, theory:, leaving:, shift:, behind:, language:, rivals:,
rivals-ledger: or reached:NAME/TABLE.
Nothing on these pages that is a number has to be typed. ``--from results`` first takes the records,
and the pictures that the pages show, out of a results folder; it fills the pages of the default
run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.check import figure_data
from evidence.claim import in_words
from evidence.results import (
    LANGUAGES,
    comparison_source,
    own_languages,
    read_json,
    read_rows,
    reading,
)
from figures.base.tables import plain_markdown
from figures.bert import finetuned_arms as bert_finetune
from figures.pages import (
    behind,
    claims_page,
    commands,
    costs,
    factors,
    first_screen,
    foreign,
    foretold,
    hessian_grid,
    language_arms,
    leaving,
    plans,
    plateau,
    precision,
    record_tables,
    rivals,
    shift,
    starts,
    study_pages,
    throughput,
)
from swe.base.files import atomic_open, write_json, write_text
from swe.base.options import Parser

BLOCK = re.compile(r"<!-- begin: (\S+) -->.*?<!-- end: (\S+) -->", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(((?:docs/)?images/[\w.-]+)\)")
MARK = re.compile(r"<!-- (?:begin|end): \S+ -->")


def _claim(record: list[dict[str, str]], identity: str) -> str:
    found = {claim["id"]: claim for claim in record}
    if identity not in found:
        raise ValueError(f"claim {identity!r}: must be one of {', '.join(found)}")
    claim = found[identity]
    verdict = plain_markdown(in_words(claim["verdict"], claim["qualifier"]))
    return f"> **{identity}: {verdict}.** {plain_markdown(claim['evidence'])}"


BLOCKS: dict[str, Callable[[Any], str]] = {
    "comparison": record_tables.comparison,
    "claims": claims_page.table,
    "claims-in-full": claims_page.in_full,
    "times": record_tables.times,
    "corpus": record_tables.corpus,
    "stores": record_tables.stores,
    "memory": record_tables.memory,
    "guards": record_tables.guards,
    "belief_propagation": record_tables.belief_propagation,
    "language_arm": record_tables.language_arm,
    "precision": precision.table,
    "communication": record_tables.communication,
    "transforms": costs.transforms,
    "rivals_cost": costs.samplers,
    "learned_growth": costs.fits,
    "plan": plans.plan,
    "plan-gpu": plans.trained,
    "plan-text": plans.prices,
    "scores": bert_finetune.page,
    "squad": record_tables.squad,
    "forecasts": record_tables.forecasts,
    "forecasts-languages": record_tables.forecasts,
    "stopping": record_tables.stopping,
    "foreign-transformers": foreign.transformers,
    "foreign-vision": foreign.vision,
    "foreign-wrappers": foreign.wrappers,
    "foreign-optimisers": foreign.optimisers,
}
FILES = {"claims-in-full": "claims"} | {
    f"foreign-{part}": "catalogue" for part in ("transformers", "vision", "wrappers", "optimisers")
}
"""Blocks whose record has another name."""
OF_FOLDERS: dict[str, Callable[[Path], str]] = {
    "answer": first_screen.answer,
    "cases": first_screen.cases,
    "commands": commands.table,
    "factors": factors.table,
    "forecasts-studies": foretold.table,
    "hessian-grid": hessian_grid.table,
    "language-arms": language_arms.block,
    "language-cells": language_arms.full_block,
    "ranks": plans.ranks,
    "plateau": plateau.left_table,
    "starts": starts.table,
    "rivals-advice": rivals.advice,
}
"""Blocks that look through the records for themselves."""
PAGES = {
    "README.md": "default",
    "docs/theory.md": "default",
    "docs/claims.md": "default",
    "docs/default_run.md": "default",
    "docs/bert.md": "studies",
    "docs/languages.md": "studies",
    "docs/rivals.md": "studies",
    "docs/data.md": "data",
    "docs/finetune.md": "finetune",
    "docs/forecast.md": "forecast",
    "docs/foreign_models.md": "foreign",
    "docs/speed.md": "",
    "docs/own_model.md": "",
    "docs/many_gpus.md": "",
}
"""Every page with blocks, and the folder below records/ that fills it."""
STUDIES = {
    "study": study_pages.study_table,
    "theory": study_pages.theory_table,
    "leaving": leaving.table,
    "shift": shift.table,
    "behind": behind.table,
    "language": study_pages.language_table,
    "rivals": rivals.table,
    "rivals-ledger": rivals.ledgers,
}
"""Blocks that take a table of a study on record."""
CURVES = {"reached": plateau.table}
"""Blocks that take the curves of a study on record."""
SPEED = "throughput-"
"""Blocks of this beginning take a throughput record."""
MAY_LACK = (
    "scores",
    "squad",
    "precision",
    "plan-text",
    *(f"language:{kind}" for kind in LANGUAGES),
)
"""Blocks that like those of SPEED and of single studies say "not run" without a record."""


def render(text: str, records: Path) -> str:
    """Return ``text`` with every block filled from the folder ``records``.

    Raises ValueError for an unknown or unclosed block and for a missing or malformed record.
    """

    def fill(match: re.Match[str]) -> str:
        name, closed = match.groups()
        kind, _, identity = name.partition(":")
        speed, claim = name.startswith(SPEED), kind == "claim" and bool(identity)
        study = (kind in STUDIES or kind in CURVES) and bool(identity)
        if not (claim or study or speed or name in BLOCKS or name in OF_FOLDERS):
            raise ValueError(
                f"block {name!r}: must be one of {', '.join([*BLOCKS, *OF_FOLDERS])}, "
                f"{SPEED}NAME, claim:ID, "
                + ", ".join(f"{kind}:NAME/TABLE" for kind in (*STUDIES, *CURVES))
            )
        if closed != name:
            raise ValueError(f"block {name!r}: closed by {closed!r}")
        if name in OF_FOLDERS:
            return _filled(name, OF_FOLDERS[name](records))
        file = "claims" if claim else identity if study else FILES.get(name, name)
        path = records / f"{file}.json"
        record = read_json(path)
        if record is None and not (speed or study or name in MAY_LACK):
            raise ValueError(f"block {name!r}: {path} is missing")
        with reading(path):
            if record is None:
                content = "not run"
            elif speed:
                content = throughput.table(record)
            elif kind in CURVES:
                content = CURVES[kind](read_rows(path.with_name(f"{path.stem}-curves.jsonl")))
            elif study:
                content = STUDIES[kind](record)
            else:
                content = _claim(record, identity) if claim else BLOCKS[name](record)
        return _filled(name, content)

    stray = MARK.search(BLOCK.sub("", text))
    if stray:
        raise ValueError(f"{stray.group()}: has no partner")
    return BLOCK.sub(fill, text)


def _filled(name: str, content: str) -> str:
    return f"<!-- begin: {name} -->\n\n{content}\n\n<!-- end: {name} -->"


def take(results: Path, records: Path) -> None:
    """Copy the records from a results folder of ``paper_repro.py``.

    The figures' data go into ``figures.json``, which ``paper_repro.py check`` compares with.
    Raises ValueError naming the file that is missing.
    """
    comparison = comparison_source(results)
    pairs = {
        records / "claims.json": results / "claims.json",
        records / "times.json": results / "times.json",
        records / "corpus.json": results / "data" / "docs" / "documentation.json",
        records / "comparison.json": results / (comparison or "bert/current.json"),
    }
    pairs |= {records / f"{t.table}.json": t.path for t in own_languages(results)}
    _copy(pairs)
    write_json(records / "figures.json", figure_data(results))


def take_pictures(results: Path, texts: Mapping[Path, str]) -> None:
    """Copy the pictures that pages with these texts show. ValueError naming a missing one."""
    _copy(
        {
            page.parent / picture: results / "figures" / Path(picture).name
            for page, text in texts.items()
            for picture in PICTURE.findall(text)
        }
    )


def _copy(pairs: Mapping[Path, Path]) -> None:
    """From values to keys."""
    for target, source in pairs.items():
        if not source.exists():
            raise ValueError(f"{source} is missing")
        with atomic_open(target) as stream:
            stream.write(source.read_bytes())


def _records(page: Path) -> Path:
    folder = PAGES.get(page.as_posix())
    if folder is None:
        raise ValueError(f"{page}: its records are not known: name them by --records FOLDER")
    return Path("records") / folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite the pages in place."""
    parser = Parser(prog="python -m figures.pages.readme", description=__doc__)
    parser.add_argument("--records", type=Path, help="folder of the records (default: by page)")
    parser.add_argument("--pages", type=Path, nargs="+", help="default: all")
    parser.add_argument("--from", dest="results", type=Path, help="results folder to take from")
    given = parser.parse_args(arguments)
    taking = given.results is not None
    names = [name for name in PAGES if not taking or PAGES[name] == "default"]
    pages = given.pages or [Path(name) for name in names]
    try:
        folders = [given.records or _records(page) for page in pages]
        if taking:
            take(given.results, given.records or Path("records/default"))
        texts = {
            page: render(page.read_text(encoding="utf-8"), folder)
            for page, folder in zip(pages, folders, strict=True)
        }
        if taking:
            take_pictures(given.results, texts)
    except (ValueError, OSError) as error:
        parser.exit(1, f"figures.pages.readme: {error}\n")
    for page, text in texts.items():
        write_text(page, text)


if __name__ == "__main__":
    main()
