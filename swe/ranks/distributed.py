"""The processes of one run: torchrun's environment and their group.

Small decisions go by gloo and the host, so that they never wait for a GPU; gradients go by NCCL
there.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, get_args

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store

from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.placement import Mode, World

T = TypeVar("T")

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def world_of(mode: Mode) -> World:
    """Return the ranks of a run in ``mode``, in the process group that is there.

    Raises ConfigError for an unknown mode, for a mode without a group, and for several processes
    that would each train the same run.
    """
    require(mode in get_args(Mode), "parallel", mode, f"one of {', '.join(get_args(Mode))}")
    grouped = dist.is_available() and dist.is_initialized()
    if mode == "none":
        size = dist.get_world_size() if grouped else 1
        require(size == 1, "parallel", mode, f"ddp or fsdp, with {size} processes")
        return World()
    require(grouped, "parallel", mode, "none without a process group; start with torchrun")
    return World(dist.get_rank(), dist.get_world_size())


def require_launched(mode: Mode, environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigError unless the environment is that of a process of a run in ``mode``.

    Torchrun's is; so is, for one process, one that says nothing of ranks, or of the only one.
    """
    numbers = {name: _number(name, environment) for name in (*_COUNTED, "MASTER_PORT")}
    rank, size = numbers["RANK"], numbers["WORLD_SIZE"]
    if mode == "none":
        if (size or 1) > 1:
            raise ConfigError(
                f"WORLD_SIZE = {size}: with --parallel none each of them would train this run; "
                "take --parallel ddp or fsdp under torchrun, or unset WORLD_SIZE and RANK"
            )
        if rank:
            raise ConfigError(
                f"RANK = {rank}: is no rank of a run of one process; unset it, or start with "
                "torchrun and --parallel ddp or fsdp"
            )
        return
    missing = [name for name in _ENVIRONMENT if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"parallel: {', '.join(missing)} not set; start with "
            "torchrun --nproc-per-node N -m MODULE ..."
        )
    if rank is not None and size is not None and rank >= size:
        raise ConfigError(f"RANK = {rank}: must be below WORLD_SIZE = {size}; start with torchrun")


def speaking_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return this process's rank; 0, which speaks, where the environment is not torchrun's."""
    try:
        require_launched("ddp", environment)
    except ConfigError:
        return 0
    return int(environment["RANK"])


_COUNTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def _number(name: str, environment: Mapping[str, str]) -> int | None:
    """Return a variable's value, None where it is not set. ConfigError where it is no count."""
    text = environment.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(
            f"{name} = {text!r}: must be an integer, at least 0; unset it, or start with torchrun"
        )
    return int(text)


@contextmanager
def process_group(
    device: str = "cpu",
    *,
    timeout: timedelta = timedelta(minutes=30),
    environment: Mapping[str, str] = os.environ,
) -> Iterator[torch.device]:
    """Join the group that torchrun describes for the block; yields this rank's device.

    gloo on the CPU; on CUDA NCCL too, and the device of the local rank. Once in a process: a second
    group finds the addresses of the first in torchrun's store, and waits for them. Raises
    ConfigError when the environment is not torchrun's or the node has fewer CUDA devices than
    processes.
    """
    require_launched("ddp", environment)
    chosen = torch.device(device)
    if chosen.type == "cuda":
        # Told to all ranks of the node alike, whether theirs has a device or not.
        ranks, devices = int(environment.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
        require(ranks <= devices, "--nproc-per-node", ranks, f"at most {devices}, the CUDA devices")
        chosen = torch.device("cuda", int(environment["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    store = _restart_store(environment, timeout)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo",
        timeout=timeout,
        store=store,
        rank=int(environment["RANK"]) if store else -1,
        world_size=int(environment["WORLD_SIZE"]) if store else -1,
    )
    try:
        yield chosen
    except BaseException:
        # NCCL's end waits for the others, who may wait for us; the process ends in any case.
        if chosen.type != "cuda":
            dist.destroy_process_group()
        raise
    # What refers to the group in circles (FSDP's modules do) must be gone before its threads are:
    # one that lets go of it while the interpreter ends aborts a process that was done.
    gc.collect()
    dist.destroy_process_group()


def _restart_store(environment: Mapping[str, str], timeout: timedelta) -> Store | None:
    """Return a store in which a restarted job does not find the dead one's addresses.

    torchrun (2.5 to 2.13 at least, pytorch issue 135712) keeps one store over its restarts and
    ranks that come back connect to those that died. On one node the count of restarts tells the
    attempts apart; on several nodes each counts for itself, and torchrun's own way out is needed.
    None where the usual store will do. Raises ConfigError for several nodes without that.
    """
    shared = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not shared or int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0")) == 0:
        return None
    nodes = int(environment.get("GROUP_WORLD_SIZE", "1"))
    if nodes > 1:
        raise ConfigError(
            f"--max-restarts: on {nodes} nodes needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in "
            "torchrun's environment; without it restarted ranks look for dead ones"
        )
    store = TCPStore(
        environment["MASTER_ADDR"],
        int(environment["MASTER_PORT"]),
        is_master=False,
        timeout=timeout,
    )
    return PrefixStore(f"attempt {environment['TORCHELASTIC_RESTART_COUNT']}", store)
