"""Estimates without bias, by enumeration of all draws, and no trace."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError, NonFiniteLossError
from swe.probes.noise import GradientNoise, gradient_noise
from swe.sharing.layout import Layout
from swe.sharing.seeds import derive_seed
from swe.sharing.stack import find_stack
from swe.sharing.statistics import probe
from tests.swe.probes.test_curvature import Emit, Kind, Net, Tanh

DEPTH, EACH = 4, 7  # an Emit has 3 + 4 parameters
POPULATION = 1 + torch.randn(
    4, DEPTH * EACH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)


def linear_losses(model: Net, slopes: Tensor) -> list[Callable[[], Tensor]]:
    """One loss a row of ``slopes``, whose gradient is that row."""
    empty = torch.zeros(0, dtype=torch.float64)
    return [partial(lambda slope: model(empty) @ slope, slope) for slope in slopes]


def truth(unit: int, *, turned: bool = False) -> dict[str, float]:
    """Of the population, by means over repeats written out; ``turned``: layers 0 1 3 2."""
    order = [0, 1, 3, 2] if turned else [0, 1, 2, 3]
    layers = POPULATION.numpy().reshape(4, DEPTH, EACH)[:, order]
    g = layers.reshape(4, DEPTH // unit, unit * EACH)
    mean_over = np.broadcast_to(g.mean(1, keepdims=True), g.shape)
    middle, middle_mean = g.mean(0), mean_over.mean(0)
    square, common = (middle**2).sum(), (middle_mean**2).sum()
    noise_mean = ((mean_over - middle_mean) ** 2).sum() / 4
    noise = ((g - middle) ** 2).sum() / 4
    return {
        "mean_square": square,
        "common": common,
        "noise": noise,
        "noise_mean": noise_mean,
        "noise_deviation": noise - noise_mean,
    }


LAYOUTS = [
    Layout.tied(4),
    Layout.untied(4),
    Layout.tied(4, 2),
    Layout.tied(4, 2, last_reversed=True),
]


@pytest.mark.parametrize("kind", ["stack", "list"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("batches", [2, 3])
def test_the_mean_over_all_draws_is_the_truth(batches: int, layout: Layout, kind: Kind) -> None:
    """Every way to draw the batches, with replacement: each is as likely as any other."""
    model = Net([Emit() for _ in range(DEPTH)], kind, layout)
    losses = linear_losses(model, POPULATION)
    found = [
        gradient_noise(find_stack(model)[1], draw)
        for draw in itertools.product(losses, repeat=batches)
    ]
    assert len(found) == 4**batches
    expected = truth(layout.unit, turned=layout.last_reversed)
    for name in ("mean_square", "noise", "noise_mean", "noise_deviation"):
        mean = math.fsum(getattr(one, name) for one in found) / len(found)
        assert mean == pytest.approx(expected[name]), name
    common = math.fsum(one.alignment * one.mean_square for one in found) / len(found)
    assert common == pytest.approx(expected["common"])


def test_noise_alone_may_have_a_negative_square_and_no_alignment() -> None:
    """Two opposite gradients: |m|^2 - tr S' / 2 = 0 - |g|^2."""
    model = Net([Emit() for _ in range(DEPTH)], "stack", Layout.tied(DEPTH))
    slopes = torch.stack([POPULATION[0], -POPULATION[0]])
    found = gradient_noise(model.layers, linear_losses(model, slopes))
    assert found.mean_square == pytest.approx(-float(POPULATION[0].square().sum()))
    assert math.isnan(found.alignment)


def test_many_batches_of_a_population() -> None:
    """With each batch once the means are exact, and the share of the common part shows."""
    model = Net([Emit() for _ in range(DEPTH)], "stack", Layout.tied(DEPTH))
    copies = POPULATION.repeat(50, 1)
    found = gradient_noise(model.layers, linear_losses(model, copies))
    expected = truth(1)
    n = len(copies)
    noise, noise_mean = (expected[k] * n / (n - 1) for k in ("noise", "noise_mean"))
    assert found.batches == n
    assert found.noise == pytest.approx(noise)
    assert found.noise_mean == pytest.approx(noise_mean)
    assert found.noise == found.noise_mean + found.noise_deviation
    square = expected["mean_square"] - noise / n
    assert found.mean_square == pytest.approx(square)
    assert found.alignment == pytest.approx((expected["common"] - noise_mean / n) / square)


def test_equal_batches_have_no_noise_and_the_probe_s_alignment() -> None:
    """Then nothing is estimated: the numbers are those of one gradient."""
    torch.manual_seed(1)
    model = Net([Tanh(3) for _ in range(4)], "list", Layout.tied(4))
    stack, inputs = find_stack(model)[1], torch.randn(8, 3, dtype=torch.float64)

    def loss() -> Tensor:
        return model(inputs).square().mean()

    found, one = gradient_noise(stack, [loss] * 3), probe(stack, loss)
    assert (found.noise, found.noise_mean, found.noise_deviation) == (0, 0, 0)
    assert found.mean_square == pytest.approx(sum(one.gram[r][r] for r in range(4)))
    assert found.alignment == pytest.approx(one.alignment)


def test_dropout_is_drawn_anew_for_each_batch_and_put_back() -> None:
    torch.manual_seed(2)
    layers: list[nn.Module] = [Tanh(3) for _ in range(4)]
    model = Net(layers, "stack", Layout.tied(4)).train()
    inputs = torch.randn(8, 3, dtype=torch.float64)
    masks: list[Tensor] = []

    def loss() -> Tensor:
        masks.append(torch.rand(8, 3) < 0.5)
        return (model(inputs) * masks[-1]).square().mean()

    state = torch.get_rng_state()
    parameters = [p.clone() for p in model.parameters()]
    found = gradient_noise(model.layers, [loss] * 3, seed=5)
    assert found.noise > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(map(torch.equal, parameters, model.parameters()))
    assert all(p.grad is None for p in model.parameters())
    for index, mask in enumerate(masks):
        torch.manual_seed(derive_seed("noise", 5, index))
        assert torch.equal(mask, torch.rand(8, 3) < 0.5)
    assert gradient_noise(model.layers, [loss] * 3, seed=5) == found
    assert gradient_noise(model.layers, [loss] * 3, seed=6) != found


def test_half_precision_is_summed_in_float32() -> None:
    """Gradients that bfloat16 holds exactly; their squares it does not."""
    model = Net([Emit() for _ in range(DEPTH)], "list", Layout.tied(DEPTH)).bfloat16()
    slopes = (POPULATION * 8).round().div(8)
    empty = torch.zeros(0, dtype=torch.bfloat16)
    losses = [partial(lambda s: (model(empty) * s).sum(), s.bfloat16()) for s in slopes]
    fine = Net([Emit() for _ in range(DEPTH)], "list", Layout.tied(DEPTH))
    expected = gradient_noise(find_stack(fine)[1], linear_losses(fine, slopes))
    found = gradient_noise(find_stack(model)[1], losses)
    assert isinstance(found, GradientNoise)
    for name in ("mean_square", "noise", "alignment", "noise_mean", "noise_deviation"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-5)


def test_what_cannot_be_measured_is_refused() -> None:
    model = Net([Emit() for _ in range(DEPTH)], "stack", Layout.tied(DEPTH))
    losses = linear_losses(model, POPULATION)
    with pytest.raises(ConfigError, match="losses = 1: must be at least 2"):
        gradient_noise(model.layers, losses[:1])
    with pytest.raises(NonFiniteLossError, match="gradient 1 is not finite"):
        gradient_noise(model.layers, [losses[0], lambda: losses[1]() * torch.inf])
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter that is trained"):
        gradient_noise(model.layers, losses)
