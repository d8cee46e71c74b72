"""Commands in process groups of their own, to be sent signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LIMIT = 120.0  # seconds; what hangs, hangs for ever


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    errors: str


def children(parent: int) -> list[int]:
    """Return the working child processes of a process, without the tracker of resources."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    names: dict[int, bytes] = {}
    for child in found:
        with suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            names[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes()
    return [child for child, name in names.items() if b"resource_tracker" not in name]


def interrupt(
    words: Sequence[str], ready: Callable[[], bool], send: Callable[[int], None]
) -> Ended:
    """Run ``python WORDS`` in a group of its own, ``send(its id)`` once ready; return its end.

    Fails when it ends before it is ready, or is not gone with all its children in time.
    """
    until = time.monotonic() + LIMIT
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    ) as process:
        try:
            while not ready():
                assert process.poll() is None, f"ended before: {process.communicate()[1]}"
                assert time.monotonic() < until
                time.sleep(0.02)
            send(process.pid)
            _, errors = process.communicate(timeout=LIMIT)
            while group_lives(process.pid):
                assert time.monotonic() < until, "a process is left over"
                time.sleep(0.05)
        finally:
            if group_lives(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
    return Ended(process.returncode, errors)


def end_all(group: int) -> None:
    """Send SIGTERM to all processes one after another, as a scheduler does; workers first."""
    for process in (*children(group), group):
        os.kill(process, signal.SIGTERM)


def kill_one(group: int) -> None:
    """Send SIGKILL to a worker, as a system without memory does."""
    os.kill(children(group)[0], signal.SIGKILL)


def group_lives(group: int) -> bool:
    """Tell whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
