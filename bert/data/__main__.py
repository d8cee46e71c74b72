"""Build a token store: python -m bert.data TEXT... --vocab vocab.txt --length 128 --out FOLDER.

The same command goes on after Ctrl-C, a kill or a full disk, and does nothing when the store is
there. The store does not depend on --jobs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bert.data.building import BuildProgress
from bert.data.finding import printable
from bert.data.hub import HubSource
from bert.data.options import TEXT_HELP, add_reading, reading_of, valid_of
from bert.data.packing import DOCUMENTS
from bert.data.store import TokenStore, build_store
from bert.data.text import Source, TextFiles
from bert.data.tokenizer_files import open_vocabulary
from bert.data.vocab import Vocabulary, read_vocabulary, train_vocabulary
from evidence.commands import ended, require_apart
from swe.base.config import require_count
from swe.base.environment import host
from swe.base.files import json_digest, read_json, write_json
from swe.base.interrupt import Stop, attentively, polite_stop, until
from swe.base.lock import in_turn
from swe.base.options import Parser
from swe.base.progress import Bars


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; argparse ends the program with status 2 for bad arguments."""
    parser = Parser(
        prog="python -m bert.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("text", nargs="*", type=Path, metavar="TEXT", help=TEXT_HELP)
    add("--dataset", metavar="NAME", help="a Hugging Face data set instead (extra hf-data)")
    add("--config", help="its configuration")
    add("--split", default="train", help="its split (default: train)")
    add("--revision", help="its revision (default: the latest)")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where the store goes")
    vocabulary = parser.add_mutually_exclusive_group(required=True)
    vocabulary.add_argument(
        "--vocab",
        type=Path,
        metavar="FILE",
        help="a BERT vocab.txt, a tokenizer.json or the folder of either",
    )
    vocabulary.add_argument(
        "--vocab-size", type=int, metavar="N", help="train a vocabulary of N pieces on the text"
    )
    add("--length", type=int, default=128, help="tokens in a row (default: 128)")
    add(
        "--documents",
        choices=DOCUMENTS,
        default="across",
        help="across: rows run on from document to document (default); apart: a row holds one "
        "document, whose last row overlaps the one before; shorter documents are left out",
    )
    add(
        "--per-mille",
        type=int,
        default=20,
        metavar="N",
        help="documents in a thousand held out for validation, by hash (default: 20)",
    )
    add_reading(parser)
    add("--jobs", type=int, default=1, help="tokenizing processes (default: 1)")
    add("--replace", action="store_true", help="replace a store made from other inputs")
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="add counts, hashes, time and memory to a JSON file",
    )
    given = parser.parse_args(arguments)
    given.command = printable(" ".join(["python -m bert.data", *arguments]))
    if bool(given.text) == bool(given.dataset):
        parser.error("give either TEXT or --dataset NAME")
    return given


def source_of(given: argparse.Namespace) -> Source:
    """Return the text that the options name. DataError when it cannot be opened."""
    if given.dataset:
        return HubSource(
            given.dataset,
            config=given.config,
            split=given.split,
            revision=given.revision,
            field=given.field,
        )
    return TextFiles(given.text, reading=reading_of(given), vocabulary=given.vocab)


def vocabulary_of(given: argparse.Namespace, source: Source, bars: Bars, stop: Stop) -> Vocabulary:
    """Load the vocabulary, or train it on the text and keep it in the folder for the next call."""
    if given.vocab:
        return open_vocabulary(given.vocab, cased=given.cased)
    require_count("--vocab-size", given.vocab_size, 6)
    described = attentively(lambda left: source.describe(partial(bars, "hash")), stop)
    key = json_digest([described, given.vocab_size] + ["cased"] * given.cased)[:12]
    kept = given.out / f"trained-{key}.txt"
    if not kept.exists():
        texts = _shown_texts(source, bars)

        def trained(left: Stop) -> Vocabulary:
            return train_vocabulary(until(texts, left), given.vocab_size, cased=given.cased)

        attentively(trained, stop).save(kept)
    return read_vocabulary(kept, cased=given.cased)


def _shown_texts(source: Source, bars: Bars) -> Iterator[str]:
    """Yield all text, in pieces that end between words, under a progress bar."""
    for piece in source.pieces():
        bars("vocabulary", piece.read, source.total or 0)
        yield piece.text


def build(given: argparse.Namespace) -> tuple[TokenStore, dict[str, Any]]:
    """Build the store, return it and a record: counts, hashes, seconds, memory, machine."""
    started = time.perf_counter()
    source = source_of(given)
    valid = valid_of(given)
    if isinstance(source, TextFiles) and source.note:
        print(source.note)
    peaks: dict[int, int] = {}
    unit = "examples" if given.dataset else "B"
    with Bars({"hash": "B", "tokens": unit, "vocabulary": unit}) as bars:

        def show(built: BuildProgress) -> None:
            bars("tokens", built.read, built.total or 0, f"{built.tokens / 1e6:.1f} M tokens")

        with polite_stop() as stop, in_turn(given.out, bars.say, stop):
            vocabulary = vocabulary_of(given, source, bars, stop)
            store = build_store(
                source,
                vocabulary,
                given.out,
                length=given.length,
                documents=given.documents,
                per_mille=given.per_mille,
                valid=valid,
                jobs=given.jobs,
                replace=given.replace,
                hashing=partial(bars, "hash"),
                progress=show,
                stop=stop,
                peaks=peaks,
            )
    memory = {
        "processes": len(peaks),
        "sum": sum(peaks.values()),
        "largest": max(peaks.values(), default=0),
    }
    record = {
        "manifest": store.manifest,
        "seconds": round(time.perf_counter() - started, 1),
        "processor_seconds": round(sum(os.times()[:4]), 1),
        "jobs": given.jobs,
        "built": bool(peaks),
        "peak_memory_bytes": memory,
        "host": host() | {"command": given.command},
    }
    return store, record


def describe(store: TokenStore, record: dict[str, Any]) -> str:
    """Return the outcome in a few lines."""
    lines = [
        f"{printable(str(store.folder))}: rows of {store.length} tokens, documents "
        f"{store.manifest['documents']}"
    ]
    for part, entry in store.manifest["parts"].items():
        line = (
            f"{part}: {entry['documents']} documents, {entry['words']} words, {entry['tokens']} "
            f"tokens, {entry['rows']} rows"
        )
        if entry["repeated"] or entry["left_out"]:
            line += f" ({entry['repeated']} tokens repeated, {entry['left_out']} left out)"
        lines.append(line)
        if not entry["rows"]:
            lines.append(f"no {part} rows: pre-training refuses this store (--per-mille, --valid)")
    if dropped := store.manifest.get("dropped", {}).get("documents"):
        lines.append(f"dropped from train: {dropped} documents that stand in the validation text")
    if store.left_out:
        lines.append(store.left_out)
    memory = record["peak_memory_bytes"]
    if record["built"]:
        lines.append(
            f"{record['seconds']} s ({record['processor_seconds']} s of processor time), peak "
            f"memory of all {memory['processes']} processes {memory['sum'] / 2**20:.0f} MiB"
        )
    else:
        lines.append("made from these inputs before, and left as it is")
    return "\n".join(lines)


def keep_record(path: Path, record: dict[str, Any]) -> None:
    """Put a build's record into a file of such records, in place of one of the same command.

    A call that found the store finished leaves the record of the call that built it.
    """
    builds = read_json(path)["builds"] if path.exists() else []
    command = record["host"]["command"]
    same = [build for build in builds if build["host"]["command"] == command]
    if same and not record["built"]:
        return
    others = [build for build in builds if build not in same]
    write_json(path, {"builds": [*others, record]})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = parse(sys.argv[1:] if arguments is None else arguments)

    def work(late: Stop) -> None:
        require_count("--length", given.length, 3)
        require_count("--per-mille", given.per_mille, 0, 1000)
        require_count("--jobs", given.jobs)
        require_apart(given.out, [*given.text, *given.valid])
        store, record = build(given)
        if given.record:
            keep_record(given.record, record)
        print(describe(store, record))

    return ended("bert.data", work)


if __name__ == "__main__":
    sys.exit(main())
