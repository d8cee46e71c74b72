"""One at a time in a folder: the others wait and say so, and nothing of the waiting stays."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from swe.base.interrupt import Interrupted, never
from swe.base.lock import TURN_NAME, in_turn


def test_the_second_waits_and_says_for_whom(tmp_path: Path) -> None:
    """Of five at once, each alone; locks of one process's descriptors exclude one another too."""
    folder = tmp_path / "data"
    inside, most = 0, 0
    said: list[str] = []
    gate = threading.Barrier(5)

    def work() -> None:
        nonlocal inside, most
        gate.wait()
        with in_turn(folder, said.append, never, every=0.001):
            inside += 1
            most = max(most, inside)
            (folder / "made").write_text("x")
            while len(said) < 4 and not done.is_set():
                done.wait(0.01)
            inside -= 1
            done.set()

    done = threading.Event()
    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(said) == 4, "each of the others once"
    assert all(text.startswith(f"{folder}: is being made by ") for text in said)
    assert any(f"process {os.getpid()} on " in text for text in said)
    assert [path.name for path in folder.iterdir()] == ["made"]


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    asked = iter((False, True))
    with (
        in_turn(tmp_path, pytest.fail, never),
        pytest.raises(Interrupted),
        in_turn(tmp_path, lambda text: None, lambda: next(asked), every=0.001),
    ):
        raise AssertionError("entered")
    assert not (tmp_path / TURN_NAME).exists()


def test_a_refusal_leaves_no_folder_behind(tmp_path: Path) -> None:
    fresh = tmp_path / "new" / "folder"
    with pytest.raises(ZeroDivisionError), in_turn(fresh, pytest.fail, never):
        1 / 0  # noqa: B018
    assert not fresh.exists()
    with pytest.raises(ZeroDivisionError), in_turn(tmp_path, pytest.fail, never):
        1 / 0  # noqa: B018
    assert tmp_path.exists()
