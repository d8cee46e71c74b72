"""Replicated weights: every rank holds the whole model (DistributedDataParallel).

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

from swe.sharing.layout import Layout
from swe.sharing.optimizers import Optimizers
from swe.sharing.placement import Mode, Parallel, World
from swe.sharing.stack import find_stack
from swe.sharing.statistics import GradientStatistics, probe
from swe.sharing.unshare import Handover

# Bucket of the tied model, in MB: all of it in one. Tied gradients are complete only when the first
# layer's backward pass is, so smaller ones would wait all the same and pay the latency each.
_ONE_BUCKET = 1 << 20


class Replicated(Parallel):
    """Every rank holds the whole model; gradients are averaged while the backward pass runs."""

    mode: Mode = "ddp"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.wrapper: DistributedDataParallel | None = None

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Put a model on the device; a wrapper around an earlier one (before a growth) goes."""
        self.wrapper = None
        return super().place(model, device)

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return the wrapper of the present layout, built when there is none."""
        if self.wrapper is not None and self.wrapper.find_unused_parameters != self.leaves_out:
            self._unwrap()  # looking for them costs every update a walk through its graph
        if self.wrapper is None:
            layout = find_stack(model)[1].layout
            device = next(model.parameters()).device
            self.wrapper = DistributedDataParallel(
                model,
                device_ids=[device] if device.type == "cuda" else None,
                bucket_cap_mb=None if layout.is_untied else _ONE_BUCKET,
                gradient_as_bucket_view=True,
                # Blocks of which no layer ran have no gradient, on any rank alike. Where none is
                # missing, torch says so once, on stderr.
                find_unused_parameters=self.leaves_out,
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
        optimizer: Optimizers,
        layout: Layout,
        handover: Handover = Handover(),  # noqa: B008 - frozen
    ) -> nn.Module:
        """Drop the wrapper, then change the layout."""
        self._unwrap()
        return super().unshare(model, optimizer, layout, handover)

    def _unwrap(self) -> None:
        self.wrapper = None
        gc.collect()  # a wrapper still alive would go on averaging the parameters that stay


def _of_first_rank(tensor: Tensor) -> Tensor:
    """Return rank 0's tensor: equal on equal hardware anyway, but a decision must be certain."""
    dist.broadcast(tensor, 0)
    return tensor
