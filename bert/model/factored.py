"""A BERT whose layers' matrices are products of thin ones: CoRe's relaxed model.

``swe.transforms.factors`` multiplies its weights out into those of the whole
:class:`bert.model.encoder.Bert`, which computes the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bert.model.config import BertConfig
from bert.model.encoder import Bert, build_bert
from swe.base.config import require, require_count
from swe.sharing.seeds import generator
from swe.transforms.factors import factored_cost, nearest

PARTS = {"attention.qkv": 3, "attention.output": 1, "inner": 1, "outer": 1}
"""A layer's matrices, and how many lie in each: query, key and value have factors of their own."""

KEPT_VARIANCE = 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2))
"""Of a normal variable cut off at two deviations."""


class FactoredLinear(nn.Module):
    """x -> left (right x) + bias, ``blocks`` times over, one output after the other.

    ``left`` (blocks, out, rank), ``right`` (blocks, rank, in), ``bias`` (blocks * out,); of one
    block without the first axis. ConfigError for a rank above both ends, which adds nothing.
    """

    def __init__(self, into: int, out: int, rank: int, blocks: int = 1) -> None:
        super().__init__()
        require_count("rank", rank)
        most = min(into, out)
        require(rank <= most, "rank", rank, f"at most {most}, the whole matrix's")
        outer = () if blocks == 1 else (blocks,)
        self.blocks = blocks
        self.left = nn.Parameter(torch.empty(*outer, out, rank))
        self.right = nn.Parameter(torch.empty(*outer, rank, into))
        self.bias = nn.Parameter(torch.zeros(blocks * out))

    @torch.no_grad()
    def draw(self, std: float, seed: int, name: str) -> None:
        """Draw both factors, from (seed, name), so that the product's entries have the deviation of
        a matrix drawn with ``std``; all are cut off at two deviations, as ``build_bert`` does.

        Factors of deviation s, of which the cut keeps c s^2: r (c s^2)^2 = c std^2.
        """
        rank = self.left.shape[-1]
        each = math.sqrt(std) / (KEPT_VARIANCE * rank) ** 0.25
        for end, factor in (("left", self.left), ("right", self.right)):
            draw = generator(seed, f"{name}.{end}")
            nn.init.trunc_normal_(factor, 0.0, each, -2 * each, 2 * each, generator=draw)

    @torch.no_grad()
    def fit(self, whole: nn.Linear) -> None:
        """Take the product nearest to a whole matrix, and its bias."""
        left, right = nearest(whole.weight, self.left.shape[-1], self.blocks)
        for own, found in ((self.left, left), (self.right, right), (self.bias, whole.bias)):
            own.copy_(found)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., blocks * out)."""
        if self.blocks == 1:
            return nn.functional.linear(nn.functional.linear(x, self.right), self.left, self.bias)
        thin = torch.einsum("...i,bri->...br", x, self.right)
        return torch.einsum("...br,bor->...bo", thin, self.left).flatten(-2) + self.bias


def build_factored(config: BertConfig, rank: int, seed: int) -> Bert:
    """Return ``build_bert``'s model with every matrix of its layers a product of that rank.

    What is not factored has the weights that it has there.
    """
    return factorised(build_bert(config, seed), rank, seed)


def factorised(model: Bert, rank: int, seed: int) -> Bert:
    """Put products, newly drawn, in the place of all matrices of an untied model's layers."""
    return _with_products(
        model,
        rank,
        lambda thin, _, name: thin.draw(model.config.initial_std, seed, name),
    )


def decomposed(model: Bert, rank: int) -> Bert:
    """Put the nearest products in the place of all matrices of an untied model's layers.

    The function changes where a matrix is of a higher rank. ConfigError as FactoredLinear.
    """
    return _with_products(model, rank, lambda thin, whole, _: thin.fit(whole))


def _with_products(
    model: Bert, rank: int, begin: Callable[[FactoredLinear, nn.Linear, str], None]
) -> Bert:
    """Replace every matrix by a product that ``begin`` fills: the product, the matrix, its name."""
    for layer, block in enumerate(model.stack.blocks):
        for name, blocks in PARTS.items():
            whole = block.get_submodule(name)
            assert isinstance(whole, nn.Linear)
            thin = FactoredLinear(whole.in_features, whole.out_features // blocks, rank, blocks)
            thin.to(whole.weight.dtype)
            begin(thin, whole, f"stack.blocks.{layer}.{name}")
            parent, _, own = name.rpartition(".")
            setattr(block.get_submodule(parent), own, thin)
    return model


def require_rank(config: BertConfig, rank: int) -> None:
    """Refuse a rank that adds nothing to one of the layers' matrices, as FactoredLinear does."""
    require_count("rank", rank)
    most = min(config.hidden, config.intermediate)
    require(rank <= most, "rank", rank, f"at most {most}, the whole matrix's")


def spared_flops(config: BertConfig, rank: int) -> float:
    """Matrix-product FLOPs, forward and backward, that factors spare a token in one layer.

    Of a matrix (out, in) they take the share r (out + in) / out in.
    """
    h, f = config.hidden, config.intermediate
    return sum(
        count * 6 * out * into * (1 - factored_cost(out, into, rank))
        for count, out, into in ((4, h, h), (1, f, h), (1, h, f))
    )
