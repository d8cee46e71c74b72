"""Units that hold an average: how a width that is no multiple gets past a LayerNorm (LEMON).

Let x be what a LayerNorm sees, n units of mean m and variance v. Of N = k n + r units, 0 < r < n,
let each old one have k copies and let r hold m. Their mean is m, and their variance eta^2 v with
eta^2 = k n / N. So the LayerNorm with weight eta gamma, bias beta and eta^2 eps returns for a copy

    beta + eta gamma (x - m) / sqrt(eta^2 v + eta^2 eps) = beta + gamma (x - m) / sqrt(v + eps),

what it did, and for an average unit its bias alone, which is set to 0. (Wang et al., LEMON, arXiv
2310.07999: average expansion before a LayerNorm, zero expansion after it.) The average of W y + b
is linear in W and b, so what writes the units has the averages of its rows for new rows. What reads
an average unit is free, as it reads 0: it gets a copy's weights, so that gradients reach the unit.

Three things it cannot do:

- eps is no weight. The large model is to be built with ``eps`` times the small one's; with the
  same, normalised vectors are off by the factor sqrt((v + eps) / (v + eps / eta^2)), which is
  1 - (1 / eta^2 - 1) eps / 2 v to first order.
- A LayerNorm that writes the units itself (after each branch, or after the embeddings) would have
  to return the average of gamma (x - m) / sqrt(v + eps) + beta. An average unit returns a constant,
  which is that only where all of gamma are equal; we take beta's average, the right one then. (A
  unit with weight 1 / d that sees d times the missing part comes as near as one likes, and has
  gradients 1 / d times too large.)
- No unit holds the average of what a nonlinearity makes of others; there new units are copies, and
  not read.

Gradients, with shares s of the copies and c of the average units in what reads them. Exact: a
reader's are 1 for a copy and 0 for an average unit, which it reads as 0; a LayerNorm's weight has
s / eta and 0, its bias s and c; where an embedding reads, weight 1 / eta and 0, bias 1 and the mean
of the biases' gradients. What writes the units has s and 0, right in the sum (copies and averages
pulled back give the small model's gradient), but not one by one: LayerNorm's backward pass takes
off means that all units bear evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from swe.base.config import require
from swe.transforms.anatomy import Axis
from swe.transforms.maps import Copies, Power


@dataclass(frozen=True, eq=False)
class Averaged(Copies):
    """Copies, but for some entries the mean of the old axis: of weights, of gradients, both (new,)
    bool."""

    means: Tensor
    dual_means: Tensor

    def weights(self, tensor: Tensor, axis: int) -> Tensor:
        """Map a weight along ``axis``."""
        return _with_means(super().weights(tensor, axis), tensor, self.means, axis)

    def gradients(self, tensor: Tensor, axis: int, power: Power) -> Tensor:
        """Map a gradient (``power`` 1) or, where means are taken approximately, its square (2)."""
        return _with_means(super().gradients(tensor, axis, power), tensor, self.dual_means, axis)


@dataclass(frozen=True, eq=False)
class Averages:
    """Units of a space of ``old`` ones: copies first, ``copies`` of each, then average units.

    ``index`` (new,): the old unit that each copies, or whose readers an average unit is given.
    ``shares`` (new,) float64: by which they are read; those of a unit's copies add up to 1.
    """

    index: Tensor
    old: int
    copies: int
    shares: Tensor

    @property
    def eps(self) -> float:
        """What a LayerNorm's epsilon is to be multiplied by, eta^2 = k n / N."""
        return self.copies * self.old / len(self.index)

    def along(self, axis: Axis) -> Averaged:
        """Return the map of an axis of the space. ConfigError for units of several entries."""
        require(axis.each * axis.blocks == 1, "units of", axis.each * axis.blocks, "one entry")
        eta, shares = self.eps**0.5, self.shares
        new = torch.arange(len(self.index)) >= self.copies * self.old
        one, none, never = torch.ones_like(shares), torch.zeros_like(shares), new & False
        scale, dual, means, dual_means = {
            ("linear", "out"): (one, shares.where(~new, none), new, never),
            ("bent", "out"): (one, shares.where(~new, none), never, never),
            ("bent", "in"): (shares.where(~new, none), one.where(~new, none), never, never),
            ("linear", "in"): (shares, one.where(~new, none), never, never),
            ("scale", "out"): (eta * one, (shares / eta).where(~new, none), never, never),
            ("shift", "out"): (one.where(~new, none), shares, never, never),
            ("scale", "in"): (
                (eta * shares).where(~new, none),
                (one / eta).where(~new, none),
                never,
                never,
            ),
            ("shift", "in"): (shares.where(~new, none), one, never, new),
        }[axis.kind, axis.way]
        return Averaged(self.index, scale, dual, means, dual_means)


def averages(old: int, new: int, generator: Generator) -> Averages:
    """Return as many copies of every unit as fit, with shares drawn, and average units for the
    rest."""
    copies, rest = divmod(new, old)
    drawn = torch.randperm(old, generator=generator)[:rest]
    index = torch.cat([torch.arange(old).repeat(copies), drawn])
    copied = copies * old
    shares = torch.cat(
        [
            unequal_shares(index[:copied], old, generator),
            unequal_shares(index[copied:], old, generator) / copies,
        ]
    )
    return Averages(index, old, copies, shares)


def unequal_shares(index: Tensor, old: int, generator: Generator) -> Tensor:
    """Draw the shares of each unit's copies, (new,) float64, which add up to 1 over them.

    In equal shares copies have equal gradients, and stay copies for ever; these are uniform in
    0.5 to 1.5 before they are divided by their sum, so that all are positive and no two equal.
    """
    raw = torch.rand(len(index), dtype=torch.float64, generator=generator) + 0.5
    return raw / torch.zeros(old, dtype=torch.float64).index_add_(0, index, raw)[index]


def _with_means(found: Tensor, tensor: Tensor, means: Tensor, axis: int) -> Tensor:
    if not bool(means.any()):
        return found
    shape = [1] * tensor.ndim
    shape[axis] = -1
    return torch.where(means.reshape(shape), tensor.mean(axis, keepdim=True), found)
