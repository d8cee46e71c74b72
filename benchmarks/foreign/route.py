"""The independent route: tied training against untied copies that step along averaged gradients.

Both begin at the same weights, see the same batch and the same random numbers, and untie in the
middle of four updates. Losses of every update and what each layer learnt must be the same to
rounding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.sharing.adopt import adopt
from swe.sharing.places import Part, Where, count_of, find_places
from swe.sharing.schedule import SweFixed

STEPS, UNTIE = 4, 2
NEAR = 5e-3
"""Of what was learnt. float32 adds in another order, 1e-7 of a gradient, and a gradient that is the
difference of large ones loses some three digits; a wrong rule (sum for mean, a lost layer) is off
by more than 0.1."""
DROP = 0.02
"""Share of the loss that the first update is to take off, to first order."""

Build = Callable[[], Any]
Loss = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Case:
    """A model that is built the same at each call, and a loss on its own batch."""

    build: Build
    loss: Loss


def seed(number: int) -> None:
    """Seed every generator that a model may draw from."""
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (transformers draws from it)


def fitting_rate(case: Case) -> float:
    """Return a rate at which one step of plain descent takes ``DROP`` off the loss."""
    model = case.build()
    seed(0)
    loss = case.loss(model)
    loss.backward()
    square = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None)
    if not square > 0:
        raise ValueError("the loss has no gradient")
    return DROP * float(loss.detach()) / square


Make = Callable[[Sequence[nn.Parameter]], Optimizer]


def descent(rate: float) -> Make:
    """Return a maker of the optimiser that judges models: it hides no factor, as Adam does."""
    return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=0.9)


def _train(
    case: Case,
    model: Any,
    optimizer: Optimizer,
    before: Callable[[int], None],
    after: Callable[[int], object],
) -> list[float]:
    losses = []
    for step in range(STEPS):
        before(step)
        seed(step)
        value = case.loss(model)
        value.backward()
        after(step)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(value.detach()))
    return losses


def trained_tied(
    case: Case, where: Where, make: Make, unit: int = 1, **options: Any
) -> tuple[list[float], list[Tensor]]:
    """Train by ``adopt``; the losses and each layer's weights in the end."""
    model = case.build()
    optimizer = make(list(model.parameters()))
    swe = adopt(model, where, SweFixed(until=UNTIE, unit=unit), optimizer, STEPS, **options)

    def begin(step: int) -> None:
        swe.begin_step(step, lambda: case.loss(model))

    losses = _train(case, model, optimizer, begin, lambda step: swe.finish_gradients())
    if not swe.state.layout.is_untied:
        raise AssertionError("it did not untie")
    return losses, [_flat(layer) for layer in layers_at(model, where, unit, options.get("layers"))]


def trained_as_copies(
    case: Case, where: Where, make: Make, unit: int = 1, **options: Any
) -> tuple[list[float], list[Tensor], list[Tensor]]:
    """Train copies that average; losses, and each layer's weights before and after."""
    model = case.build()
    layers = layers_at(model, where, unit, options.get("layers"))
    unit *= count_of(where)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            pairs = zip(layer.parameters(), layers[index % unit].parameters(), strict=True)
            for one, other in pairs:
                one.copy_(other)
    begun = [_flat(layer) for layer in layers]
    optimizer = make(list(model.parameters()))

    def average(step: int) -> None:
        for position in range(unit if step < UNTIE else 0):
            average_gradients(layers[position::unit])

    losses = _train(case, model, optimizer, lambda step: None, average)
    return losses, begun, [_flat(layer) for layer in layers]


def average_gradients(layers: Sequence[nn.Module]) -> None:
    """Give all the mean; a layer without a gradient counts as zero."""
    for parameters in zip(*(layer.parameters() for layer in layers), strict=True):
        found = [p.grad for p in parameters if p.grad is not None]
        if found:
            mean = torch.stack(found).sum(0) / len(parameters)
            for parameter in parameters:
                parameter.grad = mean.clone()


def layers_at(model: nn.Module, where: Where, unit: int = 1, part: Part = None) -> list[nn.Module]:
    """Return the layers that are meant; of several lists a unit of each in turn."""
    return find_places(model, where, unit * count_of(where), part).layers


def _flat(layer: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().double() for p in layer.parameters()]).clone()


def distance(case: Case, where: Where, make: Make, unit: int = 1, **options: Any) -> float:
    """Return how far the tied run is from the other route, as a share of what was learnt.

    The largest of: distance of the losses over their range, and for each layer the distance of its
    weights over the way that they went. Raises what ``adopt`` and its guards raise.
    """
    tied, weights = trained_tied(case, where, make, unit, **options)
    losses, begun, expected = trained_as_copies(case, where, make, unit, **options)
    spread = max(losses) - min(losses)
    found = [max(abs(a - b) for a, b in zip(tied, losses, strict=True)) / spread]
    for start, one, other in zip(begun, weights, expected, strict=True):
        apart, way = float((one - other).norm()), float((other - start).norm())
        found.append(apart / way if apart else 0.0)  # a frozen layer goes nowhere
    return max(found) if all(np.isfinite(found)) else float("inf")
