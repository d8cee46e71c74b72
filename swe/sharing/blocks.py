"""Blocks of a stack: how one is run, and how several are made equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from swe.sharing.alike import covers


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
def equalise_weights(blocks: Sequence[nn.Module], unit: int) -> None:
    """Copy weights of the first ``unit`` blocks into every later repeat, in the unit's order."""
    for index, block in enumerate(blocks):
        source = dict(blocks[index % unit].named_parameters())
        for name, parameter in block.named_parameters():
            if parameter is not source[name]:
                parameter.copy_(source[name])


@torch.no_grad()
def equalise_buffers(blocks: Sequence[nn.Module], unit: int, per_layer: Sequence[str]) -> None:
    """Copy buffers likewise, but for those that ``per_layer`` names."""
    for index, block in enumerate(blocks):
        source = dict(blocks[index % unit].named_buffers())
        for name, buffer in block.named_buffers():
            kept = any(covers(asked, name) for asked in per_layer)
            if not kept and buffer is not source[name]:
                buffer.copy_(source[name])
