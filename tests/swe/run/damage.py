"""Ways in which a checkpoint on disk can be wrong, by accident or by design."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from swe.base.files import file_digest
from swe.run.checkpoint import _own_digest


def flip(file: Path, bit: int) -> None:
    """Change one bit, counted from the file's start (or, when negative, from its end)."""
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    file.write_bytes(bytes(data))


def truncate(file: Path, left: int) -> None:
    """Keep the first ``left`` bytes."""
    file.write_bytes(file.read_bytes()[:left])


def forge(path: Path, **changes: Any) -> None:
    """Change entries of state.json and give it, and the tensor files, digests that fit again.

    A stranger who writes a checkpoint can do that too: digests are for accidents.
    """
    file = path / "state.json"
    head = json.loads(file.read_text()) | changes
    if isinstance(head.get("sha256"), dict):
        for name in ("weights.safetensors", "optimizer.safetensors"):
            if (path / name).is_file():
                head["sha256"][name] = file_digest(path / name)
        head["sha256"]["state.json"] = _own_digest(head)
    file.write_text(json.dumps(head))
