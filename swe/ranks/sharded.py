"""FSDP2: every rank holds a slice of each parameter, gradient and moment, also across a split.

While a block is shared it stays in the root's group: a group of its own would gather it anew at
each of its uses. A block with one use is a group of its own, gathered just before it runs. So each
split needs new groups. ``fully_shard`` cannot be taken back; instead a skeleton of the model (on
the meta device, no memory) is split and sharded anew, and takes over the slices. FSDP2 cuts every
parameter along dimension 0, whatever its group, so a slice fits as it is: nothing is gathered, and
the optimiser's state follows by name.

What a module holds beside parameters and buffers comes from the skeleton, that is from the model
as it was built.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.local import local
from swe.sharing.optimizers import Optimizers
from swe.sharing.placement import Mode, Parallel, World
from swe.sharing.stack import SharedStack, Stack, block_of_parameters, find_stack
from swe.sharing.statistics import GradientStatistics, drawing, gram_matrix, weight_energies
from swe.sharing.unshare import Handover, check_unshare, follow, inheritance


class Sharded(Parallel):
    """Fully sharded data parallel over all ranks (one mesh dimension)."""

    mode: Mode = "fsdp"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._skeleton: nn.Module | None = None
        self._mesh: DeviceMesh | None = None

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Shard the freshly built model; keeps its skeleton for later layouts."""
        self._mesh = init_device_mesh(device.type, (self.world.size,))
        self._skeleton = copy.deepcopy(model).to("meta")
        return self._shard(model.to(device))

    def _shard(self, model: nn.Module) -> nn.Module:
        _, stack = find_stack(model)
        require_own_stack(stack)
        for block, uses in zip(stack.blocks, stack.layout.uses, strict=True):
            if uses == 1:
                fully_shard(block, mesh=self._mesh)
        fully_shard(model, mesh=self._mesh)
        return model

    def micro_batch(self, model: nn.Module, last: bool) -> AbstractContextManager[object]:
        """Reduce and slice gradients in the last backward pass alone; before it they add up whole.

        That spares the network at the price of memory: an update of several batches holds whole
        gradients between them.
        """
        _sharded(model).set_requires_gradient_sync(last)
        return nullcontext()

    def settle(self, model: nn.Module) -> None:
        """Give the root's gathered parameters up; a forward pass alone leaves them whole."""
        _sharded(model).reshard()

    def probe(self, model: nn.Module, loss: Callable[[], Tensor], seed: int) -> GradientStatistics:
        """Measure on slices: a layer with its own block by its ordinary gradient.

        Layers that share get leaves over the gathered block, and their gradients are averaged and
        cut one parameter at a time. Every rank then has inner products of its slices, and their
        sums over ranks are those of the whole. Gradients must be absent before; they are after.
        """
        stack = require_own_stack(find_stack(model)[1])
        with drawing(stack, seed):
            if not stack.layout.is_untied:
                _sharded(model).unshard()
            with stack.shared_layer_leaves() as leaves:
                loss().backward()
        self.settle(model)
        blocks = [stack.blocks[owner] for owner in stack.layout.owner]
        own: list[dict[str, Tensor | None]] = [
            {name: _local_gradient(p) for name, p in block.named_parameters() if p.requires_grad}
            for block in blocks
        ]
        layout = stack.layout
        ordered = layout.in_units(range(layout.depth))
        for position in range(layout.unit):
            members = [i for i in ordered[position :: layout.unit] if leaves[i] is not None]
            for name in own[position] if members else ():
                held = [leaves[layer] or {} for layer in members]
                found = [leaf[name].grad for leaf in held]
                whole = [gradient for gradient in found if gradient is not None]
                if len(whole) < len(found):  # a parameter that the loss does not reach
                    continue
                parts = self._slice(self.world.mean(torch.stack(whole)))
                for layer, part, leaf in zip(members, parts, held, strict=True):
                    own[layer][name] = part
                    leaf[name].grad = None
        model.zero_grad(set_to_none=True)
        gram = gram_matrix(layout.in_units(own), layout.unit, common=self.world.total)
        return GradientStatistics(gram)

    def _slice(self, whole: Tensor) -> Tensor:
        """Cut (layers, rows, ...) to this rank's rows, as FSDP2 cuts a parameter."""
        chunks = whole.chunk(self.world.size, dim=1)
        rank = self.world.rank
        return chunks[rank].clone() if rank < len(chunks) else whole[:, :0]

    @torch.no_grad()
    def unshare(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        layout: Layout,
        handover: Handover = Handover(),  # noqa: B008 - frozen
    ) -> nn.Module:
        """Split the skeleton, shard it anew, hand slices and optimiser over; returns the new model.

        Raises ConfigError as ``swe.sharing.unshare.unshare`` does.
        """
        assert self._skeleton is not None
        check_unshare(model, optimizer, handover.moments, handover.statistics)
        prefix, stack = find_stack(self._skeleton)
        head, old = f"{prefix}." if prefix else "", stack.layout
        origin = {head + new: head + name for new, name in stack.relayout(layout).items()}
        device = next(model.parameters()).device
        fresh = self._shard(copy.deepcopy(self._skeleton)).to_empty(device=device)
        fresh.train(model.training)
        before, after = dict(model.named_parameters()), dict(fresh.named_parameters())
        for name, parameter in after.items():
            local(parameter).copy_(local(before[origin.get(name, name)]))
        _copy_buffers(model, fresh, head, layout.parents(old))
        taken_over = require_own_stack(find_stack(fresh)[1])
        taken_over.run_as(require_own_stack(find_stack(model)[1]))
        heirs = inheritance(
            origin,
            block_of_parameters(prefix, stack),
            old,
            layout,
            handover.moments,
            handover.statistics,
            handover.convention,
        )
        follow(optimizer, before, after, heirs, handover.moments)
        return fresh

    def weight_energies(self, stack: Stack) -> dict[str, float]:
        """Sum the energies of the slices over the ranks."""
        return weight_energies(stack, self.world.total)


def require_own_stack(stack: Stack) -> SharedStack:
    """Refuse an adopted list of layers: its container would be torn out of the sharded model."""
    if not isinstance(stack, SharedStack):
        raise ConfigError("parallel = 'fsdp': needs a SharedStack, not an adopted list of layers")
    return stack


def _sharded(model: nn.Module) -> FSDPModule:
    assert isinstance(model, FSDPModule)
    return model


def _local_gradient(parameter: nn.Parameter) -> Tensor | None:
    return None if parameter.grad is None else local(parameter.grad)


def _copy_buffers(model: nn.Module, fresh: nn.Module, head: str, parents: tuple[int, ...]) -> None:
    """Copy every buffer, those of a split block from its parent: ``to_empty`` left them unset."""
    source = dict(model.named_buffers())
    for name, buffer in fresh.named_buffers():
        if name.startswith(f"{head}blocks."):
            block, rest = name.removeprefix(f"{head}blocks.").split(".", 1)
            name = f"{head}blocks.{parents[int(block)]}.{rest}"
        buffer.copy_(source[name])
