"""For a shared stack whose layers differ in more than weights: each layer's own module.

The stack registers one block a group; the other layers run their own modules, which hold the
block's parameters and buffers. Buffers that are to be each layer's own go into the stack's state
under ``own.``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from swe.sharing.alike import covers
from swe.sharing.layout import Layout
from swe.sharing.weights import clone, hold, parameters_of, twins


class OwnModules:
    """One module a layer, (depth,); those that are no block are not registered anywhere.

    ``per_layer`` names the buffers that are not shared.
    """

    def __init__(self, modules: Sequence[nn.Module], per_layer: Sequence[str] = ()) -> None:
        self.modules, self.per_layer = list(modules), tuple(per_layer)

    def follow(self, layout: Layout) -> list[nn.Module]:
        """Hold the weights as ``layout`` shares them, by each block's first layer; its blocks."""
        for module, block in zip(self.modules, layout.owner, strict=True):
            first = self.modules[layout.owner.index(block)]
            hold(module, parameters_of(first))
            for (part, name), buffer in self._shared(first).items():
                module.get_submodule(part)._buffers[name] = buffer
        return [self.modules[layout.owner.index(block)] for block in range(layout.block_count)]

    def split(self, old: Layout, new: Layout) -> list[nn.Module]:
        """As :meth:`follow`, after copies of the weights for the blocks that ``new`` adds."""
        for block in range(new.block_count):
            layer = new.owner.index(block)
            if old.owner.index(old.owner[layer]) != layer:
                module = self.modules[layer]
                hold(module, twins(parameters_of(module), clone))
                for (part, name), buffer in self._shared(module).items():
                    module.get_submodule(part)._buffers[name] = buffer.clone()
        return self.follow(new)

    def _shared(self, module: nn.Module) -> dict[tuple[str, str], Tensor]:
        return {
            (path, name): buffer
            for path, part in module.named_modules()
            for name, buffer in part._buffers.items()
            if buffer is not None and not self._own(path, name)
        }

    def _own(self, path: str, name: str) -> bool:
        return any(covers(asked, f"{path}.{name}".lstrip(".")) for asked in self.per_layer)

    def others(self, layout: Layout) -> Iterator[tuple[int, nn.Module]]:
        """(layer, module) of those that are no block."""
        for layer, block in enumerate(layout.owner):
            if layout.owner.index(block) != layer:
                yield layer, self.modules[layer]

    def apply(self, layout: Layout, change: Callable[[Tensor], Tensor]) -> None:
        """Do to their buffers what the stack's own ``_apply`` did to the blocks."""
        for _, module in self.others(layout):
            for path, part in module.named_modules():
                for name, buffer in part._buffers.items():
                    if buffer is not None and self._own(path, name):
                        part._buffers[name] = change(buffer)
        self.follow(layout)

    def train(self, layout: Layout, mode: bool) -> None:
        """Follow the stack into training or evaluation mode."""
        for _, module in self.others(layout):
            module.train(mode)

    def buffers(self, layout: Layout) -> Iterator[tuple[str, Tensor]]:
        """Yield (key, buffer) of what a checkpoint must keep of them."""
        for layer, module in self.others(layout):
            for path, part in module.named_modules():
                for name, buffer in part._buffers.items():
                    kept = name not in part._non_persistent_buffers_set
                    if buffer is not None and kept and self._own(path, name):
                        yield f"own.{layer}.{path}.{name}".replace("..", "."), buffer

    @torch.no_grad()
    def load(
        self, layout: Layout, state: dict[str, Any], prefix: str, missing: list[str]
    ) -> list[str]:
        """Copy their buffers from ``state``; returns the keys that were theirs."""
        taken = []
        for key, buffer in self.buffers(layout):
            if prefix + key in state:
                buffer.copy_(state[prefix + key])
                taken.append(prefix + key)
            else:
                missing.append(prefix + key)
        return taken


def has_hooks(block: nn.Module) -> bool:
    """Whether a forward hook is on any module of the block."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in block.modules())
