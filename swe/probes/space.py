"""All layers' parameters as one vector, each layer with its own, and its mean over the repeats.

A vector holds all trainable parameters of all layers, flat: parameter by parameter of the unit, and
of each the repeats in order, (B, n) after (B, n). P v is the mean over repeats put in every
repeat's place, Q = I - P, and E y = (y, ..., y) / sqrt(B) puts a vector over one unit there, with
unit norm: E^T E = I, E E^T = P. (A parameter that is frozen in some repeats is averaged over the
others; one that is frozen everywhere is no part of it.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from swe.base.errors import ConfigError
from swe.sharing.local import is_sharded
from swe.sharing.seeds import generator


class Space:
    """Flat vectors over the trainable ``leaves``, one {name: leaf} a layer, ``unit`` a repeat,
    each in the unit's order (:meth:`swe.sharing.layout.Layout.in_units`).

    Raises ConfigError where there is none, or they are sharded or of several devices or types.
    """

    def __init__(self, leaves: Sequence[dict[str, Tensor]], unit: int) -> None:
        self.leaves: list[Tensor] = []
        self._shapes: list[tuple[int, int]] = []
        for position in range(unit):
            layers = leaves[position::unit]
            for name in layers[0]:
                rows = [layer[name] for layer in layers if layer[name].requires_grad]
                if rows:
                    self.leaves += rows
                    self._shapes.append((len(rows), rows[0].numel()))
        _require_whole(self.leaves)
        self.size = sum(repeats * n for repeats, n in self._shapes)
        self.unit_size = sum(n for _, n in self._shapes)

    def gradient(self, loss: Tensor, graph: bool = False) -> Tensor:
        """Gradient of ``loss``, (size,); with ``graph``, one that can be differentiated.

        Raises ConfigError where the loss reaches none of the layers' own parameters.
        """
        found: Sequence[Tensor | None] = ()
        if loss.requires_grad:
            found = torch.autograd.grad(loss, self.leaves, create_graph=graph, allow_unused=True)
        if all(part is None for part in found):
            raise ConfigError(
                "loss: no gradient reaches the layers; it must run the model that holds the stack, "
                "with gradients on, and gradient checkpointing only with use_reentrant=False"
            )
        return self.flat(found)

    def flat(self, parts: Sequence[Tensor | None]) -> Tensor:
        """Return one vector of a tensor for each leaf; None is zero."""
        pairs = zip(self.leaves, parts, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for p, g in pairs])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Undo :meth:`flat`."""
        pieces = vector.split([leaf.numel() for leaf in self.leaves])
        return [p.view_as(leaf) for p, leaf in zip(pieces, self.leaves, strict=True)]

    def gather(self, vector: Tensor) -> Tensor:
        """E^T: sum the repeats, over sqrt(B); (size,) to (unit_size,)."""
        pieces = vector.split([repeats * n for repeats, n in self._shapes])
        return torch.cat(
            [
                piece.view(repeats, n).sum(0) / math.sqrt(repeats)
                for piece, (repeats, n) in zip(pieces, self._shapes, strict=True)
            ]
        )

    def spread(self, vector: Tensor) -> Tensor:
        """E: put it at every repeat, over sqrt(B); (unit_size,) to (size,)."""
        pieces = vector.split([n for _, n in self._shapes])
        return torch.cat(
            [
                (piece / math.sqrt(repeats)).repeat(repeats)
                for piece, (repeats, _) in zip(pieces, self._shapes, strict=True)
            ]
        )

    def mean(self, vector: Tensor) -> Tensor:
        """P: the mean over repeats, at every repeat."""
        return self.spread(self.gather(vector))

    def draw(self, signs: bool, size: int, *name: int | str) -> Tensor:
        """Random signs, or normal numbers, (size,), by a seed of their own."""
        source, like = generator(*name), self.leaves[0]
        if signs:
            drawn = torch.randint(0, 2, (size,), generator=source, dtype=torch.int8) * 2 - 1
        else:
            drawn = torch.randn(size, generator=source, dtype=torch.float64)
        return drawn.to(device=like.device, dtype=like.dtype)


def _require_whole(leaves: Sequence[Tensor]) -> None:
    """Refuse leaves that make no one vector on one device."""
    if not leaves:
        raise ConfigError("stack: has no parameter that is trained")
    for leaf in leaves:
        if is_sharded(leaf):
            raise ConfigError("stack: parameters are spread over ranks; measure a whole model")
        if (leaf.dtype, leaf.device) != (leaves[0].dtype, leaves[0].device):
            raise ConfigError("stack: parameters of several devices or types; measure one of each")
