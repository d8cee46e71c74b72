"""Plain result files that a crash cannot leave half written.

A file is either the old one or the new one: contents go to a temporary name in the same folder,
are flushed to the disk, and take the final name in one step. Line files (``*.jsonl``) grow by
whole lines; a torn last line, left by a killed process, is ignored when they are read. An OSError
names the file, whichever call it came from: a full disk is usually met by one that knows no name.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

Json = dict[str, Any]

# A file's name that is not UTF-8 has lone surrogates, also in a recorded command line: written as
# \udce9 they are JSON's own escape of them, and are read back as they were.
_ESCAPED = "backslashreplace"


@contextmanager
def atomic_open(path: Path, place: Callable[[str, Path], None] = os.replace) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that replaces it only if the block succeeds.

    The bytes reach the disk before the name changes, so a crash leaves the old file or the new
    one, never half of one. An error in the block removes the temporary file and passes on.
    ``place(temporary name, path)`` gives it its name.
    """
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            with os.fdopen(handle, "w+b") as stream:
                yield cast(BinaryIO, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(name, 0o644)  # mkstemp's 0600 would hide shared data from other users
            place(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError of the block the name of the file it is about, where it has none."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def flush(path: Path) -> None:
    """Have the system put a written file, or a folder's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that writers killed in ``folder`` left behind.

    Only for a folder that nobody else writes to at the time.
    """
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) in one step; OSError leaves the old file."""
    with atomic_open(path) as stream:
        stream.write(text.encode("utf-8", _ESCAPED))


def to_json(value: Any) -> str:
    """Render ``value`` as JSON with sorted keys; NaN and infinity are refused, never written."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by the JSON form of ``value`` in one step (see :func:`write_text`)."""
    write_text(path, to_json(value))


def write_first(path: Path, value: Any) -> None:
    """Write the JSON form of ``value`` to ``path`` in one step, unless a file is there: it stays.

    Of several processes that do so at once one is first, and all find its file there afterwards.
    """
    with atomic_open(path, _unless_there) as stream:
        stream.write(to_json(value).encode("utf-8", _ESCAPED))


_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def _unless_there(name: str, path: Path) -> None:
    """Give ``path`` to the file ``name``; a hard link does so only where no file is."""
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not path.exists():  # no hard links here, so another may come between these two lines
            os.replace(name, path)
            return
    os.unlink(name)


def read_json(path: Path) -> Any:
    """Parse one JSON file. Raises ValueError with the path when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # a hundred thousand brackets exhaust the parser
        raise ValueError(f"{path}: not a JSON file ({error})") from None


def plain_name(value: Any) -> str:
    """Return a file or folder name read from a file, if it is one: no path, no "..".

    Raises ValueError for anything else, so that a stranger's file points nowhere outside.
    """
    plain = isinstance(value, str) and value not in ("", "..") and "\0" not in value
    if not plain or Path(value).name != value:
        raise ValueError(f"{str(value)[:100]!r}: not the name of a file beside this one")
    return value


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append ``record`` to a line file as one JSON line, handed to the system in one write."""
    line = json.dumps(record, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    with naming(path), path.open("ab") as stream:
        stream.write(line.encode("utf-8", _ESCAPED))


def read_lines(path: Path) -> list[Json]:
    """Read the whole records of a line file ([] when it is absent); a torn last line is dropped.

    Raises ValueError with path and line for anything else that is no JSON object.
    """
    if not path.exists():
        return []
    *whole, _torn = path.read_bytes().split(b"\n")
    return [_record(path, number, line) for number, line in enumerate(whole, 1) if line]


def _record(path: Path, number: int, line: bytes) -> Json:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: line {number} is not JSON ({error})") from None
    if not isinstance(record, dict):
        raise ValueError(f"{path}: line {number} is not a JSON object")
    return record


def write_lines(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Replace a line file by ``records`` in one step."""
    rows = (json.dumps(r, sort_keys=True, allow_nan=False, ensure_ascii=False) for r in records)
    write_text(path, "".join(row + "\n" for row in rows))


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, streamed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(value: Any) -> str:
    """Return the sha256 of the canonical JSON form of ``value``."""
    return hashlib.sha256(to_json(value).encode("utf-8", _ESCAPED)).hexdigest()
