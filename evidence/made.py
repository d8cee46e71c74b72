"""The list of what the program made in a results folder, and the removal of just that.

The list is the file ``.share-then-unshare``: paths of files, relative to the folder. What lies in
the folder when a command begins and is not on the list is somebody else's and stays so; what
appears while a command runs, under a name that it gives (:data:`NAMES`), goes on the list, which is
written every minute and at the end. A file of somebody else's that a command would replace
ends it before it begins (:func:`require_not_theirs`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from swe.base.errors import ConfigError
from swe.base.files import read_json, write_json

MARKER = ".share-then-unshare"
FORMAT, VERSION = "share-then-unshare results", 1
NAMES = frozenset(
    (
        *("bert", "claims.json", "data", "figures", "plan.json", "report"),
        *("tables", "theory", "times.json", "toy"),
    )
)
"""What the program makes in a results folder: files, and folders with all that is made in them."""
EVERY = 60.0
"""Seconds between two notes: what a killed command made in that time is nobody's, and stays."""


def is_results(folder: Path) -> bool:
    """Whether a command has written results there."""
    return (folder / MARKER).is_file() and not (folder / MARKER).is_symlink()


@contextmanager
def noted(folder: Path, names: Collection[str] | None = None) -> Iterator[None]:
    """Put on the folder's list what appears in it during the block: of ``names``, if given.

    ConfigError when the folder cannot be written, or holds a list of another version.
    """
    marker = folder / MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = _read(marker) if marker.exists() else set()
        others = _files(folder, names) - made
        _write(marker, made)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written ({error})") from None
    ended = threading.Event()

    def note() -> None:
        now = (
            _read(marker) if marker.exists() else set()
        )  # another command's in the same folder too
        _write(marker, made | now | (_files(folder, names) - others))

    def note_now_and_then() -> None:
        while not ended.wait(EVERY):
            with suppress(OSError):  # a full disk: the work itself says so, and the end notes again
                note()

    keeper = threading.Thread(target=note_now_and_then, daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        note()


def require_not_theirs(folder: Path) -> None:
    """Raise ConfigError where a command would replace a file that this program did not write.

    Known by its form where no list says so: results of an earlier version have none.
    """
    if is_results(folder):
        return
    forms = {"claims.json": _is_ledger, "times.json": lambda content: "steps" in content}
    forms["plan.json"] = lambda content: "together" in content
    for name, is_ours in forms.items():
        path = folder / name
        try:
            ours = not path.exists() or bool(is_ours(read_json(path)))
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise ConfigError(
                f"--out {folder}: its {name} is not this program's and would be replaced; choose "
                "another folder"
            )


def _is_ledger(content: Any) -> bool:
    return isinstance(content, list) and all("id" in claim for claim in content)


def clean(folder: Path) -> list[str]:
    """Remove what the folder's list names, then folders that this left empty; returns what stays.

    Symbolic links are neither followed nor removed. The folder goes too when nothing stays.
    ConfigError for a folder without a list, and for a list that names anything outside.
    """
    if folder.is_symlink() or not is_results(folder):
        raise ConfigError(f"{folder}: has no {MARKER}: not a results folder of this program")
    made = _read(folder / MARKER)
    parents: set[Path] = set()
    for name in sorted(made):
        path = folder / name
        above = [folder / parent for parent in PurePosixPath(name).parents[:-1]]
        if path.is_file() and not path.is_symlink() and not any(p.is_symlink() for p in above):
            path.unlink()
            parents.update(above)
    for parent in sorted(parents, key=lambda path: len(path.parts), reverse=True):
        if not any(parent.iterdir()):
            parent.rmdir()
    stays = sorted(path.name for path in folder.iterdir() if path.name != MARKER)
    (folder / MARKER).unlink()
    if not stays:
        folder.rmdir()
    return stays


def _files(folder: Path, names: Collection[str] | None) -> set[str]:
    """Files below the folder, or below ``names`` in it, by relative path.

    Not the list itself, and through no link.
    """
    found = set()
    for place, folders, files in os.walk(folder):
        if names is not None and Path(place) == folder:
            folders[:] = [name for name in folders if name in names]
            files = [name for name in files if name in names]
        for name in files:
            path = Path(place, name)
            if name != MARKER and not path.is_symlink():
                found.add(path.relative_to(folder).as_posix())
    return found


def _read(marker: Path) -> set[str]:
    try:
        content: Any = read_json(marker)
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigError(
            f"{marker}: is no list of what was made there (an earlier version kept none): remove "
            "the folder by hand, or choose another"
        )
    if content.get("version") != VERSION:
        raise ConfigError(
            f"{marker}: version {content.get('version')!r}; this program reads {VERSION}"
        )
    made = content.get("made")
    if not isinstance(made, list) or not all(isinstance(name, str) for name in made):
        raise ConfigError(f"{marker}: holds no list of names")
    for name in made:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ConfigError(f"{marker}: names {name!r}, which is outside the folder")
    return set(made)


def _write(marker: Path, made: set[str]) -> None:
    write_json(marker, {"format": FORMAT, "version": VERSION, "made": sorted(made)})
