"""Attention and dropout written out for a CPU, where torch's own leave its products idle.

Without a mask, B rows, H heads, S queries, T keys, W wide, scale s, dropout p:

    P = softmax(s Q K'),  D = P * N,  O = D V,  N_ij = 0 with chance p, else 1 / (1 - p)
    dV = D' dO,  dP = (dO V') * N,  dS = P * (dP - rowsum(dP * P)),  dQ = s dS K,  dK = s dS' Q

Torch's flash kernel takes no dropout on a CPU, and its plain one computes in float32 whatever the
inputs are; here every product is in the inputs' precision. P and N (B, H, S, T) are kept for the
backward pass. Dropout draws 16 bits an element, four from one 64-bit draw, so p is rounded to a
multiple of 2**-16 (and N is exact for the rounded one): other masks than torch's of equal law.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEVELS = 1 << 16


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: float = 0.0,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Return attention (B, H, S, W); query (B, H, S, W), key and value (B, H, T, W).

    ``causal``: query i sees keys 0..i. ``scale`` None: 1 / sqrt(W). Differentiable once.
    """
    if scale is None:
        scale = 1.0 / math.sqrt(query.shape[-1])
    out: Tensor = _Attention.apply(query, key, value, dropout, causal, scale)
    return out


def drop(values: Tensor, p: float) -> Tensor:
    """Return ``values`` with each entry 0 with chance ``p`` and 1 / (1 - p) of itself otherwise."""
    return values * noise(values.shape, p, values.dtype)


def noise(shape: torch.Size, p: float, dtype: torch.dtype) -> Tensor:
    """Draw N (``shape``) of the module's docstring from torch's CPU generator."""
    count = math.prod(shape)
    level = round(p * _LEVELS)
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = torch.empty(count, dtype=dtype)
    # Written as numbers at once: a bool would be converted, at four times the price.
    if level == _LEVELS:
        return kept.zero_().view(shape)
    torch.ge(words.view(torch.int16)[:count], level - _LEVELS // 2, out=kept)
    return kept.mul_(_LEVELS / (_LEVELS - level)).view(shape)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        dropout: float,
        causal: bool,
        scale: float,
    ) -> Tensor:
        shape = query.shape
        scaled = (query * scale).flatten(0, 1)
        keys, values = key.flatten(0, 1), value.flatten(0, 1)
        scores = torch.bmm(scaled, keys.transpose(1, 2))
        if causal:
            size = scores.shape[1:]
            scores.masked_fill_(torch.ones(size, dtype=torch.bool).triu_(1), -math.inf)
        shares = torch._softmax(scores, -1, False)
        factor = noise(shares.shape, dropout, shares.dtype) if dropout > 0 else None
        ctx.save_for_backward(scaled, keys, values, shares, factor)
        ctx.scale = scale
        kept = shares if factor is None else shares * factor
        return torch.bmm(kept, values).view(*shape[:-1], values.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        scaled, keys, values, shares, factor = ctx.saved_tensors
        heads = pull.shape[:2]
        pull = pull.flatten(0, 1)
        kept = shares if factor is None else shares * factor
        of_value = torch.bmm(kept.transpose(1, 2), pull)
        of_shares = torch.bmm(pull, values.transpose(1, 2))
        if factor is not None:
            of_shares.mul_(factor)
        of_scores = torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
        of_query = torch.bmm(of_scores, keys).mul_(ctx.scale)
        of_key = torch.bmm(of_scores.transpose(1, 2), scaled)
        return (
            of_query.unflatten(0, heads),
            of_key.unflatten(0, heads),
            of_value.unflatten(0, heads),
            None,
            None,
            None,
        )
