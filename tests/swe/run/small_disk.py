"""Train on a disk that is too small, then on the same disk made larger: run by test_full_disk.py.

``python -m tests.swe.run.small_disk FOLDER`` in a mount namespace of its own; FOLDER must hold a
finished run ``whole``. Prints one JSON line a size: what the error said, and whether all is well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from swe.base.errors import CheckpointError, ConfigError, RunFolderError
from swe.base.files import read_lines
from swe.run import checkpoint
from swe.run.loop import train
from tests.swe.run import crash

SIZES = (4, 8, 16, 24, 32, 40, 64)
"""Kibibytes; the whole run takes about 60."""


def mount(*options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", *options], check=True)


def on_a_disk_of(size: int, disk: Path, whole: Path) -> dict[str, object]:
    """Train until the disk is full, look at what is left, make room, go on."""
    folder, said = disk / "run", ""
    mount("-o", f"size={size}k", "none", str(disk))
    try:
        try:
            train(crash.TASK, crash.SPLITTING, folder, warn=lambda m: None)
        except (CheckpointError, ConfigError, RunFolderError, OSError) as error:
            said = f"{type(error).__name__}: {error}"
        saved = sorted(folder.glob("checkpoints/step-*"))
        for path in saved:
            checkpoint.verify(path)
        rows = len(read_lines(folder / "metrics.jsonl"))
        mount("-o", "remount,size=1m", "none", str(disk))
        train(crash.TASK, crash.SPLITTING, folder, warn=lambda m: None)
        wrong = crash.differences(crash.outcome(folder), crash.outcome(whole))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return {
        "size": size,
        "said": said,
        "saved": [p.name for p in saved],
        "rows": rows,
        "wrong": wrong,
    }


if __name__ == "__main__":
    base = Path(sys.argv[1])
    (base / "disk").mkdir()
    for size in SIZES:
        print(json.dumps(on_a_disk_of(size, base / "disk", base / "whole")), flush=True)
