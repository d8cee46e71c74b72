"""A build that is killed, whole or in part: the same bytes in the end, and nobody left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bert.data.manifest import BUILDING_NAME
from bert.data.store import MANIFEST_NAME, build_store
from bert.data.vocab import Vocabulary
from tests.bert.data.test_building import arrays, make_text
from tests.processes import end_all, group_lives, kill_one

SCRIPT = """
import sys, time
from bert.data import building
building.CHUNK = 400
if __name__ == "__main__":
    from bert.data.__main__ import main
    if "--slowly" in sys.argv:
        building.CHECKPOINT_SECONDS = 0.0
        sys.argv.remove("--slowly")
        note = building.Build._checkpoint
        def slowly(self, packers):
            note(self, packers)
            print(self._documents, flush=True)
            time.sleep(0.01)
        building.Build._checkpoint = slowly
    sys.exit(main(sys.argv[1:]))
"""


def _kill_parent(group: int) -> None:
    os.kill(group, signal.SIGKILL)


@pytest.mark.parametrize(
    ("send", "status", "words"),
    [
        (_kill_parent, -signal.SIGKILL, ""),
        (kill_one, 1, "bert.data: a tokenizing process died (out of memory?); what was"),
        (end_all, 75, "stopped by SIGTERM; the same command goes on"),
    ],
)
def test_killed_it_goes_on_and_leaves_no_process(
    tmp_path: Path,
    vocabulary: Vocabulary,
    send: Callable[[int], None],
    status: int,
    words: str,
) -> None:
    """Signals in the middle, two workers: all end by themselves; the bytes come out the same."""
    text = make_text(tmp_path / "text.txt", 200)
    vocabulary.save(tmp_path / "vocab.txt")
    whole = build_store(text, vocabulary, tmp_path / "whole", length=16, per_mille=100)
    (tmp_path / "build.py").write_text(SCRIPT)
    folder = tmp_path / "killed"
    command = [
        sys.executable,
        str(tmp_path / "build.py"),
        str(text),
        "--vocab",
        str(tmp_path / "vocab.txt"),
        "--length",
        "16",
        "--per-mille",
        "100",
        "--out",
        str(folder),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [*command, "--jobs", "2", "--slowly"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout is not None
        done = next(int(line) for line in process.stdout if int(line) >= 30)
        send(process.pid)
        _, errors = process.communicate(timeout=60)
    assert done < 200
    assert process.returncode == status
    assert words in errors
    assert not any(line.startswith("Traceback") for line in errors.splitlines())
    assert not (folder / MANIFEST_NAME).exists()
    until = time.monotonic() + 30
    while group_lives(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not group_lives(process.pid)
    state = json.loads((folder / BUILDING_NAME).read_text())
    assert state["documents"] >= done
    again = subprocess.run(
        [*command, "--jobs", "1"], capture_output=True, env=environment, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert arrays(folder) == arrays(whole.folder)
