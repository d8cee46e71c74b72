"""How large the gradient is beside its noise, in the mean of the layers and in their deviations.

With g the gradient of one batch over the layers' parameters, each layer with its own, and P the
mean over repeats, the squared length and the noise split orthogonally: |E g|^2 = |P E g|^2 +
|Q E g|^2 and tr S = tr P S + tr Q S, S the covariance of g over batches, Q = I - P. Tied layers
move by P g alone: they make use of |P E g|^2 and bear tr P S; untied ones have both parts of both.

From n batches with mean m and sample covariance (over n - 1) S', tr S' is unbiased, and so is
|m|^2 - tr S' / n for |E g|^2, since E |m|^2 = |E g|^2 + tr S / n: both in each part. The latter can
come out negative where the noise rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from swe.base.config import require
from swe.base.errors import NonFiniteLossError
from swe.probes.space import Space
from swe.sharing.seeds import derive_seed
from swe.sharing.stack import Stack
from swe.sharing.statistics import drawing


@dataclass(frozen=True)
class GradientNoise:
    """What :func:`gradient_noise` measured; units of loss squared over parameter squared.

    Estimates without bias, but for ``alignment``, a ratio of two of them.
    """

    mean_square: float
    """|E g|^2, the squared length of the gradient without noise; negative where noise rules."""
    noise: float
    """tr S, the noise of one batch's gradient: ``noise_mean`` + ``noise_deviation``."""
    alignment: float
    """|P E g|^2 / |E g|^2, the share of the mean over layers; NaN where ``mean_square`` is not
    positive, and outside [0, 1] by chance."""
    noise_mean: float
    """tr P S, the noise in the mean over layers."""
    noise_deviation: float
    """tr Q S, the noise in their deviations from it."""
    batches: int
    """How many batches it is from."""


def gradient_noise(
    stack: Stack, losses: Sequence[Callable[[], Tensor]], seed: int = 0
) -> GradientNoise:
    """Measure gradient and noise over the layers of ``stack``, tied or not, from >= 2 batches.

    Each of ``losses`` runs the model that holds ``stack`` on a batch of its own, drawn as the
    training draws them; one backward pass each. Dropout is drawn anew for each, from ``seed``: its
    noise is part of the noise. Parameters, their ``.grad``, the random state and modes stay as they
    were; a few vectors of the layers' size are held.

    Raises ConfigError for fewer than two batches, a stack that is not trained or is sharded, or
    a loss that does not reach it; NonFiniteLossError for a gradient that is not finite.
    """
    require(len(losses) >= 2, "losses", len(losses), "at least 2")
    with stack.layer_leaves() as leaves:
        space = Space(stack.layout.in_units(leaves), stack.layout.unit)
        like = space.leaves[0]
        # Sums in float32 at least; gradients in half precision are as good as they are.
        kind = torch.promote_types(like.dtype, torch.float32)
        mean = torch.zeros(space.size, dtype=kind, device=like.device)
        common, deviation = 0.0, 0.0
        for index, loss in enumerate(losses):
            with drawing(stack, derive_seed("noise", seed, index)):
                gradient = space.gradient(loss()).to(kind)
            if not bool(torch.isfinite(gradient).all()):
                raise NonFiniteLossError(f"gradient_noise: gradient {index} is not finite")
            # Welford's recurrence: no difference of large sums, and 0 for equal batches.
            apart = gradient - mean
            share = index / (index + 1)
            common += share * _square(space.gather(apart))
            deviation += share * _square(apart - space.mean(apart))
            mean += apart / (index + 1)
    count = len(losses)
    noise_mean, noise_deviation = common / (count - 1), deviation / (count - 1)
    noise = noise_mean + noise_deviation
    square = _square(mean) - noise / count
    square_common = _square(space.gather(mean)) - noise_mean / count
    return GradientNoise(
        mean_square=square,
        noise=noise,
        alignment=square_common / square if square > 0 else math.nan,
        noise_mean=noise_mean,
        noise_deviation=noise_deviation,
        batches=count,
    )


def _square(vector: Tensor) -> float:
    return float(vector.double().square().sum())
