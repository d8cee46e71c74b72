"""How one model lies on the ranks: on one process, or replicated (DistributedDataParallel).

A :class:`Parallel` does for the engine and the schedule's runner whatever depends on that: it puts
the model on the device, gives the module to run forward in training, decides when gradients are
averaged, measures, and changes the layout. FSDP2 is in ``swe.ranks.sharded``.

DistributedDataParallel looks at the parameters once, when it is built: parameters that an untie
adds under an existing wrapper are never synchronised, without a word. So the wrapper goes before
every change of layout and the next update builds a new one.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from swe.ranks.distributed import Mode, World
from swe.sharing.layout import Layout
from swe.sharing.stack import Stack, find_stack
from swe.sharing.statistics import GradientStatistics, probe, weight_energies
from swe.sharing.unshare import Handover, unshare

# Bucket of the tied model, in MB: all of it in one. Tied gradients are complete only when the first
# layer's backward pass is, so smaller ones would wait all the same and pay the latency each.
_ONE_BUCKET = 1 << 20


class Parallel:
    """One process, and what the others override."""

    mode: Mode = "none"

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
        return probe(find_stack(model)[1], loss, seed)

    def unshare(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        layout: Layout,
        handover: Handover = Handover(),  # noqa: B008 - frozen
    ) -> nn.Module:
        """Change the layout (see ``swe.sharing.unshare``); returns the model from now on."""
        unshare(
            model, optimizer, layout, moments=handover.moments, statistics=handover.statistics,
            convention=handover.convention,
        )  # fmt: skip
        return model

    def weight_energies(self, stack: Stack) -> dict[str, float]:
        """Energy of the whole weights (see ``swe.sharing.statistics``)."""
        return weight_energies(stack)


class Replicated(Parallel):
    """Every rank holds the whole model; gradients are averaged while the backward pass runs."""

    mode: Mode = "ddp"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.wrapper: DistributedDataParallel | None = None

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return the wrapper of the present layout, built when there is none."""
        if self.wrapper is None:
            layout = find_stack(model)[1].layout
            device = next(model.parameters()).device
            self.wrapper = DistributedDataParallel(
                model,
                device_ids=[device] if device.type == "cuda" else None,
                bucket_cap_mb=None if layout.is_untied else _ONE_BUCKET,
                gradient_as_bucket_view=True,
            )
        return self.wrapper

    def micro_batch(self, model: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Average over ranks in the last backward pass alone; before it gradients add up here."""
        module = self.training_module(model)
        assert isinstance(module, DistributedDataParallel)
        return nullcontext() if last else module.no_sync()

    def probe(self, model: nn.Module, loss: Callable[[], Tensor], seed: int) -> GradientStatistics:
        """Average each parameter's gradients of all layers in turn; rank 0's numbers decide."""
        return probe(
            find_stack(model)[1], loss, seed, average=self.world.mean, common=_of_first_rank
        )

    def unshare(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        layout: Layout,
        handover: Handover = Handover(),  # noqa: B008 - frozen
    ) -> nn.Module:
        """Drop the wrapper, then change the layout."""
        self.wrapper = None
        gc.collect()  # a wrapper still alive would go on averaging the parameters that stay
        return super().unshare(model, optimizer, layout, handover)


def _of_first_rank(tensor: Tensor) -> Tensor:
    """Return rank 0's tensor: equal on equal hardware anyway, but a decision must be certain."""
    dist.broadcast(tensor, 0)
    return tensor
