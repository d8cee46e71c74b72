"""Run something in a process of its own: a model may end the process, or take for ever."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import torch


def apart(work: Callable[[], dict[str, Any]], told: dict[str, Any]) -> dict[str, Any]:
    """Return what ``work`` does, from a fork; ``told`` with "not_tried" where that ends early.

    One thread: a fork keeps no others.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            torch.set_num_threads(1)
            faulthandler.disable()  # the parent says how it ended
            with os.fdopen(writing, "w") as stream:
                json.dump(work(), stream)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0:
        row: dict[str, Any] = json.loads(text)
        return row
    why = signal.Signals(-status).name if status < 0 else f"status {status}"
    return told | {"lists": [], "not_tried": f"the process ended: {why}"}
