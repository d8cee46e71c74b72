"""By another route: trained tied, against untied copies whose gradients are averaged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.foreign.route import average_gradients
from swe.sharing.adopt import adopt
from swe.sharing.schedule import Schedule, SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare

STEPS, UNTIE, RATE = 6, 3, 0.05

Model = Any


def batch(step: int, width: int = 4) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(step)
    shape = (8, 5, width)
    return torch.randn(shape, generator=source), torch.randn(shape, generator=source)


def loss_of(model: nn.Module, step: int) -> Tensor:
    inputs, targets = batch(step)
    return (model(inputs) - targets).square().mean()


Loss = Callable[[Any, int], Tensor]


def trained_tied(
    model: Model,
    where: Any,
    schedule: Schedule | None = None,
    loss: Loss = loss_of,
    **options: Any,
) -> tuple[list[float], ShareThenUnshare]:
    """Train by ``adopt``; the losses of every update, and the runner."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    swe = adopt(model, where, schedule or SweFixed(until=UNTIE), optimizer, STEPS, **options)
    losses = []
    for step in range(STEPS):
        swe.begin_step(step, lambda: loss(model, 1000))
        torch.manual_seed(step)
        random.seed(step)
        value = loss(model, step)
        value.backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(value.detach()))
    return losses, swe


def trained_as_copies(
    model: Model, layers: Sequence[nn.Module], unit: int = 1, loss: Loss = loss_of
) -> list[float]:
    """Train with layers of their own weights, begun equal, stepping along averaged gradients."""
    make_equal(layers, unit)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    losses = []
    for step in range(STEPS):
        torch.manual_seed(step)
        random.seed(step)
        value = loss(model, step)
        value.backward()
        if step < UNTIE:
            for position in range(unit):
                average_gradients(layers[position::unit])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(value.detach()))
    return losses


@torch.no_grad()
def make_equal(layers: Sequence[nn.Module], unit: int) -> None:
    """Give every layer the weights of the one at its position in the first unit."""
    for index, layer in enumerate(layers):
        for one, other in zip(layer.parameters(), layers[index % unit].parameters(), strict=True):
            one.copy_(other)


def assert_as_copies(
    build: Callable[[], Model],
    where: str,
    *,
    unit: int = 1,
    take: slice = slice(None),
    loss: Loss = loss_of,
    **options: Any,
) -> ShareThenUnshare:
    """Same losses before, at and after the untie, to float32 rounding of the averaged gradient.

    Sums over uses are taken in another order, which each update carries on: 1e-5 of the loss.
    """
    torch.manual_seed(0)
    first = build()
    torch.manual_seed(0)
    second = build()
    tied, swe = trained_tied(
        first, where, SweFixed(until=UNTIE, unit=unit), loss, layers=take, **options
    )
    layers = list(second.get_submodule(where).children())[take]
    expected = trained_as_copies(second, layers, unit, loss)
    torch.testing.assert_close(torch.tensor(tied), torch.tensor(expected), rtol=1e-5, atol=1e-7)
    assert swe.state.layout.is_untied
    return swe
