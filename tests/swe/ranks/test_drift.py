"""Somebody's own loop on two ranks: a wrapper that is missing or stale is told at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from swe.base.errors import RanksDifferError
from swe.sharing.adopt import adopt
from swe.sharing.schedule import SweFixed
from tests.swe.ranks.ranks import run_ranks
from tests.swe.sharing.foreign.copies import loss_of
from tests.swe.sharing.foreign.models import Model

UNTIE, STEPS = 2, 4


@contextlib.contextmanager
def grouped() -> Iterator[int]:
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def summed(model: nn.Module) -> None:
    for parameter in model.parameters():
        assert parameter.grad is not None
        dist.all_reduce(parameter.grad)


def train(kind: str) -> int:
    """Train; the updates that were finished."""
    with grouped() as rank:
        torch.manual_seed(0)
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        swe = adopt(
            model, "layers", SweFixed(until=UNTIE), optimizer, STEPS, guards=kind != "alone"
        )
        wrapped: Any = nn.parallel.DistributedDataParallel(model) if "wrapped" in kind else model
        for step in range(STEPS):
            event = swe.begin_step(step, lambda: loss_of(model, 1000))
            if event is not None and kind == "wrapped anew":
                wrapped = nn.parallel.DistributedDataParallel(model)
            loss_of(wrapped, 10 * step + rank).backward()
            if kind == "by hand":
                summed(model)
            if step == EXPECTED[kind]:
                with pytest.raises(
                    RanksDifferError, match="wrap it anew" if step else "after adopt"
                ):
                    swe.finish_gradients()
                return step
            swe.finish_gradients()
            optimizer.step()
            optimizer.zero_grad()
        return STEPS


EXPECTED = {
    "bare": 0,
    "wrapped once": UNTIE,
    "wrapped anew": STEPS,
    "by hand": STEPS,
    "alone": STEPS,
}


def check(kind: str) -> None:
    assert train(kind) == EXPECTED[kind]


@pytest.mark.parametrize("kind", EXPECTED)
def test_ranks_that_would_drift_apart_are_told(kind: str) -> None:
    run_ranks(2, check, kind)
