"""A small residual network on the training core, for tests: no text, no BERT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from swe.run.task import Batch
from swe.sharing.layout import Layout
from swe.sharing.seeds import derive_seed, generator
from swe.sharing.stack import SharedStack, find_stack
from swe.transforms.anatomy import FIXED, Anatomy, Axis


class ResidualBlock(nn.Module):
    """x + W2 tanh(W1 x + b), with dropout on the branch."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.dropout(self.outer(torch.tanh(self.inner(hidden))))


class ResidualNet(nn.Module):
    def __init__(self, depth: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Linear(width, width)
        blocks = [ResidualBlock(width, dropout) for _ in range(depth)]
        self.stack = SharedStack(blocks, Layout.untied(depth))
        self.head = nn.Linear(width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.stack(self.embed(inputs))
        return self.head(hidden)


@torch.no_grad()
def start(model: nn.Module, seed: int) -> None:
    for name, parameter in model.named_parameters():
        draw = torch.empty_like(parameter).normal_(0, 0.3, generator=generator(seed, name))
        parameter.copy_(draw)


class RegressionTask:
    """Fit a fixed random function of Gaussian inputs."""

    def __init__(
        self,
        depth: int = 4,
        width: int = 6,
        batch: int = 8,
        dropout: float = 0.0,
        dtype: torch.dtype = torch.float32,
        poison: Callable[[int], bool] = lambda index: False,
    ) -> None:
        self.depth, self.width, self.size = depth, width, batch
        self.dropout, self.dtype, self.poison = dropout, dtype, poison

    @property
    def tokens_per_batch(self) -> int:
        return self.size

    @property
    def flops_per_batch(self) -> float:
        return 6.0 * self.size * self.depth * 2 * self.width**2

    def describe(self) -> dict[str, Any]:
        return {
            "depth": self.depth,
            "width": self.width,
            "batch": self.size,
            "dropout": self.dropout,
        }

    def build(self, seed: int) -> nn.Module:
        model = ResidualNet(self.depth, self.width, self.dropout).to(self.dtype)
        start(model, seed)
        return model

    def batch(self, seed: int, index: int) -> Batch:
        source = torch.Generator().manual_seed(derive_seed(seed, "batch", index))
        inputs = torch.randn(self.size, self.width, generator=source, dtype=self.dtype)
        target = torch.sin(inputs.sum(1, keepdim=True))
        return {"inputs": inputs, "target": target * torch.nan if self.poison(index) else target}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        error: Tensor = model(batch["inputs"]) - batch["target"]
        return error.square().mean()

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        batch = {k: v.to(device) for k, v in self.batch(0, 10**9).items()}
        return {"loss": float(self.loss(model, batch))}


HIDDEN, READ = Axis(space="hidden"), Axis(space="hidden", way="in")


class GrowingRegression(RegressionTask):
    """The residual network in any depth."""

    @property
    def anatomy(self) -> Anatomy:
        return Anatomy(
            depth=self.depth,
            widths={"hidden": self.width},
            stack="stack.blocks",
            layer={
                "inner.weight": (HIDDEN, READ),
                "inner.bias": (HIDDEN,),
                "outer.weight": (HIDDEN, READ),
            },
            rest={
                "embed.weight": (HIDDEN, FIXED),
                "embed.bias": (HIDDEN,),
                "head.weight": (FIXED, READ),
                "head.bias": (FIXED,),
            },
            ends=("outer.weight",),
            below=("embed.weight", "embed.bias"),
        )

    @property
    def flops_per_layer(self) -> float:
        return self.flops_per_batch / self.depth

    def resized(self, depth: int, widths: Mapping[str, int]) -> GrowingRegression:
        assert not widths
        return GrowingRegression(depth, self.width, self.size, self.dropout, self.dtype)

    def factored(self, rank: int) -> FactoredRegression:
        return FactoredRegression(self.depth, self.width, self.size, self.dropout, self.dtype, rank)


class Thin(nn.Module):
    """A matrix as a product."""

    def __init__(self, whole: nn.Linear, rank: int) -> None:
        super().__init__()
        self.left = nn.Parameter(torch.empty(whole.out_features, rank))
        self.right = nn.Parameter(torch.empty(rank, whole.in_features))
        self.bias = whole.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.linear(x, self.right), self.left, self.bias)


class FactoredRegression(GrowingRegression):
    """The residual network with products in its layers."""

    def __init__(
        self, depth: int, width: int, batch: int, dropout: float, dtype: torch.dtype, rank: int
    ) -> None:
        super().__init__(depth, width, batch, dropout, dtype)
        self.rank = rank

    @property
    def flops_per_batch(self) -> float:
        return super().flops_per_batch * 2 * self.rank / self.width

    def build(self, seed: int) -> nn.Module:
        model = super().build(seed)
        for block in find_stack(model)[1].blocks:
            for name in ("inner", "outer"):
                whole = block.get_submodule(name)
                assert isinstance(whole, nn.Linear)
                setattr(block, name, Thin(whole, self.rank))
        model.to(self.dtype)
        start(model, seed)
        return model
