"""Result files: the old one or the new one, never half of one; lines whole or ignored."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from swe.base.files import (
    append_line,
    atomic_open,
    json_digest,
    read_json,
    read_lines,
    write_first,
    write_json,
    write_lines,
    write_text,
)


def test_atomic_open_keeps_the_old_file_on_failure(tmp_path: Path) -> None:
    file = tmp_path / "new" / "data.bin"
    with atomic_open(file) as out:
        out.write(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_open(file) as out:  # noqa: PT012
        out.write(b"half")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]
    with atomic_open(file) as out:
        out.write(b"new")
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"


def test_text_and_json_round_trip(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "text", "grüß\n")
    assert (tmp_path / "a" / "text").read_bytes() == "grüß\n".encode()
    value = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    (tmp_path / "value.json").write_text("{")
    with pytest.raises(ValueError, match=r"value\.json: not a JSON file"):
        read_json(tmp_path / "value.json")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_the_first_file_stays(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*names: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "of" / "it.json"
    for value in ("first", "second"):
        write_first(path, value)
    assert read_json(path) == "first"
    assert [p.name for p in path.parent.iterdir()] == ["it.json"]
    assert path.stat().st_nlink == 1
    assert path.stat().st_mode & 0o777 == 0o644


def test_no_first_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*names: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match=r"No space left on device: .*it.json"):
        write_first(tmp_path / "it.json", 1)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_never_written(tmp_path: Path) -> None:
    """NaN is no JSON: another reader would refuse the whole file."""
    path = tmp_path / "rows.jsonl"
    append_line(path, {"loss": 1.0})
    for write in (
        lambda: append_line(path, {"loss": float("nan")}),
        lambda: write_lines(path, [{"loss": float("inf")}]),
    ):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write()
    assert read_lines(path) == [{"loss": 1.0}]


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_lines(path) == []
    append_line(path, {"step": 1})
    append_line(path, {"step": 2})
    with path.open("ab") as stream:
        stream.write(b'{"step": 3, "lo')
    assert read_lines(path) == [{"step": 1}, {"step": 2}]


def test_names_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    value = {"command": os.fsdecode(b"caf\xe9.txt"), "plain": "Größe \\udce9"}
    write_json(tmp_path / "a.json", value)
    append_line(tmp_path / "a.jsonl", value)
    assert read_json(tmp_path / "a.json") == value
    assert read_lines(tmp_path / "a.jsonl") == [value]
    assert json_digest(value) != json_digest({"command": "caf", "plain": ""})
    assert b"caf\\udce9.txt" in (tmp_path / "a.json").read_bytes()
