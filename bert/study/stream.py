"""The stream of an arm's model at its start, before anything is trained: how far a skill reaches.

``theory.models.stream``: copies of one layer add up what they add at random, so that an equal
start, or layers tied at once, begin with a larger stream than drawn ones and leave a plateau later,
by what is measured here on the model itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

import torch
from torch import Tensor, nn

from bert.model.config import BertConfig
from bert.model.encoder import Layer, build_bert
from swe.sharing.schedule import AlwaysShared, Schedule
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack
from theory.models import stream

TOKENS = 512
"""Random tokens that are looked at."""


def squares(
    config: BertConfig, schedule: Schedule, seed: int, length: int
) -> tuple[float, ...] | None:
    """Return the mean squares of the stream before each of the 2 L branches and at the end, of a
    run's model before its first update; None for Post-LN, which has no such stream."""
    if config.placement != "pre":
        return None
    tied = AlwaysShared(unit=schedule.unit)
    if schedule.start(config.layers) == tied.start(config.layers):
        schedule = tied  # however long: they begin alike
    return _measured(config, schedule, seed, length)


@lru_cache(maxsize=256)
@torch.no_grad()
def _measured(config: BertConfig, schedule: Schedule, seed: int, length: int) -> tuple[float, ...]:
    """Each once: most arms of a table begin alike."""
    model = build_bert(config, seed).eval()
    prepare(find_stack(model)[1], schedule)
    found: list[float] = []

    def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(float(given[0].double().square().mean()))

    for layer in model.stack.blocks:
        assert isinstance(layer, Layer)
        layer.attention_norm.register_forward_pre_hook(look)
        layer.output_norm.register_forward_pre_hook(look)
    model.final_norm.register_forward_pre_hook(look)
    draw = torch.Generator().manual_seed(seed)
    rows = max(1, TOKENS // length)
    model.encode(torch.randint(config.vocabulary, (rows, length), generator=draw))
    return tuple(found)


def log_reach(
    config: BertConfig, schedule: Schedule, seeds: Iterable[int], length: int
) -> float | None:
    """Return the mean over seeds of the logarithm of ``theory.models.stream.reach``; None for
    Post-LN."""
    logs = []
    for seed in seeds:
        found = squares(config, schedule, seed, length)
        if found is None:
            return None
        logs.append(math.log(float(stream.reach(found))))
    return math.fsum(logs) / len(logs)
