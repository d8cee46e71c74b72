"""A small model with attention, linear maps and dropout on the training core, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from swe.run.attention import AttentionShape
from swe.run.task import Batch
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack

DEPTH, WIDTH, HEADS, LENGTH = 4, 16, 2, 8


class Block(nn.Module):
    """Attention and a linear map, with dropout, as one would write them."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        split = self.qkv(hidden).view(-1, LENGTH, 3, HEADS, WIDTH // HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self.dropout.p if self.training else 0.0
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(hidden.shape))
        return hidden + self.dropout(out)


@dataclass(frozen=True)
class Copy:
    """Predict the inputs from themselves, one place to the side."""

    rows: int = 3
    dropout: float = 0.1
    depth: int = DEPTH
    flops_per_batch: float = 1.0

    @property
    def tokens_per_batch(self) -> int:
        return self.rows * LENGTH

    @property
    def attention(self) -> AttentionShape:
        return AttentionShape(self.rows, HEADS, LENGTH, WIDTH // HEADS, self.dropout)

    def describe(self) -> dict[str, Any]:
        return {"task": "copy", "rows": self.rows}

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return SharedStack([Block(self.dropout) for _ in range(DEPTH)], Layout.untied(DEPTH))

    def batch(self, seed: int, index: int) -> Batch:
        draw = torch.Generator().manual_seed(1000 * seed + index)
        return {"inputs": torch.randn(self.rows, LENGTH, WIDTH, generator=draw)}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return (model(batch["inputs"]).float() - batch["inputs"].roll(1, 1)).square().mean()

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        return {"loss": float(self.loss(model, self.batch(7, 0)))}
