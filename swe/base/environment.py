"""Where a result was made: versions, hardware, commit, command. Loads no torch by itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


def host() -> dict[str, Any]:
    """Describe this process: time, command, commit (and whether it was changed), versions."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", *_program(), *sys.argv[1:]]),
        **revision(),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "scipy": metadata.version("scipy"),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": processor_name(),
    }


@cache
def revision() -> dict[str, Any]:
    """Return {"commit", "dirty"} of the project's code; None each where git does not know.

    Asked once a process: what runs is the code as it was loaded, whatever is checked out meanwhile.
    """
    here = Path(__file__).resolve().parents[2]
    changes = _git(here, "status", "--porcelain")
    return {
        "commit": _git(here, "rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
    }


def _program() -> list[str]:
    """Return what stood after "python": "-m" and the module, or the script, without its folder."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = getattr(spec, "name", None)
    return ["-m", name.removesuffix(".__main__")] if name else [Path(sys.argv[0]).name]


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command in ``folder``; None where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def processor_name() -> str:
    """Return the processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
