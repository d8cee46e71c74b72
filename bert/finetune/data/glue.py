"""Readers of GLUE's tab-separated files: nothing is quoted, nothing is guessed.

The files are plain: fields between tabs, rows between line feeds, and a quotation mark is a
character like any other (MRPC has rows with an odd number of them, which swallows the rows after
them in a reader that honours quotes). Any of them may be packed with xz or gzip.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
from dataclasses import dataclass
from pathlib import Path

from bert.data.looks import require_fetched
from bert.data.reading import Errors, decoded
from bert.data.text import DataError
from bert.finetune.data.tasks import Columns, GlueTask, Part

_PACKED = {"": None, ".xz": lzma.decompress, ".gz": gzip.decompress}
MRPC_RAW = ("msr_paraphrase_train.txt", "msr_paraphrase_test.txt")
MRPC_DEV_IDS = "dev_ids.tsv"


@dataclass(frozen=True)
class Example:
    """One row. ``label``: class number, score from 0 to 5 (STS-B), or None in a test file."""

    index: int
    first: str
    second: str | None
    label: float | None


@dataclass(frozen=True)
class Examples:
    """A part of a task: rows in file order, and where they came from.

    ``torn``: lines that were passed over; ``empty``: lines that were kept with an empty text.
    """

    path: Path
    sha256: str
    rows: list[Example]
    torn: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()

    @property
    def note(self) -> str:
        """Say what was passed over and what is odd, in one line; "" where nothing is."""
        told = [
            f"{len(lines)} {what} (line {lines[0]}{', ...' * (len(lines) > 1)})"
            for what, lines in (
                ("torn rows passed over", self.torn),
                ("rows with an empty text kept", self.empty),
            )
            if lines
        ]
        return f"{self.path}: {', '.join(told)}" if told else ""


def find_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of ``names`` that lies in ``folder``, plain or packed; None without one."""
    candidates = (folder / f"{name}{suffix}" for name in names for suffix in _PACKED)
    return next((path for path in candidates if path.is_file()), None)


def read_bytes(path: Path) -> bytes:
    """Return a file's content, unpacked. Raises DataError when it cannot be read."""
    require_fetched(path)
    try:
        raw = path.read_bytes()
        unpack = _PACKED.get(path.suffix)
        return unpack(raw) if unpack else raw
    except (OSError, EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def task_folder(task: GlueTask, data: Path) -> Path:
    """Return the task's folder, ``data`` itself or the folder of the official name below it.

    Raises DataError when neither holds the development file, naming what was looked for.
    """
    names = task.parts["dev"].files
    for folder in (data / task.folder, data):
        raw = task.name == "mrpc" and find_file(folder, MRPC_RAW[:1]) is not None
        if raw or find_file(folder, names) is not None:
            return folder
    raise DataError(f"{data}: neither it nor {task.folder}/ in it holds {names[0]}")


def read_part(
    task: GlueTask, folder: Path, part: str, errors: Errors = "strict"
) -> Examples | None:
    """Read one part of a task; None when its file is not there.

    Raises DataError with file and line for a row with the wrong number of columns, an unknown
    label, an empty sentence (more of them than the task allows), text that is not UTF-8 (unless
    ``errors`` allows it, see bert.data.reading); and with the file for a header that lacks a column
    or a file without rows.
    """
    spec = task.parts[part]
    path = find_file(folder, spec.files)
    if path is None:
        return _mrpc_from_raw(task, folder, part, errors) if task.name == "mrpc" else None
    lines = _lines(path, errors)
    return _examples(task, spec, path, lines, _digest(lines))


def _digest(lines: list[str]) -> str:
    """Digest of the text itself: packing a file does not make it another data set."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _lines(path: Path, errors: Errors) -> list[str]:
    raw = read_bytes(path)
    try:
        text = decoded(raw, errors)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line}: not UTF-8 text; --errors latin-1 reads such bytes as Latin-1, "
            "--errors replace drops them"
        ) from None
    # Not splitlines(): a sentence may hold other Unicode line ends.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return lines


def _examples(task: GlueTask, spec: Part, path: Path, lines: list[str], digest: str) -> Examples:
    columns = spec.columns
    header = None if columns.count is not None else lines[0].split("\t") if lines else []
    place = _places(columns, header, path)
    width = len(header) if header is not None else int(columns.count or 0)
    rows: list[Example] = []
    torn: list[int] = []
    empty: list[int] = []
    for number, line in enumerate(lines, 1):
        if number == 1 and header is not None:
            continue
        fields = line.split("\t")
        if len(fields) < width and spec.torn_rows:
            torn.append(number)
            continue
        if len(fields) != width:
            raise DataError(f"{path}: line {number}: {len(fields)} columns, {width} expected")
        try:
            rows.append(_example(task, place, fields, len(rows)))
            if "" in (rows[-1].first, rows[-1].second):
                empty.append(number)
                if not spec.empty_texts:
                    raise DataError("an empty sentence")
        except DataError as error:
            raise DataError(f"{path}: line {number}: {error}") from None
    if not rows:
        raise DataError(f"{path}: holds no example")
    if len(torn) > max(1.0, spec.torn_rows * len(lines)):
        raise DataError(f"{path}: line {torn[0]}: too few columns, and so in {len(torn)} rows")
    if len(empty) > max(2.0, spec.empty_texts * len(lines)):
        raise DataError(f"{path}: line {empty[0]}: an empty sentence, and so in {len(empty)} rows")
    return Examples(path, digest, rows, tuple(torn), tuple(empty))


def _places(columns: Columns, header: list[str] | None, path: Path) -> dict[str, int]:
    """Return the position of each column that is needed."""
    wanted = {
        name: value
        for name in ("first", "second", "label", "index")
        if (value := getattr(columns, name)) is not None
    }
    if header is None:
        return wanted
    for value in wanted.values():
        if header.count(value) != 1:
            raise DataError(
                f"{path}: line 1: the header must have one column {value!r}; it has "
                f"{', '.join(map(repr, header))}"
            )
    return {name: header.index(value) for name, value in wanted.items()}


def _example(task: GlueTask, place: dict[str, int], fields: list[str], count: int) -> Example:
    texts = [fields[place[name]].strip() for name in ("first", "second") if name in place]
    index = count
    if "index" in place:
        word = fields[place["index"]]
        if not word.isascii() or not word.isdecimal():
            raise DataError(f"index {word!r} is not a number")
        index = int(word)
    label = _label(task, fields[place["label"]]) if "label" in place else None
    return Example(index, texts[0], texts[1] if len(texts) > 1 else None, label)


def _label(task: GlueTask, word: str) -> float:
    if task.labels is not None:
        word = task.words.get(word, word)
        if word not in task.labels:
            raise DataError(f"label {word!r}, one of {', '.join(task.labels)} expected")
        return task.labels.index(word)
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 5:
        raise DataError(f"score {word!r}, a number from 0 to 5 expected")
    return value


def _mrpc_from_raw(task: GlueTask, folder: Path, part: str, errors: Errors) -> Examples | None:
    """Read MRPC as Microsoft gives it: one training file, whose dev rows ``dev_ids.tsv`` names.

    The test file keeps its labels there; GLUE's copy hides them, and so does this.
    """
    path = find_file(folder, MRPC_RAW[1:] if part == "test" else MRPC_RAW[:1])
    if path is None:
        return None
    lines = _lines(path, errors)
    spec = task.parts["dev"]
    if part == "test":
        found = _examples(task, spec, path, lines, _digest(lines))
        rows = [Example(row.index, row.first, row.second, None) for row in found.rows]
        return Examples(path, found.sha256, rows)
    ids_file = find_file(folder, (MRPC_DEV_IDS,))
    if ids_file is None:
        raise DataError(f"{folder}: {path.name} needs {MRPC_DEV_IDS}, which names the dev rows")
    dev = {tuple(line.split("\t")) for line in _lines(ids_file, errors)}
    kept = [
        lines[0],
        *(line for line in lines[1:] if (tuple(line.split("\t")[1:3]) in dev) == (part == "dev")),
    ]
    return _examples(task, spec, path, kept, _digest(kept))
