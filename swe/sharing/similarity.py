"""A penalty on layers that differ: the middle way between tied and untied.

For L layers in groups of k the mean cosine between the weights of layers k apart, over each matrix
G of a layer, and the penalty that is added to the loss:

    R_G = 1 / (L - k) * sum_{i=0}^{L-k-1} cos(W_G^i, W_G^{i+k}),   P = strength * sum_G (1 - R_G)

(i = g k + j runs through the positions j of all groups g but the last.) P is 0 where all groups are
equal, as tied they are, and blind to the layers' lengths. Its gradient, with n_i = ||W^i||:

    dP/dW^i = - strength / (L - k) * sum_o (W^o / (n_i n_o) - cos(W^i, W^o) W^i / n_i^2),
    o = i - k, i + k.

Two layers of one block have cosine 1 whatever its weights, hence no gradient: they are left out, so
that it is exactly zero. A matrix of zeros has no direction: its cosines count as 0, their gradient
as zero. Where layers are tied in part, a block has the sum over its layers, as from a loss, and the
gradient rule then divides it by their number as it does the loss's own.

Source: Saunshi et al., arXiv 2502.17416, the regulariser inspired by loops, from the description of
it; a matrix here is a parameter with two axes or more, so our query, key and value are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swe.base.config import require, require_between, require_count
from swe.sharing.stack import Stack
from swe.sharing.weights import named


@dataclass(frozen=True, kw_only=True)
class LayerSimilarity:
    """The penalty of :mod:`swe.sharing.similarity`. ConfigError for values outside their ranges."""

    strength: float
    """What the sum over matrices of 1 - R_G is multiplied by, positive."""
    unit: int = 1
    """k, layers of a group: layer i is drawn to layer i + k; divides the depth, and is less."""

    def __post_init__(self) -> None:
        require_between("strength", self.strength, 0, 1e6, open_low=True)
        require_count("unit", self.unit)

    def validate(self, depth: int) -> None:
        """Refuse a stack of ``depth`` layers that two groups or more do not make up."""
        require(
            depth % self.unit == 0 and self.unit < depth,
            "similarity.unit",
            self.unit,
            f"a divisor of the depth {depth}, and less",
        )

    @torch.no_grad()
    def value(self, stack: Stack) -> Tensor:
        """Return P / strength, the sum over matrices of 1 - R_G; 0-d, float64."""
        total = torch.zeros((), dtype=torch.float64)
        for weights in _matrices(stack):
            cosines = _Cosines(weights, self.unit)
            total = total.to(weights[0].device) + 1 - cosines.all().double().mean()
        return total

    @torch.no_grad()
    def add_gradient(self, stack: Stack) -> None:
        """Add dP/dW to ``.grad`` of the stack's matrices that require one, without a device sync.

        Weights that lie whole on this rank, and gradients that are averaged over ranks already:
        every rank then adds the same once.
        """
        for weights in _matrices(stack):
            cosines = _Cosines(weights, self.unit)
            scale = self.strength / (len(weights) - self.unit)
            for one, other, cosine in cosines.pairs():
                for i, o in ((one, other), (other, one)):
                    if not weights[i].requires_grad:
                        continue
                    gradient = _gradient(weights[i])
                    inverse = cosines.inverse[i]
                    gradient.addcmul_(weights[o], inverse * cosines.inverse[o], value=-scale)
                    gradient.addcmul_(weights[i], cosine * inverse * inverse, value=scale)


class _Cosines:
    """Norms of one matrix in all layers, and cosines between layers ``unit`` apart."""

    def __init__(self, weights: list[nn.Parameter], unit: int) -> None:
        self.weights, self.unit = weights, unit
        norms = torch._foreach_norm([weight.detach() for weight in weights])
        self.inverse = [torch.where(norm > 0, 1 / norm, 0.0) for norm in norms]

    def all(self) -> Tensor:
        """(L - k,); 1 within a block."""
        own = {one: cosine for one, _, cosine in self.pairs()}
        one = torch.ones_like(self.inverse[0])
        return torch.stack([own.get(i, one) for i in range(len(self.weights) - self.unit)])

    def pairs(self) -> Iterator[tuple[int, int, Tensor]]:
        """(i, i + k, their cosine) of layers with blocks of their own."""
        for i in range(len(self.weights) - self.unit):
            one, other = self.weights[i], self.weights[i + self.unit]
            if one is not other:
                dot = torch.dot(one.detach().flatten(), other.detach().flatten())
                yield i, i + self.unit, dot * self.inverse[i] * self.inverse[i + self.unit]


def _matrices(stack: Stack) -> Iterator[list[nn.Parameter]]:
    """Each matrix of a layer, of all layers in order, (depth,)."""
    blocks = [dict(named(block)) for block in stack.blocks]
    for name, parameter in blocks[0].items():
        if parameter.ndim >= 2:
            yield [blocks[owner][name] for owner in stack.layout.owner]


def _gradient(weight: nn.Parameter) -> Tensor:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad
