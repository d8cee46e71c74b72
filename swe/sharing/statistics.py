"""What the layers' gradients and weights say about sharing: correlations, alignment, dispersion.

With g_r the gradient of repeat r (all parameters of its unit, flattened) and G = (g_r . g_s):

- adjacent correlation: cos(g_r, g_{r+1}), the quantity of SWE-A and SWE-M;
- alignment A = ||sum_r g_r||^2 / (B sum_r ||g_r||^2), in [0, 1]: the share of the gradient's energy
  in the common component g_0 = sum_r g_r / sqrt(B). Under the mean update R' = -A sum ||g_r||^2;
- the same orthonormal split of the weights, w_r = w_0 / sqrt(B) + u_r with sum u_r = 0, gives the
  common energy ||w_0||^2 and the deviation energy sum ||u_r||^2; their ratio to the total is the
  dispersion of the layers around their mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from swe.sharing.local import local
from swe.sharing.passes import differentiate
from swe.sharing.seeds import apart
from swe.sharing.stack import Stack

Reduce = Callable[[Tensor], Tensor]
"""Something done to a tensor over ranks: a mean, a sum."""


@dataclass(frozen=True)
class GradientStatistics:
    """Summary of one probe of B repeats.

    ``gram``: (B, B) inner products of the repeats' gradients, in units of loss squared over
    parameter squared. COR of Yang et al., arXiv 2110.03848, speaks of its ``correlations``.
    """

    gram: tuple[tuple[float, ...], ...]

    @property
    def correlations(self) -> tuple[float, ...]:
        """Cosine of adjacent repeats' gradients, (B-1,); NaN where one of them is zero."""
        gram = self.gram
        return tuple(
            _cosine(gram[i][i + 1], gram[i][i], gram[i + 1][i + 1]) for i in range(len(gram) - 1)
        )

    @property
    def alignment(self) -> float:
        """A = ||sum g||^2 / (B sum ||g||^2), in [0, 1] up to rounding; NaN for zero gradients."""
        trace = math.fsum(self.gram[i][i] for i in range(len(self.gram)))
        total = math.fsum(value for row in self.gram for value in row)
        return total / (len(self.gram) * trace) if trace > 0 else math.nan

    def mean_square(self, repeats: Sequence[int]) -> float:
        """||mean of g_r over ``repeats``||^2."""
        total = math.fsum(self.gram[i][j] for i in repeats for j in repeats)
        return total / len(repeats) ** 2

    def to_json(self) -> dict[str, Any]:
        """Return JSON-able data: what is undefined or not finite becomes null."""
        squares = [row[i] for i, row in enumerate(self.gram)]
        return {
            "gradient_norms": [
                finite_or_none(s if s != s else max(0.0, s) ** 0.5) for s in squares
            ],
            "correlations": [finite_or_none(c) for c in self.correlations],
            "alignment": finite_or_none(self.alignment),
        }


def finite_or_none(value: float) -> float | None:
    """Return ``value``, or None (JSON null) for NaN and the infinities."""
    return value if math.isfinite(value) else None


def _cosine(inner: float, first: float, second: float) -> float:
    if not (first > 0 and second > 0):
        return math.nan
    return inner / (math.sqrt(first) * math.sqrt(second))


@contextmanager
def drawing(stack: Stack, seed: int) -> Iterator[None]:
    """Within the context gradients are on and random numbers come from ``seed``."""
    with apart(seed), torch.enable_grad():
        yield


def identity(tensor: Tensor) -> Tensor:
    """Reduce over one process."""
    return tensor


def probe(
    stack: Stack,
    loss: Callable[[], Tensor],
    seed: int = 0,
    *,
    average: Reduce = identity,
    common: Reduce = identity,
    model: nn.Module | None = None,
) -> GradientStatistics:
    """Measure the repeats' own gradients of ``loss()``, tied or not, for one backward pass.

    ``loss`` must run the model that holds ``stack``; its dropout is drawn from ``seed``.
    Parameters, their ``.grad`` and the random state stay as they were; one small tensor is read
    back from the device. On several ranks ``average`` makes gradients those of the global batch
    and ``common`` the inner products everybody's (see :func:`gram_matrix`). With the ``model`` that
    ``loss`` runs, layers under reentrant checkpoints are measured too.
    """
    with drawing(stack, seed), stack.layer_leaves() as leaves:
        wanted = [t for layer in leaves for t in layer.values() if t.requires_grad]
        gradients = iter(differentiate(model, loss(), wanted))
        own = [
            {name: next(gradients) for name, t in layer.items() if t.requires_grad}
            for layer in leaves
        ]
    layout = stack.layout
    gram = gram_matrix(layout.in_units(own), layout.unit, average=average, common=common)
    return GradientStatistics(gram)


def gram_matrix(
    layers: Sequence[Mapping[str, Tensor | None]],
    unit: int,
    *,
    average: Reduce = identity,
    common: Reduce = identity,
) -> tuple[tuple[float, ...], ...]:
    """Inner products between repeats of the layers' gradients; a missing gradient counts as zero.

    ``layers``: one {name: gradient} a layer; ``unit`` consecutive layers make one repeat, each in
    the unit's order (:meth:`swe.sharing.layout.Layout.in_units`).
    ``average`` is applied to all repeats' gradients of one parameter, (B, n), at a time, so that
    no more than that is held twice; ``common`` to the finished (B, B) matrix.
    """
    repeats = len(layers) // unit
    gram: Tensor | None = None
    for position in range(unit):
        rows = [layers[r * unit + position] for r in range(repeats)]
        for name in rows[0]:
            found = [row[name] for row in rows]
            like = next((g for g in found if g is not None), None)
            if like is None:
                continue
            flat = torch.stack(
                [(torch.zeros_like(like) if g is None else g).reshape(-1) for g in found]
            )
            # Sums of products in at least float32; the sum over parameters in float64.
            flat = flat.float() if flat.dtype in (torch.bfloat16, torch.float16) else flat
            flat = average(flat)
            part = (flat @ flat.T).double()
            gram = part if gram is None else gram + part
    if gram is None:
        return ((0.0,) * repeats,) * repeats
    return tuple(tuple(row) for row in common(gram).tolist())


@torch.no_grad()
def weight_energies(stack: Stack, over_ranks: Reduce = identity) -> dict[str, float]:
    """Energy of the layers' weights in the common and the deviation component.

    Of sharded weights each rank sums its shards; ``over_ranks`` adds up the ranks'.

    Returns {"common": ||w_0||^2, "deviation": sum ||u_r||^2, "dispersion": deviation / total};
    the deviation is exactly 0 while all repeats share.
    """
    unit, repeats = stack.layout.unit, stack.layout.repeats
    owner = stack.layout.in_units(stack.layout.owner)
    common, deviation = 0.0, 0.0
    for position in range(unit):
        blocks = [dict(stack.blocks[block].named_parameters()) for block in owner[position::unit]]
        for name in blocks[0]:
            weights = torch.stack([local(b[name]) for b in blocks]).double()
            mean = weights.mean(0)
            common += repeats * float(mean.square().sum())
            if len(stack.layout.groups) > 1:
                deviation += sum(float((w - mean).square().sum()) for w in weights)
    if over_ranks is not identity:
        both = torch.tensor([common, deviation], dtype=torch.float64)
        common, deviation = over_ranks(both).tolist()
    total = common + deviation
    return {
        "common": common,
        "deviation": deviation,
        "dispersion": deviation / total if total > 0 else 0.0,
    }
