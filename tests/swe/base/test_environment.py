"""The recorded command can be typed again, and names no folder of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CODE = "import json; from swe.base.environment import host; print(json.dumps(host()['command']))"


def recorded(*program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *program, "--out", "x"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return str(json.loads(done.stdout))


def test_a_module_is_recorded_as_such_and_a_script_by_its_name(tmp_path: Path) -> None:
    package = tmp_path / "packed"
    package.mkdir()
    for path in (package / "__init__.py", package / "part.py", package / "__main__.py"):
        path.write_text("" if path.stem == "__init__" else CODE)
    assert recorded("-m", "packed.part", folder=tmp_path) == "python -m packed.part --out x"
    assert recorded("-m", "packed", folder=tmp_path) == "python -m packed --out x"
    script = str(package / "part.py")
    assert recorded(script, folder=tmp_path) == "python part.py --out x"
