"""The list of what was made: complete, never of somebody else's files, and safe to act on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import made
from evidence.made import (
    FORMAT,
    MARKER,
    VERSION,
    clean,
    is_results,
    noted,
    require_not_theirs,
)
from evidence.made import NAMES as NAMES_OF_OURS
from swe.base.errors import ConfigError
from swe.base.files import write_json

NAMES = st.lists(
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join),
    max_size=6, unique=True,
)  # fmt: skip


def write(folder: Path, name: str) -> None:
    """Write a file, unless one of its folders' names is a file's already."""
    path = folder / name
    if path.is_dir() or any(parent.is_file() for parent in path.parents):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)


def files(folder: Path) -> set[str]:
    """Every file below the folder but the list."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MARKER
    }


@given(before=NAMES, during=NAMES, after=NAMES, again=NAMES)
def test_what_was_there_or_came_between_stays(
    before: list[str],
    during: list[str],
    after: list[str],
    again: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("results")
    for name in before:
        write(folder, name)
    theirs = files(folder)
    with noted(folder):
        for name in during:
            write(folder, name)
    ours = files(folder) - theirs
    for name in after:
        write(folder, name)
    theirs = files(folder) - ours
    with noted(folder):
        for name in again:
            write(folder, name)
    clean(folder)
    assert files(folder) == theirs if theirs else not folder.exists()
    empty = [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
    assert not empty


def test_it_is_written_when_the_work_fails_and_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with noted(tmp_path):
            (tmp_path / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert json.loads((tmp_path / MARKER).read_text())["made"] == ["half"]
    monkeypatch.setattr(made, "EVERY", 0.01)
    with noted(tmp_path):
        (tmp_path / "more").write_text("x")
        while json.loads((tmp_path / MARKER).read_text())["made"] != ["half", "more"]:
            pass  # ends, or the test's own time does


def test_a_note_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk now and then: the later notes, and the last, are written all the same."""
    write = made._write
    refused: list[set[str]] = []

    def full_twice(marker: Path, names: set[str]) -> None:
        if names and len(refused) < 2:
            refused.append(names)
            raise OSError(28, "No space left on device")
        write(marker, names)

    monkeypatch.setattr(made, "EVERY", 0.01)
    monkeypatch.setattr(made, "_write", full_twice)
    with noted(tmp_path):
        (tmp_path / "more").write_text("x")
        while json.loads((tmp_path / MARKER).read_text())["made"] != ["more"]:
            pass  # ends, or the test's own time does
    assert len(refused) == 2


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    """Put in the place of a file or of a folder that was made, too."""
    folder, outside = tmp_path / "results", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    with noted(folder):
        (folder / "made").mkdir()
        (folder / "made" / "kept").write_text("x")
        (folder / "file").write_text("x")
    (folder / "made" / "kept").unlink()
    (folder / "made").rmdir()
    (folder / "made").symlink_to(outside)
    (folder / "file").unlink()
    (folder / "file").symlink_to(outside / "kept")
    assert clean(folder) == ["file", "made"]
    assert (outside / "kept").exists()
    link = tmp_path / "link"
    with noted(folder):
        pass
    link.symlink_to(folder)
    with pytest.raises(ConfigError, match="not a results folder"):
        clean(link)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("results of paper_repro.py\n", "an earlier version kept none"),
        ('{"format": "other"}', "an earlier version kept none"),
        ('{"format": "share-then-unshare results", "version": 9, "made": []}', "version 9"),
        ('{"format": "share-then-unshare results", "version": 1}', "no list of names"),
        ('{"format": "share-then-unshare results", "version": 1, "made": ["../x"]}', "outside"),
        ('{"format": "share-then-unshare results", "version": 1, "made": ["/x"]}', "outside"),
        ('{"format": "share-then-unshare results", "version": 1, "made": ["a/../../x"]}', "outs"),
    ],
)
def test_a_list_that_cannot_be_right_removes_nothing(
    content: str, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / MARKER).write_text(content)
    (folder / "x").write_text("x")
    (tmp_path / "x").write_text("x")
    for act in (clean, lambda where: noted(where).__enter__()):
        with pytest.raises(ConfigError, match=message):
            act(folder)
    assert (folder / "x").exists()
    assert (tmp_path / "x").exists()
    assert is_results(folder)


def test_what_somebody_else_makes_meanwhile_stays(tmp_path: Path) -> None:
    """In a project's folder, in the hours of a run; and another command's list is not lost."""
    with noted(tmp_path, NAMES_OF_OURS), noted(tmp_path, NAMES_OF_OURS):
        for name in ("thesis.txt", "chapters/1.txt", "bert/x.json", "claims.json"):
            write(tmp_path, name)
        made = {"format": FORMAT, "version": VERSION, "made": ["toy/other.json"]}
        write(tmp_path, "toy/other.json")
        write_json(tmp_path / MARKER, made)
    assert clean(tmp_path) == ["chapters", "thesis.txt"]
    assert files(tmp_path) == {"thesis.txt", "chapters/1.txt"}


@pytest.mark.parametrize("name", ["claims.json", "times.json"])
@pytest.mark.parametrize("content", ['{"my": 1}', "[1]", "words"])
def test_a_file_of_somebody_elses_is_not_replaced(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=f"its {name} is not this program's and would be"):
        require_not_theirs(tmp_path)
    assert (tmp_path / name).read_text() == content


def test_results_of_an_earlier_version_are_known_by_their_form(tmp_path: Path) -> None:
    require_not_theirs(tmp_path / "none")
    (tmp_path / "claims.json").write_text('[{"id": "THM1"}]')
    (tmp_path / "times.json").write_text('{"steps": {}}')
    require_not_theirs(tmp_path)
    (tmp_path / "times.json").write_text("torn")
    with noted(tmp_path):
        require_not_theirs(tmp_path)  # on the list: the program's own to repair
