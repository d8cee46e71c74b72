"""Blocks of a stack: how one is run, and how several are made equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Blocks(Protocol):
    """An ordered collection of the distinct blocks, as ``nn.ModuleList`` is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> nn.Module: ...

    def __iter__(self) -> Iterator[nn.Module]: ...


RunLayer = Callable[..., Any]


def run_block(block: nn.Module, hidden: Any, *args: Any, **kwargs: Any) -> Any:
    """Run one block; a function, so that one compiled version serves all blocks."""
    return block(hidden, *args, **kwargs)


class Runner(nn.Module):
    """One layer as a module, for ``functional_call`` to run it with other parameters."""

    def __init__(self, block: nn.Module, run: RunLayer) -> None:
        super().__init__()
        self.block, self.run = block, run

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the block as the stack would."""
        return self.run(self.block, *args, **kwargs)


@torch.no_grad()
def equalise_weights(blocks: Blocks, unit: int, *, buffers: bool = False) -> None:
    """Copy weights (and ``buffers``) of the first ``unit`` blocks into every later repeat."""
    for index, block in enumerate(blocks):
        source = dict(_tensors(blocks[index % unit]))
        for name, tensor in _tensors(block):
            if tensor is not source[name] and (buffers or isinstance(tensor, nn.Parameter)):
                tensor.copy_(source[name])


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()
