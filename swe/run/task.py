"""What the training loop asks of a problem: a model, batches, a loss, an evaluation.

On several ranks a batch is cut along dimension 0 of each of its tensors, and the mean of the ranks'
losses stands for the batch's: each row must weigh the same in :meth:`Task.loss`. A task may also
have ``part(seed, index, rank, world) -> Batch``, rank's rows of the batch at less cost than all;
and ``flops_per_layer``, a float, the share of ``flops_per_batch`` that is one layer's: updates that
leave layers out or freeze them are then charged for what ran (swe.run.charged). A run that begins
as a smaller model needs a :class:`GrowingTask`, one that begins with factored matrices a
:class:`FactoredTask`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from swe.sharing.placement import World
from swe.transforms.anatomy import Anatomy

Batch = Mapping[str, Tensor]


class Task(Protocol):
    """A problem with a stack of repeated modules. Everything is a function of (config, seed)."""

    @property
    def depth(self) -> int:
        """Logical layers of the stack."""

    @property
    def tokens_per_batch(self) -> int:
        """Tokens (or examples) in one batch, for the ledger."""

    @property
    def flops_per_batch(self) -> float:
        """Floating-point operations of one forward and backward pass over a batch (analytic)."""

    def describe(self) -> dict[str, Any]:
        """JSON-able data that decides the outcome: model, data with checksums, batch size."""

    def build(self, seed: int) -> nn.Module:
        """Return the model on the CPU with one SharedStack, untied, each layer with its own start.

        A parameter's start must depend on (seed, its name) alone, so that all arms of a comparison
        begin with the same weights wherever they have the same parameter.
        """

    def batch(self, seed: int, index: int) -> Batch:
        """Return training batch number ``index``: a pure function of (seed, index)."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over the batch, 0-d."""

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Evaluate on fixed batches; "loss" is required among the results."""


@runtime_checkable
class GrowingTask(Task, Protocol):
    """A task whose model comes in other sizes, on the same batches."""

    @property
    def anatomy(self) -> Anatomy:
        """Which units the axes of the model's parameters count."""

    def resized(self, depth: int, widths: Mapping[str, int]) -> Task:
        """Return the same task with a model of another size. ConfigError for an impossible one."""


@runtime_checkable
class FactoredTask(GrowingTask, Protocol):
    """A task whose layers' matrices may be products, named as in ``swe.transforms.factors``."""

    def factored(self, rank: int) -> Task:
        """Return the same task with products of a rank, and the anatomy that it has itself.

        ConfigError for an impossible rank.
        """


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
