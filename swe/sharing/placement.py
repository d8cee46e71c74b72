"""How one model lies on the processes of a run; here: on one, and what several decide as one.

A :class:`Parallel` does for the engine and the schedule's runner whatever depends on that: it puts
the model on the device, gives the module to run forward in training, decides when gradients are
averaged, measures, and changes the layout. Several ranks (``swe.ranks``) override it.

Every rank runs the same program on its rows of the same global batch. Whatever changes the course
of a run (the configuration, a statistic, an untie, a stop, the checkpoint to resume from) is either
computed from reduced numbers, taken from rank 0, or compared between ranks; never left to chance.
Objects travel as torch sends them, between processes of one job alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from swe.base.config import first_difference
from swe.base.errors import ConfigError, RanksDifferError
from swe.sharing.layout import Layout
from swe.sharing.optimizers import Optimizers
from swe.sharing.stack import Stack, find_stack
from swe.sharing.statistics import GradientStatistics, probe, weight_energies
from swe.sharing.unshare import Handover, unshare

T = TypeVar("T")
Mode = Literal["none", "ddp", "fsdp"]
"""One process; replicated weights (DistributedDataParallel); sharded weights (FSDP2). All three
compute the same update, up to the order of sums and the draw of dropout; so this is no part of a
run's configuration, and a run may be continued in another mode on another number of ranks."""


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
        return cast(T, result)

    def agree(self, what: str, value: Any, error: type[Exception] = RanksDifferError) -> None:
        """Raise ``error`` on all ranks, naming the first difference, unless JSON values agree."""
        first, *others = self.gather(value)
        for rank, other in enumerate(others, 1):
            difference = first_difference(first, other)
            if difference:
                raise error(f"{what}: ranks 0 (there) and {rank} (here) differ: {difference}")

    def rows(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
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


class Parallel:
    """One process, and what the others override."""

    mode: Mode = "none"
    leaves_out = False
    """Whether the present update may leave layers without a gradient, the same ones on all ranks
    (swe.sharing.dropping)."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Put the freshly built model on the device; the optimiser is built after it."""
        return model.to(device)

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return what is called in place of ``model`` for a loss that is differentiated."""
        return model

    def micro_batch(self, model: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Context of the forward and backward pass of a batch, the ``last`` one of an update."""
        return nullcontext()

    def settle(self, model: nn.Module) -> None:
        """Undo what forward passes without a backward pass leave behind."""

    def probe(self, model: nn.Module, loss: Callable[[], Tensor], seed: int) -> GradientStatistics:
        """Measure the repeats' own gradients; on several ranks those of the global batch."""
        return probe(find_stack(model)[1], loss, seed, model=model)

    def unshare(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        layout: Layout,
        handover: Handover = Handover(),  # noqa: B008 - frozen
    ) -> nn.Module:
        """Change the layout (see ``swe.sharing.unshare``); returns the model from now on."""
        unshare(
            model,
            optimizer,
            layout,
            moments=handover.moments,
            statistics=handover.statistics,
            convention=handover.convention,
        )
        return model

    def weight_energies(self, stack: Stack) -> dict[str, float]:
        """Energy of the whole weights (see ``swe.sharing.statistics``)."""
        return weight_energies(stack)
