"""Runs that die: children forked from a process with torch loaded, and kill -9 at chosen moments.

A moment is either a time after the start, or the n-th operation on the run folder (opening,
renaming, making, removing), counted by an audit hook: that one falls into every write there is,
the checkpoint's included, and is the same moment each time.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import SweMultistage
from tests.swe.sharing.residual import RegressionTask

SPLITTING = TrainConfig(
    steps=24,
    seed=3,
    schedule=SweMultistage(rho=0.8, interval=3, patience=2),
    log_interval=2,
    eval_interval=8,
    probe_interval=5,
    checkpoint_interval=4,
    accumulation=2,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
)
"""SWE-M splits more than once on TASK; a test asserts it."""
TASK = RegressionTask(depth=4, dropout=0.1)
OPERATIONS = frozenset({"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"})

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["torch._dynamo", "scipy.stats", "swe.run.loop"])


def _watch(folder: Path, note: Callable[[str], None]) -> None:
    """Call ``note`` before every operation of this process on a path in ``folder``."""
    inside = str(folder)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in OPERATIONS and isinstance(arguments[0], str | os.PathLike):
            path = os.fspath(arguments[0])
            if isinstance(path, str) and path.startswith(inside):
                note(f"{event} {path[len(inside) + 1 :]}")

    sys.addaudithook(hook)


def _child(folder: Path, config: TrainConfig, options: Mapping[str, Any], pipe: Connection) -> None:
    """Train in ``folder``; messages go through ``pipe``, the last one is how it ended."""
    torch.set_num_threads(1)
    done = 0

    def count(what: str) -> None:
        nonlocal done
        if done == options.get("kill_at"):
            pipe.send(("killed at", what))
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    limit = options.get("file_limit")
    if limit is not None:  # a write beyond it ends as on a full disk: part is written, then OSError
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    if options.get("user"):
        os.setresuid(options["user"], options["user"], options["user"])
    started = time.monotonic()
    pipe.send(("started", os.getpid()))
    _watch(folder, count)
    stop_before = options.get("stop_before")
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return stop_before is not None and asked > stop_before

    try:
        train(TASK, config, folder, stop=stop, warn=lambda m: pipe.send(("warning", m)))
        pipe.send(("finished", (done, time.monotonic() - started)))
    except Interrupted:
        pipe.send(("interrupted", done))
    except Exception as error:
        pipe.send(("error", f"{type(error).__name__}: {error}"))


def run(
    folder: Path,
    config: TrainConfig = SPLITTING,
    *,
    kill_after: float | None = None,
    **options: Any,
) -> list[tuple[str, Any]]:
    """Train in a child process; returns its messages, the last of them says how it ended.

    ``kill_after``: seconds from the start to kill -9. Options: ``kill_at`` (operation to die
    before), ``stop_before`` (update to stop politely before), ``file_limit`` (bytes a file may
    have), ``user`` (to run as).
    """
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_child, args=(folder, config, options, theirs))
    process.start()
    theirs.close()
    messages = [ours.recv()]
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    try:
        while True:
            messages.append(ours.recv())
    except (EOFError, OSError):
        pass
    process.join()
    if process.exitcode == -signal.SIGKILL and messages[-1][0] in ("started", "warning"):
        messages.append(("killed at", "a random time"))
    return messages


@contextmanager
def holding(folder: Path) -> Iterator[int]:
    """Have another process train in ``folder``, asleep before its first update; kill -9 it after.

    Yields its process number.
    """
    ours, theirs = _context.Pipe(duplex=False)
    process = _context.Process(target=_sleeper, args=(folder, theirs))
    process.start()
    ours.recv()
    yield process.pid or 0
    process.kill()
    process.join()


def _sleeper(folder: Path, pipe: Connection) -> None:
    def stop() -> bool:
        pipe.send("training")
        time.sleep(600)
        return True

    train(TASK, SPLITTING, folder, stop=stop)


def outcome(folder: Path, steps: int = SPLITTING.steps) -> dict[str, Any]:
    """Everything that must not depend on interruptions: rows, summary, weights, optimiser state."""
    clock = ("seconds", "peak_memory_bytes")
    found: dict[str, Any] = {
        name: [
            {k: v for k, v in row.items() if k not in clock}
            for row in read_lines(folder / f"{name}.jsonl")
        ]
        for name in ("metrics", "events")
    }
    summary = read_json(folder / "summary.json")
    found["summary"] = {k: v for k, v in summary.items() if k not in clock}
    final = folder / "checkpoints" / f"step-{steps:08d}"
    for name in ("weights", "optimizer"):
        for key, tensor in load_file(final / f"{name}.safetensors").items():
            found[f"{name}:{key}"] = (tensor.dtype, tensor.shape, tensor.numpy().tobytes())
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of what is not the same, bit for bit."""
    return [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]


def changed(config: TrainConfig, **changes: Any) -> TrainConfig:
    """The same run but for ``changes``."""
    return replace(config, **changes)
