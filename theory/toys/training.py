"""One training loop for the toys on the training core, and their weights as arrays.

A toy network's parameters hold one matrix (or vector) for each of n networks that are trained at
once: shape (n, ...). `layer_weights` flattens them to (n, layers, k), tied or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from swe.sharing.schedule import Schedule
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import SharedStack

Watch = Callable[[int, SharedStack, ShareThenUnshare, Callable[[], Tensor]], None]
"""Sees (step, stack, swe, losses): the stack before an update and the losses (n,) of its data."""


def train(
    stack: SharedStack,
    losses: Callable[[int], Tensor],
    schedule: Schedule,
    optimiser: str,
    rates: Sequence[float],
    watch: Watch | None = None,
) -> list[int]:
    """Train the untied `stack` under `schedule`; returns the updates before which it was untied.

    `losses(step)` gives the networks' losses (n,) on that update's data, through `stack`; their sum
    is descended, so gradients never mix. `rates`: the learning rate of each update. `optimiser`:
    "sgd" or "adamw" (torch's defaults). `watch` is called before each update, with the layout
    decided, and once more after the last (step = number of updates, its data the next).
    """
    prepare(stack, schedule)
    build = torch.optim.SGD if optimiser == "sgd" else torch.optim.AdamW
    optimizer = build(stack.parameters(), lr=float(rates[0]))
    swe = ShareThenUnshare(stack, optimizer, schedule, len(rates))
    untied = []

    def summed(step: int) -> Tensor:
        return losses(step).sum()

    for step, rate in enumerate(rates):
        event = swe.begin_step(step, partial(summed, step))
        if event is not None:
            untied.append(step)
        if watch is not None:
            watch(step, stack, swe, partial(losses, step))
        summed(step).backward()
        swe.finish_gradients()
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        optimizer.step()
        optimizer.zero_grad()
    if watch is not None:
        watch(len(rates), stack, swe, lambda: losses(len(rates)))
    return untied


@torch.no_grad()
def layer_weights(stack: SharedStack) -> Tensor:
    """Weights of every logical layer, (n, layers, k), k the parameters of one layer, flattened."""
    blocks = [
        torch.cat([p.reshape(p.shape[0], -1) for p in block.parameters()], dim=1)
        for block in stack.blocks
    ]
    return torch.stack([blocks[owner] for owner in stack.layout.owner], dim=1)


def network_correlations(stack: SharedStack, losses: Callable[[], Tensor]) -> Tensor:
    """Cosines of adjacent layers' own gradients in each network, (n, layers - 1), tied or not.

    The quantity of `swe.sharing.statistics.probe`, for n networks in one backward pass; units of
    one layer. NaN where a gradient is zero.
    """
    with torch.enable_grad(), stack.layer_leaves() as leaves:
        wanted = [t for layer in leaves for t in layer.values()]
        gradients = iter(torch.autograd.grad(losses().sum(), wanted))
        flat = torch.stack(
            [torch.cat([next(gradients).flatten(1) for _ in layer], 1) for layer in leaves], 1
        )
    inner = (flat[:, 1:] * flat[:, :-1]).sum(-1)
    norms = flat.square().sum(-1).sqrt()
    return inner / (norms[:, 1:] * norms[:, :-1])
