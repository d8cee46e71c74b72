"""Fill README.md and docs/theory.md from committed records: ``python -m figures.pages.readme``.

A block is what stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``; NAME is
comparison, claims, times, corpus, or claim:ID for one claim's verdict and evidence; stores (of
docs/data.md, with ``--records records/data --pages docs/data.md``); study:NAME/TABLE and
theory:NAME/TABLE (of docs/bert.md, with ``--records records/studies --pages docs/bert.md``);
scores and squad (of docs/finetune.md, with ``--records records/finetune --pages
docs/finetune.md``); memory, communication and throughput-... (of docs/speed.md, with ``--records
records --pages docs/speed.md``). Nothing on these pages that is a number has to be typed. ``--from
results`` first takes the records, and the pictures that the pages show, out of a results folder.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evidence.claim import in_words
from evidence.results import comparison_source, read_json, reading
from figures.base.tables import (
    CLAIM_HEADINGS,
    COMPARISON_HEADINGS,
    comparison_cells,
    comparison_rows,
    markdown,
    plain_markdown,
)
from figures.bert import finetuned_arms as bert_finetune
from figures.pages import study_pages, throughput
from swe.base.files import atomic_open, write_text

BLOCK = re.compile(r"<!-- begin: (\S+) -->.*?<!-- end: (\S+) -->", re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(((?:docs/)?images/[\w.]+)\)")
MARK = re.compile(r"<!-- (?:begin|end): \S+ -->")


def _comparison(record: dict[str, Any]) -> str:
    return markdown(COMPARISON_HEADINGS, comparison_cells(comparison_rows(record)))


def _claims(record: list[dict[str, str]]) -> str:
    columns = ("id", "statement", "verdict", "rigour")
    rows = [claim | {"verdict": in_words(claim["verdict"], claim["qualifier"])} for claim in record]
    return markdown({name: CLAIM_HEADINGS[name] for name in columns}, rows)


def _claim(record: list[dict[str, str]], identity: str) -> str:
    found = {claim["id"]: claim for claim in record}
    if identity not in found:
        raise ValueError(f"claim {identity!r}: must be one of {', '.join(found)}")
    claim = found[identity]
    verdict = plain_markdown(in_words(claim["verdict"], claim["qualifier"]))
    return f"> **{identity}: {verdict}.** {plain_markdown(claim['evidence'])}"


def _times(record: dict[str, Any]) -> str:
    rows = [{"step": step, "seconds": f"{value:.0f}"} for step, value in record["steps"].items()]
    rows.append({"step": "all", "seconds": f"{record['total']:.0f}"})
    table = markdown({"step": "Step", "seconds": "Seconds"}, rows)
    where = (
        f"Measured on {record['device']} with {record['cores']} processes of one thread, commit "
        f"{record['commit'][:10]}, `{record['command']}`."
    )
    return f"{table}\n\n{where}"


def _corpus(record: dict[str, Any]) -> str:
    headings = {"name": "Package", "version": "Version", "licence": "Licence", "size": "MB"}
    rows = [
        {
            name: str(entry[name]).removeprefix("License :: OSI Approved :: ")
            for name in ("name", "version", "licence")
        }
        | {"size": f"{entry['bytes'] / 1e6:.1f}"}
        for entry in record["packages"]
    ]
    total = (
        f"{record['bytes'] / 1e6:.1f} MB of text, {record['words'] / 1e6:.2f} M words, "
        f"{record['documents']} documents (one a module), {record['paragraphs']} paragraphs, no "
        "paragraph twice."
    )
    return f"{markdown(headings, rows)}\n\n{total}"


def _stores(record: dict[str, Any]) -> str:
    headings = {
        "text": "Text (MB)",
        "length": "Tokens in a row",
        "documents": "Documents",
        "words": "Words",
        "tokens": "Tokens",
        "rows": "Rows",
        "jobs": "Jobs",
        "seconds": "Seconds",
        "processor": "Processor seconds",
        "memory": "Peak memory of all processes",
    }
    rows, notes = [], []
    for build in record["builds"]:
        manifest, memory = build["manifest"], build["peak_memory_bytes"]
        parts = manifest["parts"].values()
        total = {
            name: sum(part[name] for part in parts)
            for name in ("documents", "words", "tokens", "rows")
        }
        megabytes = f"{build['text_bytes'] / 1e6:.0f}"
        if "note" in build:
            notes.append(f" {megabytes} MB: {build['note']}")
        rows.append(
            {
                "text": megabytes,
                "length": str(manifest["length"]),
                "documents": f"{total['documents']}, {manifest['documents']}",
                "words": f"{total['words'] / 1e6:.1f} M",
                "tokens": f"{total['tokens'] / 1e6:.1f} M",
                "rows": str(total["rows"]),
                "jobs": str(build["jobs"]),
                "seconds": f"{build['seconds']:.0f}",
                "processor": f"{build['processor_seconds']:.0f}",
                "memory": f"{memory['sum'] / 2**20:.0f} MiB ({memory['processes']})",
            }
        )
    where = sorted({build["host"]["device"] for build in record["builds"]})
    return f"{markdown(headings, rows)}\n\nMeasured on {'; '.join(where)}.{''.join(notes)}"


def _memory(record: dict[str, Any]) -> str:
    headings = {"what": "Bytes (GB)", "tied": "Tied", "untied": "Untied"}
    cases = record["cases"]

    def row(what: str, value: Callable[[dict[str, Any]], float]) -> dict[str, str]:
        return {"what": what} | {name: f"{value(cases[name]) / 1e9:.2f}" for name in cases}

    def part_row(part: str) -> dict[str, str]:
        return row(part, lambda case: case["bytes"][part])

    rows = [
        *map(part_row, ("parameters", "gradients", "optimizer")),
        row("sum, counted", lambda case: case["total_bytes"]),
        row("growth of the process, measured", lambda case: case["measured_growth_bytes"]),
    ]
    return f"{markdown(headings, rows)}\n\n{record['what'].capitalize()}. {_where(record)}"


def _communication(record: dict[str, Any]) -> str:
    headings = {
        "update": "Update",
        "layout": "Layout",
        "bytes": "MB averaged",
        "buckets": "Buckets",
    }
    rows = [
        {
            "update": str(u["update"]),
            "layout": u["layout"],
            "buckets": str(u["buckets"]),
            "bytes": f"{u['all_reduced_bytes'] / 1e6:.1f}",
        }
        for u in record["updates"]
    ]
    return (
        f"{markdown(headings, rows)}\n\nBERT-{record['size']}, {record['ranks']} ranks, "
        f"{record['what']}. {_where(record)}"
    )


def _squad(record: dict[str, Any]) -> str:
    chosen, recipe = record["selected"], record["recipe"]
    [row] = [
        row
        for row in record["rows"]
        if row["rate"] == chosen["rate"] and row["seed"] == chosen["submitted_seed"]
    ]
    headings = {
        "f1": "F1",
        "exact": "Exact match",
        "flag": "Degenerate",
        "train": "Windows learnt",
        "steps": "Updates",
        "dev": "Questions scored",
    }
    cells = {
        "f1": f"{row['scores']['f1']:.2f}",
        "exact": f"{row['scores']['exact_match']:.2f}",
        "flag": row["reason"] or "no",
        "train": str(row["rows"]),
        "steps": str(row["steps"]),
        "dev": str(record["data"]["dev"]["questions"]),
    }
    shape = record["model"]
    return (
        f"{markdown(headings, [cells])}\n\nA model of {shape['layers']} layers of width "
        f"{shape['hidden']}, {recipe['epochs']:g} epochs, windows of {recipe['max_length']} "
        f"tokens, peak rate {chosen['rate']:g}, n = {chosen['n']}. "
        f"`{record['environment']['command']}`. {_where(record)}"
    )


def _where(record: dict[str, Any]) -> str:
    here = record["environment"]
    return f"{here['device']}, torch {here['torch']}, commit {here['commit'][:10]}."


BLOCKS: dict[str, Callable[[Any], str]] = {
    "comparison": _comparison,
    "claims": _claims,
    "times": _times,
    "corpus": _corpus,
    "stores": _stores,
    "memory": _memory,
    "communication": _communication,
    "scores": bert_finetune.page,
    "squad": _squad,
}
STUDIES = {"study": study_pages.study_table, "theory": study_pages.theory_table}
"""Blocks that take a table of a study on record."""
SPEED = "throughput-"
"""Blocks of this beginning take a throughput record."""
MAY_LACK = ("scores", "squad")
"""Blocks that, like those of SPEED, say "not run" where their record is not there."""


def render(text: str, records: Path) -> str:
    """Return ``text`` with every block filled from ``records/<NAME>.json``.

    Raises ValueError for an unknown or unclosed block and for a missing or malformed record.
    """

    def fill(match: re.Match[str]) -> str:
        name, closed = match.groups()
        kind, _, identity = name.partition(":")
        speed, study = name.startswith(SPEED), kind in STUDIES and bool(identity)
        claim = kind == "claim" and bool(identity)
        if not (claim or study or speed or name in BLOCKS):
            raise ValueError(
                f"block {name!r}: must be one of {', '.join(BLOCKS)}, {SPEED}NAME, claim:ID, "
                "study:NAME/TABLE, theory:NAME/TABLE"
            )
        if closed != name:
            raise ValueError(f"block {name!r}: closed by {closed!r}")
        path = records / ("claims.json" if claim else f"{identity if study else name}.json")
        record = read_json(path)
        if record is None and not speed and name not in MAY_LACK:
            raise ValueError(f"block {name!r}: {path} is missing")
        with reading(path):
            if record is None:
                content = "not run"
            elif speed:
                content = throughput.table(record)
            elif study:
                content = STUDIES[kind](record)
            else:
                content = _claim(record, identity) if claim else BLOCKS[name](record)
        return f"<!-- begin: {name} -->\n\n{content}\n\n<!-- end: {name} -->"

    stray = MARK.search(BLOCK.sub("", text))
    if stray:
        raise ValueError(f"{stray.group()}: has no partner")
    return BLOCK.sub(fill, text)


def take(results: Path, records: Path, pages: Sequence[Path]) -> None:
    """Copy the records and the pages' pictures from a results folder of ``paper_repro.py``.

    Raises ValueError naming the file that is missing.
    """
    comparison = comparison_source(results)
    pairs = {
        records / "claims.json": results / "claims.json",
        records / "times.json": results / "times.json",
        records / "corpus.json": results / "data" / "docs" / "documentation.json",
        records / "comparison.json": results / (comparison or "bert/current.json"),
    }
    for page in pages:
        for picture in PICTURE.findall(page.read_text(encoding="utf-8")):
            pairs[page.parent / picture] = results / "figures" / Path(picture).name
    for target, source in pairs.items():
        if not source.exists():
            raise ValueError(f"{source} is missing")
        with atomic_open(target) as stream:
            stream.write(source.read_bytes())


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite the pages in place."""
    parser = argparse.ArgumentParser(prog="python -m figures.pages.readme", description=__doc__)
    parser.add_argument("--records", type=Path, default=Path("records/default"))
    parser.add_argument(
        "--pages", type=Path, nargs="+", default=[Path("README.md"), Path("docs/theory.md")]
    )
    parser.add_argument("--from", dest="results", type=Path, help="results folder to take from")
    given = parser.parse_args(arguments)
    try:
        if given.results is not None:
            take(given.results, given.records, given.pages)
        texts = [render(page.read_text(encoding="utf-8"), given.records) for page in given.pages]
    except (ValueError, OSError) as error:
        parser.exit(1, f"figures.pages.readme: {error}\n")
    for page, text in zip(given.pages, texts, strict=True):
        write_text(page, text)


if __name__ == "__main__":
    main()
