"""A full disk, a folder that cannot be written, two writers: one clear line, and nothing is lost.

Two ways to a full disk. A limit on the size of the process's files, kept by the kernel: a write
beyond it does half and then fails, as on a full disk, and needs no rights. And, where a small
memory disk may be mounted, that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from swe.base.errors import FolderBusyError
from swe.base.files import append_line, read_json, write_json
from swe.base.lock import exclusive
from swe.run import checkpoint
from swe.run.loop import train
from tests.swe.run import crash, small_disk

NOBODY = 65534


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk") / "whole"
    train(crash.TASK, crash.SPLITTING, folder)
    return folder


def told(messages: list[tuple[str, Any]]) -> str:
    """The error that ended a child's run: one line."""
    kind, text = messages[-1]
    assert kind == "error", messages
    assert "\n" not in text
    return str(text)


@pytest.mark.parametrize(
    ("limit", "files"),
    [(300, ("cannot be written",)), (700, ("environment.json", "metrics.jsonl")),
     (1500, ("step-00000004: could not be written",)),
     (3000, ("step-00000006: could not be written",)),
     (6500, ("step-00000021: could not be written",))],
)  # fmt: skip
def test_files_that_find_no_room(
    limit: int, files: tuple[str, ...], whole: Path, tmp_path: Path
) -> None:
    """The named file could not be written; what was there stays, and the run goes on later."""
    folder = tmp_path / "run"
    text = told(crash.run(folder, file_limit=limit))
    assert any(file in text for file in files), text
    for path in (folder / "checkpoints").glob("step-*"):
        checkpoint.verify(path)
    assert crash.run(folder)[-1][0] == "finished"
    assert not crash.differences(crash.outcome(folder), crash.outcome(whole))


def test_a_result_that_finds_no_room_leaves_the_old_one(tmp_path: Path) -> None:
    """/dev/full fails every write at its end, as a disk does that holds back its bad news."""
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})
    path.with_name("full.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*full.jsonl'"):
        append_line(path.with_name("full.jsonl"), {"row": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os.write(os.open("/dev/full", 1), b"x"))
        with pytest.raises(OSError, match=r"No space left on device: '.*result.json'"):
            write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full.jsonl", "result.json"]


def test_a_disk_that_is_really_full(whole: Path) -> None:
    """Full at the first file, in a row, in a checkpoint, or not at all: sizes of a memory disk."""
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run(
        [*namespace, "mount", "-t", "tmpfs", "none", str(whole.parent)],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("no memory disk may be mounted here; the limit on file sizes stands for it")
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.swe.run.small_disk", str(whole.parent)],
        cwd=Path(paper_repro.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["size"] for f in found] == list(small_disk.SIZES)
    for f in found:
        print(f"{f['size']} KiB: {f['said'] or 'enough'}; kept {f['saved']}, {f['rows']} rows")
        assert not f["wrong"], f
        assert "\n" not in f["said"]
        assert ("No space left on device" in f["said"]) == bool(f["said"])
    full = [f for f in found if f["said"]]
    assert any("could not be written" in f["said"] and f["saved"] for f in full), "in a checkpoint"
    assert any("OSError" in f["said"] or "ConfigError" in f["said"] for f in full), "in a file"


@pytest.fixture
def shown() -> Iterator[Path]:
    """A folder that other users may look into (pytest's own is closed to them)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)


def test_a_folder_that_may_only_be_read(whole: Path, shown: Path) -> None:
    """A finished run is read; another is refused in one line and nothing is changed."""
    user = NOBODY if os.getuid() == 0 else None  # nothing is read-only to root
    finished, empty, started = shown / "finished", shown / "empty", shown / "started"
    shutil.copytree(whole, finished)
    shutil.copytree(whole, started)
    (started / "summary.json").unlink()
    empty.mkdir()
    subprocess.run(["chmod", "-R", "a+rX,a-w", str(shown)], check=True)
    before = {p: p.read_bytes() for p in shown.rglob("*") if p.is_file()}
    assert crash.run(finished, user=user)[-1][0] == "finished"
    assert "cannot be written" in told(crash.run(empty, user=user))
    assert "cannot be written" in told(crash.run(started, user=user))
    assert before == {p: p.read_bytes() for p in shown.rglob("*") if p.is_file()}


def test_two_processes_in_one_folder(whole: Path, tmp_path: Path) -> None:
    """The second is told who is there; after kill -9 of the first there is nothing to clean up."""
    folder = tmp_path / "run"
    with crash.holding(folder) as holder:
        text = told(crash.run(folder))
        assert f"FolderBusyError: {folder}: a process is at work here already" in text
        assert f"process {holder} on " in text
    assert crash.run(folder)[-1][0] == "finished"
    assert not crash.differences(crash.outcome(folder), crash.outcome(whole))


def test_a_finished_run_needs_no_lock(whole: Path) -> None:
    with exclusive(whole, pytest.fail):
        assert train(crash.TASK, crash.SPLITTING, whole)["steps"] == crash.SPLITTING.steps
        with pytest.raises(FolderBusyError), exclusive(whole, pytest.fail):
            pass


def test_without_locks_the_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    said: list[str] = []
    with exclusive(tmp_path, said.append):
        pass
    assert said == [
        f"{tmp_path}: no locks on this file system; see to it that one process runs here"
    ]
