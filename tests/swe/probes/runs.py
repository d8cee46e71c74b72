"""Small runs for the probes' tests: a user's model, its batches, and ways to get them wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from swe.probes.run import Run
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack
from tests.swe.sharing.residual import ResidualBlock

DEPTH, WIDTH = 4, 4


class Listed(nn.Module):
    """A user's model: its own loop over a ModuleList, something before and after."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, WIDTH)
        self.layers = nn.ModuleList([ResidualBlock(WIDTH, dropout) for _ in range(DEPTH)])
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.into(hidden)
        for layer in self.layers:
            hidden = layer(hidden)
        out: Tensor = self.out(hidden)
        return out


class Stacked(nn.Module):
    """The same with a SharedStack."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.into = nn.Linear(WIDTH, WIDTH)
        blocks = [ResidualBlock(WIDTH, dropout) for _ in range(DEPTH)]
        self.layers = SharedStack(blocks, Layout.untied(DEPTH))
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.out(self.layers(self.into(hidden)))
        return out


def loss_of(model: nn.Module, step: int) -> Tensor:
    source = torch.Generator().manual_seed(step)
    inputs = torch.randn(8, WIDTH, generator=source)
    return functional.mse_loss(model(inputs), inputs.sin().sum(1, keepdim=True))


def held(model: nn.Module) -> Tensor:
    model.eval()
    return loss_of(model, 10**6)


def make(
    kind: Callable[[float], nn.Module] = Listed,
    dropout: float = 0.1,
    peak: float = 0.05,
    **changes: Any,
) -> Run:
    torch.manual_seed(3)
    model = kind(dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak)
    fields: dict[str, Any] = {"layers": "layers", "loss": loss_of, "held": held}
    return Run(model=model, optimizer=optimizer, **fields | changes)
