"""The list of what was made: complete, never of somebody else's files, and safe to act on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence import made
from evidence.made import MARKER, clean, is_results, noted
from swe.base.errors import ConfigError

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
