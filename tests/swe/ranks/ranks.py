"""Start the ranks of a job in processes of this machine (gloo), for tests of several ranks.

The processes come from a fork server that has the libraries loaded, so a job starts at once; they
see the environment that torchrun would give them.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

LIMIT = 300.0
"""Seconds after which a job counts as hung."""


def run_ranks(size: int, work: Callable[..., None], *arguments: Any) -> None:
    """Run ``work(*arguments)`` on ``size`` ranks; raises AssertionError with the first's trace."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    failures = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(rank, size, port, failures, work, arguments))
        for rank in range(size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(LIMIT)
    hung = [process for process in ranks if process.is_alive()]
    for process in hung:
        process.kill()
    trace = failures.get() if any(process.exitcode == 1 for process in ranks) else ""
    assert not hung, f"{len(hung)} of {size} ranks hang\n{trace}"
    assert all(process.exitcode == 0 for process in ranks), trace


def _rank(
    rank: int, size: int, port: int, failures: Any, work: Callable[..., None], arguments: Any
) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    try:
        work(*arguments)
    except BaseException:
        failures.put(f"rank {rank}:\n{traceback.format_exc()}")
        raise SystemExit(1) from None


def shown(path: Path) -> list[str]:
    """Names of the files under ``path``, for messages."""
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
