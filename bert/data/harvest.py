"""The default corpus: the English that the installed scientific packages bring along.

A reader without any text can still pre-train: numpy, scipy, torch, pandas and matplotlib ship some
13 MB of prose in docstrings and comment blocks. They are read as source, never imported: importing
costs seconds, runs code, and sees only what the platform can load. ``ast`` beats a scan for triple
quotes (raw strings, escapes, quotes in comments come out right) and still parses some 6 MB/s. Any
string constant is a candidate, docstring or not, because numpy and torch attach much of theirs by
calls (``add_newdoc(..., "...")``); `bert.data.prose` asks for prose, not for a place.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bert.data.prose import paragraphs
from bert.data.text import DataError, file_sha256
from swe.base.errors import WorkerDiedError
from swe.base.files import atomic_open
from swe.base.workers import Workers

PACKAGES = ("numpy", "scipy", "torch", "pandas", "matplotlib")
FORMAT = 1
TEXT_NAME, MANIFEST_NAME = "documentation.txt", "documentation.json"
# Tests hold code in strings; the other folders are copies of other projects under other licences.
SKIPPED_FOLDERS = frozenset(
    {"tests", "test", "testing", "_vendor", "vendored", "extern", "externals", "__pycache__"}
    | {"array_api_compat", "array_api_extra", "cobyqa", "_uarray"}
)
MIN_LITERAL = 30  # characters; shorter strings hold no paragraph
Progress = Callable[[int, int], None]

_NOT_LETTERS = re.compile(r"[^a-z]+")
_COMMENT_RUN = re.compile(rb"(?m)(?:^[ \t]*#+(?: .*)?\n){2,}")


def harvest(
    folder: str | Path,
    *,
    packages: Sequence[str] = PACKAGES,
    jobs: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Write the documentation corpus to `folder` and return its text file; reuse it if current.

    One document per module file, one paragraph per line, blank line between documents: the format
    `bert.data.text.documents` reads. Paragraphs that differ only in case, digits or punctuation
    appear once in the whole corpus, so a split by documents shares none of them. A manifest beside
    the text names packages, versions, licences, counts and the sha256. The result depends on the
    packages' sources alone, not on `jobs`. `progress(done, total)` counts module files.

    Raises:
        DataError: a package is not installed, or nothing like prose was found.
    """
    folder = Path(folder)
    text_path, manifest_path = folder / TEXT_NAME, folder / MANIFEST_NAME
    described = [_describe(package) for package in packages]
    if _is_current(text_path, manifest_path, described):
        return text_path
    sources = [
        (package, file)
        for package in packages
        for file in module_files(package_folder(package), SKIPPED_FOLDERS)
    ]
    seen: set[bytes] = set()
    counts = {"documents": 0, "paragraphs": 0, "words": 0}
    per_package = {package: {"files": 0, "documents": 0, "bytes": 0} for package in packages}
    digest = hashlib.sha256()
    with atomic_open(text_path) as out:
        extracted = _extract_all([file for _, file in sources], jobs)
        for done, ((package, _), found) in enumerate(zip(sources, extracted, strict=True), 1):
            per_package[package]["files"] += 1
            fresh = [paragraph for paragraph in found if _is_new(paragraph, seen)]
            if fresh:
                document = ("\n".join(fresh) + "\n\n").encode()
                out.write(document)
                digest.update(document)
                counts["documents"] += 1
                counts["paragraphs"] += len(fresh)
                counts["words"] += sum(len(paragraph.split()) for paragraph in fresh)
                per_package[package]["documents"] += 1
                per_package[package]["bytes"] += len(document)
            if progress is not None:
                progress(done, len(sources))
        if not counts["documents"]:
            raise DataError(f"{text_path}: no documentation found in {', '.join(packages)}")
        size = out.tell()
    manifest = {
        "format": FORMAT,
        "packages": [entry | per_package[entry["name"]] for entry in described],
        "files": len(sources),
        **counts,
        "bytes": size,
        "sha256": digest.hexdigest(),
    }
    with atomic_open(manifest_path) as out:  # last: a text without its manifest is rebuilt
        out.write(json.dumps(manifest, indent=1).encode() + b"\n")
    return text_path


def package_folder(package: str) -> Path:
    """Return the folder of an installed package without importing it.

    Raises:
        DataError: the package is not installed, or is no folder of modules.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{package}: the package is not installed, so it cannot be harvested")
    return Path(spec.submodule_search_locations[0])


def module_files(root: Path, skipped: frozenset[str] = SKIPPED_FOLDERS) -> list[Path]:
    """List the ``.py`` files under `root`, sorted by relative path, without the skipped folders."""
    inside = ((file.relative_to(root), file) for file in root.rglob("*.py"))
    kept = [(name.as_posix(), file) for name, file in inside if not skipped & set(name.parts[:-1])]
    return [file for _, file in sorted(kept)]


def paragraphs_of_source(source: bytes) -> list[str]:
    """Return the prose of a module's string constants and comment blocks, in source order.

    Source that this Python cannot parse (templates, newer syntax) gives an empty list: the corpus
    is a convenience, and one odd file in thousands is no reason to stop.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # invalid escapes in others' code
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    pieces = [
        (node.lineno, node.col_offset, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and len(node.value) >= MIN_LITERAL
        and " " in node.value
    ]
    for run in _COMMENT_RUN.finditer(source):
        lines = run.group().decode("utf-8", "ignore").splitlines()
        text = "\n".join(line.strip().lstrip("#") for line in lines)
        pieces.append((source.count(b"\n", 0, run.start()) + 1, 0, text))
    return [text for *_, piece in sorted(pieces) for text in paragraphs(piece)]


def _is_new(paragraph: str, seen: set[bytes]) -> bool:
    """Record the paragraph's letters; 16 bytes of hash keep the memory small and collisions out."""
    letters = _NOT_LETTERS.sub("", paragraph.lower())
    key = hashlib.blake2b(letters.encode(), digest_size=16).digest()
    if key in seen:
        return False
    seen.add(key)
    return True


def _extract(file: Path) -> list[str]:
    return paragraphs_of_source(file.read_bytes())


def _extract_all(files: list[Path], jobs: int) -> Iterator[list[str]]:
    """Map `_extract` in order."""
    if jobs <= 1:
        yield from map(_extract, files)
        return
    batches = [(files[begin : begin + 16], None) for begin in range(0, len(files), 16)]
    with Workers[list[Path], list[list[str]]](jobs, _start_worker) as workers:
        try:
            for extracted, _ in workers.in_order(batches):
                yield from extracted
        except WorkerDiedError:
            raise DataError(
                "a process that reads the packages' files died (out of memory?)"
            ) from None


def _start_worker() -> Callable[[list[Path]], list[list[str]]]:
    return lambda files: [_extract(file) for file in files]


def _describe(package: str) -> dict[str, Any]:
    package_folder(package)
    try:
        metadata = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return {"name": package, "version": None, "licence": None}
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License")]
    # "License" may hold the whole text of a licence, hence last, and only its first line.
    first_line = (metadata.get_all("License") or [""])[0].strip().partition("\n")[0]
    expression = (metadata.get_all("License-Expression") or [""])[0]
    licence = expression or "; ".join(classifiers) or first_line or None
    return {"name": package, "version": metadata["Version"], "licence": licence}


def _is_current(text: Path, manifest: Path, described: list[dict[str, Any]]) -> bool:
    try:
        recorded = json.loads(manifest.read_text("utf-8"))
        same = (
            recorded["format"] == FORMAT
            and [
                {key: entry[key] for key in ("name", "version", "licence")}
                for entry in recorded["packages"]
            ]
            == described
        )
        return bool(same and file_sha256(text).hex() == recorded["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
