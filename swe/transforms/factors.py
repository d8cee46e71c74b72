"""Weights trained as the product of two, and multiplied out into one (CoRe).

Yang et al., arXiv 2011.13633: a relaxed BERT, whose large matrices are products of thin ones, is
trained first, at less cost; then W = U V, (out, r) times (r, in), is multiplied out and BERT itself
trained on. As (U V) x = U (V x) the function stays, to rounding. The paper's other relaxation, a
fast attention, is no product of weights, and is not here: the attention's projections are.

The product begins without moments. Let G be the gradient of W: U has G V^T and V has U^T G, which
tell G but for its part (1 - P) G (1 - Q), P the projection on U's columns and Q that on V's rows.
In those directions a product of rank r cannot move and W can, so what they would have is unknown;
what is known is mixed over updates in which U and V were others; and second moments are squares of
sums over G's entries. Everything else keeps its state.

The paper draws the factors. A model that is there already has the nearest ones (:func:`nearest`),
which is ours: they are the whole matrix where it has no more than their rank, as a matrix has whose
units are copies of fewer ones.

Names: factors ``a.left`` and ``a.right`` become ``a.weight``. Several products in one matrix
(query, key and value) are factors (blocks, out, r) and (blocks, r, in), whose products lie one
after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from swe.base.config import require, require_count
from swe.base.errors import ConfigError

LEFT, RIGHT, WEIGHT = ".left", ".right", ".weight"


def factored(names: Iterable[str]) -> tuple[str, ...]:
    """Return the stems of all products among ``names``: ``a`` for ``a.left`` and ``a.right``.

    ConfigError for a factor without the other, or beside a weight that is multiplied out already.
    """
    known = set(names)
    stems = {
        name.removesuffix(end) for end in (LEFT, RIGHT) for name in known if name.endswith(end)
    }
    for stem in sorted(stems):
        for end in (LEFT, RIGHT):
            if stem + end not in known:
                raise ConfigError(f"{stem}: has one factor, and {stem + end} is missing")
        if stem + WEIGHT in known:
            raise ConfigError(f"{stem}: has factors and a weight; keep one of the two")
    return tuple(sorted(stems))


@torch.no_grad()
def nearest(matrix: Tensor, rank: int, blocks: int = 1) -> tuple[Tensor, Tensor]:
    """Return the factors of a rank whose product is nearest to a matrix (blocks * out, in).

    (out, r) and (r, in), of several blocks with that axis first; :func:`product` is the inverse
    where the rank suffices. By the truncated singular value decomposition, no product of the rank
    has a smaller sum of squared distances (Eckart and Young, Psychometrika 1, 1936); each factor
    takes the root of the singular values, so both have one Gram matrix and neither moves faster.
    ConfigError for a rank above both ends, or blocks that do not fit.
    """
    require_count("rank", rank)
    require(matrix.shape[0] % blocks == 0, "blocks", blocks, f"a divisor of {matrix.shape[0]}")
    cut = matrix.reshape(blocks, -1, matrix.shape[1])
    most = min(cut.shape[1:])
    require(rank <= most, "rank", rank, f"at most {most}, the whole matrix's")
    left, sizes, right = torch.linalg.svd(cut.double(), full_matrices=False)
    roots = sizes[:, :rank].sqrt()
    found = left[..., :rank] * roots[:, None, :], roots[:, :, None] * right[:, :rank]
    thin, flat = (one.to(matrix.dtype).contiguous() for one in found)
    return (thin, flat) if blocks > 1 else (thin[0], flat[0])


@torch.no_grad()
def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply (out, r) and (r, in), or as many blocks of them, in float64; dtype of ``left``.

    ConfigError where the shapes do not fit.
    """
    fits = left.ndim == right.ndim in (2, 3) and left.shape[-1] == right.shape[-2]
    if not fits or left.shape[:-2] != right.shape[:-2]:
        raise ConfigError(
            f"factors of shapes {tuple(left.shape)} and {tuple(right.shape)} have no product"
        )
    return (left.double() @ right.double()).flatten(0, -2).to(left.dtype)


def multiplied_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with every product multiplied out, the others as they are; all copies."""
    stems = factored(weights)
    found = {name: weights[name].detach().clone() for name in _others(weights)}
    return found | {
        stem + WEIGHT: product(weights[stem + LEFT], weights[stem + RIGHT]) for stem in stems
    }


def multiplied_state(states: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the optimiser's state of what was no factor, copied; products have none."""
    return {
        name: {
            key: value.clone() if isinstance(value, Tensor) else value
            for key, value in states[name].items()
        }
        for name in _others(states)
    }


def factored_cost(out: int, into: int, rank: int) -> float:
    """Matrix products of a factored weight, forward or backward, as a share of the whole one's.

    r (out + in) / out in, which is below 1 for a rank below half their harmonic mean.
    """
    return rank * (out + into) / (out * into)


def _others(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith((LEFT, RIGHT))]
