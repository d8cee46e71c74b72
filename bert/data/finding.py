"""Which files of the paths given are read, which are passed over and why; nothing goes uncounted.

In a folder, at any depth: a file whose suffix says what it holds is read, hidden files and folders
(a name that begins with a dot) are not, nor are lists of tokens (see bert.data.looks), token stores
and files of unknown suffix, unless `format` says what these are. JSON, CSV and Parquet files are
read where their first record has the field, for a folder of text has tables about it. A link is
followed once: what it leads to is passed over where it is read already. A file that is named is
read, or refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bert.data.errors import DataError
from bert.data.files import file_pieces
from bert.data.formats import FORMATS, SUFFIXES, Format, format_of, packing
from bert.data.looks import is_vocabulary, looked_into, require_fetched
from bert.data.manifest import is_store
from bert.data.reading import Errors
from bert.data.records import NoFieldError
from swe.base.config import require

PathLike = str | os.PathLike[str]
HIDDEN, VOCABULARY, STORE = "hidden", "vocabulary", "token store"
UNKNOWN, LINKED, BROKEN = "of unknown suffix", "linked, read already", "broken link"
NO_FILE = "no regular file"
_SHOWN = 3
_TABLES = ("json", "csv", "tsv", "parquet")


class Found(NamedTuple):
    """A file that is read: `name` within the folder given, in UTF-8 whatever the file system has.

    `raw_name`: the same as the file system has it, in bytes.
    """

    name: str
    raw_name: bytes
    file: Path
    format: Format


class Finder:
    """The files of some paths, in their order, folders sorted: `found`; and what is passed over.

    `passed_over`: {reason: names}. `vocabulary` is a file that is never text. Raises DataError as
    bert.data.text.source_files, ConfigError for an unknown format.
    """

    def __init__(
        self,
        paths: PathLike | Iterable[PathLike],
        *,
        errors: Errors = "strict",
        field: str = "text",
        format: Format | None = None,  # noqa: A002 - the option's name
        vocabulary: Path | None = None,
    ) -> None:
        require(format in (None, *FORMATS), "format", format, f"one of {', '.join(FORMATS)}")
        listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not listed:
            raise DataError("no text given: the list of paths is empty")
        self._errors, self._field, self._format = errors, field, format
        self._vocabulary = vocabulary
        self.found: list[Found] = []
        self.passed_over: dict[str, list[str]] = {}
        for entry in map(Path, listed):
            if not entry.is_dir():
                self.found.append(self._named(entry))
            elif is_store(entry):
                raise DataError(
                    f"{entry}: is a token store, and no text: it is trained on by itself (--text "
                    f"{entry.name}), without other text and without --valid"
                )
            else:
                self._in_folder(entry)

    def _named(self, file: Path) -> Found:
        if not file.exists():
            raise DataError(f"{file}: no such file or folder")
        if not file.is_file():
            raise DataError(f"{file}: is no regular file; text is read twice: write it to one")
        require_fetched(file)
        form = self._format_of(file)
        if form is None:
            raise DataError(
                f"{file}: unknown suffix, expected one of {', '.join(SUFFIXES)}; or say what it "
                f"holds with --format {', '.join(FORMATS)}"
            )
        if self._is_vocabulary(file, form):
            raise DataError(f"{file}: is a list of tokens, and no text; --vocab takes a vocabulary")
        return _found(file.name, file, form)

    def _in_folder(self, folder: Path) -> None:
        files = _Walk(folder)
        for reason, names in files.passed_over.items():
            self.passed_over.setdefault(reason, []).extend(names)
        before = len(self.found)
        for name, file in sorted(files.found):
            require_fetched(file)
            form = self._format_of(file)
            reason = ""
            if form is None:
                reason = UNKNOWN
            elif self._is_vocabulary(file, form):
                reason = VOCABULARY
            elif form in _TABLES and self._holds_something_else(file, form):
                reason = f"without {self._field!r}"
            if reason or form is None:
                self.passed_over.setdefault(reason, []).append(name)
            else:
                self.found.append(_found(name, file, form))
        if len(self.found) == before:
            told = f"; {self.note}" if self.passed_over else ""
            raise DataError(
                f"{folder}: the folder holds no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file "
                f"with text{told}"
            )

    @property
    def note(self) -> str:
        """What was passed over, in one line; "" where nothing was."""
        if not self.passed_over:
            return ""
        told = []
        for reason, names in self.passed_over.items():
            more = ", ..." if len(names) > _SHOWN else ""
            shown = ", ".join(printable(name) for name in names[:_SHOWN])
            told.append(f"{len(names)} {reason} ({shown}{more})")
        line = f"passed over: {'; '.join(told)}"
        if UNKNOWN in self.passed_over:
            line += "; --format text reads those of unknown suffix"
        if any(reason.startswith("without ") for reason in self.passed_over):
            line += "; --field names another key or column"
        return line

    def _format_of(self, file: Path) -> Format | None:
        known = format_of(file.name) or self._format
        return looked_into(file) if known is None and packing(file.name) else known

    def _is_vocabulary(self, file: Path, form: Format) -> bool:
        given = self._vocabulary
        if given is not None and given.exists() and given.samefile(file):
            return True
        return form == "text" and is_vocabulary(file)

    def _holds_something_else(self, file: Path, form: Format) -> bool:
        pieces = file_pieces(file, format=form, errors=self._errors, field=self._field)
        try:
            next(pieces, None)
        except NoFieldError:
            return True
        except DataError:
            return False  # the reader will tell
        finally:
            pieces.close()
        return False


class _Walk:
    """All files below a folder, (relative name, file): real ones first, then what links lead to."""

    def __init__(self, root: Path) -> None:
        self.found: list[tuple[str, Path]] = []
        self.passed_over: dict[str, list[str]] = {}
        self._links: list[tuple[str, Path]] = []
        self._folders: set[str] = set()
        self._files: set[str] = set()
        self._enter("", root)
        while self._links:
            links, self._links = sorted(self._links), []
            for name, link in links:
                self._follow(name, link)

    def _enter(self, name: str, folder: Path) -> None:
        self._folders.add(os.path.realpath(folder))
        try:
            inside = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
        for entry in inside:
            here, path = f"{name}{entry.name}", folder / entry.name
            if entry.name.startswith("."):
                self._pass(HIDDEN, here)
            elif entry.is_symlink():
                self._links.append((here, path))
            elif entry.is_dir():
                self._folder(here, path)
            else:
                self._file(here, path)

    def _follow(self, name: str, link: Path) -> None:
        target = os.path.realpath(link)
        if not link.exists():
            self._pass(BROKEN, name)
        elif target in self._folders or target in self._files:
            self._pass(LINKED, name)
        elif link.is_dir():
            self._folder(name, link)
        else:
            self._file(name, link)

    def _folder(self, name: str, path: Path) -> None:
        if is_store(path):
            self._pass(STORE, name)
        else:
            self._enter(f"{name}/", path)

    def _file(self, name: str, path: Path) -> None:
        if not path.is_file():
            self._pass(NO_FILE, name)
            return
        self._files.add(os.path.realpath(path))
        self.found.append((name, path))

    def _pass(self, reason: str, name: str) -> None:
        self.passed_over.setdefault(reason, []).append(name)


def printable(name: str) -> str:
    """Return a file's name with what is not UTF-8 in it written out (``caf\\xe9.txt``)."""
    return _bytes(name).decode("utf-8", "backslashreplace")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _found(name: str, file: Path, form: Format) -> Found:
    return Found(printable(name), _bytes(name), file, form)
