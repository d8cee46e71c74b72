"""The processes of one run: torchrun's environment, their group, and what they must decide as one.

Every rank runs the same program on its rows of the same global batch. Whatever changes the course
of a run (the configuration, a statistic, an untie, a stop, the checkpoint to resume from) is either
computed from reduced numbers, taken from rank 0, or compared between ranks; never left to chance.
Small decisions go by gloo and the host, so that they never wait for a GPU; gradients go by NCCL
there. Objects travel as torch sends them, between processes of one job alone.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store

from swe.base.config import ConfigError, require
from swe.run.record import first_difference
from swe.run.task import Batch, Task

T = TypeVar("T")
Mode = Literal["none", "ddp", "fsdp"]
"""One process; replicated weights (DistributedDataParallel); sharded weights (FSDP2). All three
compute the same update, up to the order of sums and the draw of dropout; so this is no part of a
run's configuration, and a run may be continued in another mode on another number of ranks."""

_ENVIRONMENT = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class RanksDifferError(RuntimeError):
    """Ranks that must hold the same hold something different; the run cannot go on."""


@dataclass(frozen=True)
class World:
    """The ranks of a run; by default one process that is in no group."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this rank writes the files and shows progress."""
        return self.rank == 0

    @property
    def salt(self) -> tuple[int | str, ...]:
        """Parts of a seed that differ by rank; none on rank 0, whose draws are one process's."""
        return () if self.rank == 0 else ("rank", self.rank)

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum of ``tensor`` over ranks, the same on all of them; not in place."""
        if self.size == 1:
            return tensor
        summed = tensor.detach().clone()
        dist.all_reduce(summed)
        return summed

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of ``tensor`` over ranks; not in place."""
        return self.total(tensor) / self.size if self.size > 1 else tensor

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` holds on any rank."""
        return bool(self.total(torch.tensor(int(flag)))) if self.size > 1 else flag

    def gather(self, value: T) -> list[T]:
        """Return everybody's value, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def on_first(self, work: Callable[[], T]) -> T:
        """Let rank 0 do ``work``; everybody returns its result or raises its exception."""
        return self._on_first(work, None)

    def on_first_patiently(
        self, work: Callable[[], T], patience: timedelta = timedelta(days=7)
    ) -> T:
        """As :meth:`on_first`, for work that outlasts the group's timeout, such as preparing data.

        The others wait on the host, so that no collective of the GPUs counts the time.
        """
        if self.size == 1:
            return work()
        return self._on_first(work, dist.new_group(backend="gloo", timeout=patience))

    def _on_first(self, work: Callable[[], T], group: dist.ProcessGroup | None) -> T:
        if self.size == 1:
            return work()
        box: list[Any] = [None, None]
        if self.is_first:
            try:
                box[0] = work()
            except Exception as error:
                box[1] = error
        dist.broadcast_object_list(box, group=group)
        if box[1] is not None:
            raise box[1]
        result: T = box[0]
        return result

    @contextmanager
    def held_by_first(self, context: AbstractContextManager[None]) -> Iterator[None]:
        """Let rank 0 be in ``context`` for the block; its refusal is everybody's."""
        with ExitStack() as stack:
            self.on_first(lambda: stack.enter_context(context))
            yield

    def all_or_none(self, work: Callable[[], T]) -> T:
        """Do ``work`` on every rank; where it fails on any, all raise the first rank's error.

        Only for errors before a collective: a rank that waits inside one cannot be told.
        """
        result: T | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        for rank, failed in enumerate(self.gather(failure)):
            if failed is not None:
                raise failed if rank == self.rank else type(failed)(f"on rank {rank}: {failed}")
        return result  # type: ignore[return-value]

    def agree(self, what: str, value: Any, error: type[Exception] = RanksDifferError) -> None:
        """Raise ``error`` on all ranks, naming the first difference, unless JSON values agree."""
        first, *others = self.gather(value)
        for rank, other in enumerate(others, 1):
            difference = first_difference(first, other)
            if difference:
                raise error(f"{what}: ranks 0 (there) and {rank} (here) differ: {difference}")

    def rows(self, batch: Batch) -> Batch:
        """Return this rank's equal share of the rows (dimension 0) of a global batch."""
        if self.size == 1:
            return batch
        return {name: self._share(name, tensor) for name, tensor in batch.items()}

    def _share(self, name: str, tensor: Tensor) -> Tensor:
        rows = tensor.shape[0]
        if rows % self.size:
            raise ConfigError(
                f"rows = {rows} in a batch ({name}): must be a multiple of the {self.size} ranks"
            )
        part = rows // self.size
        return tensor[self.rank * part : (self.rank + 1) * part]


def rank_batch(task: Task, seed: int, index: int, world: World) -> Batch:
    """Return this rank's rows of global batch ``index``.

    A task may offer ``part(seed, index, rank, world) -> Batch``, the same rows at less cost than
    the whole batch; otherwise the batch is cut.
    """
    part = getattr(task, "part", None)
    if part is not None and world.size > 1:
        batch: Batch = part(seed, index, world.rank, world.size)
        return batch
    return world.rows(task.batch(seed, index))


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
    missing = [name for name in _ENVIRONMENT if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"parallel: {', '.join(missing)} not set; start with "
            "torchrun --nproc-per-node N -m MODULE ..."
        )
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
        environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), is_master=False,
        timeout=timeout,
    )  # fmt: skip
    return PrefixStore(f"attempt {environment['TORCHELASTIC_RESTART_COUNT']}", store)
