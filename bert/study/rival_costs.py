"""FLOPs of each phase of a run, planned before it, as the run's own ledger counts them.

Exact but where a run's outcome decides: probes of a schedule that looks at correlations are those
of one that never unties, the most; layers that are dropped, or frozen at random, are the mean over
their draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from torch import Generator

from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig
from bert.model.encoder import build_bert
from bert.model.prediction import TokenPrediction
from swe.run.charged import whole_layers
from swe.run.run_config import TrainConfig
from swe.run.stages import Stages
from swe.run.task import Task
from swe.transforms.fitted import LEARNED, Fitted
from swe.transforms.learned import map_flops
from swe.transforms.stage import ends_of

Costs = Callable[[int], list[float]]
"""From the updates of a run to the FLOPs of each phase, its own model's last."""


def costs(config: TrainConfig, task: TokenPrediction) -> list[float]:
    """Return the FLOPs of each phase, its own model's last; a fit is of the model that it makes.

    ConfigError as :class:`swe.run.stages.Stages`.
    """
    return planned(config, task)(config.steps)


def planned(config: TrainConfig, task: TokenPrediction) -> Costs:
    """Return the same as a function of the updates, where these are not known yet."""
    stages = Stages(task, config)
    each = [stages.flops_per_batch(number) for number in range(len(stages))]
    fits = [0.0]
    fits += [_fit(stage.growth, stages, number) for number, stage in enumerate(config.stages, 1)]

    def at(steps: int) -> list[float]:
        run = replace(config, steps=steps)
        found = []
        ends = [0, *ends_of(config.stages, steps), steps]
        for number, (first, end) in enumerate(pairwise(ends)):
            one, schedule = stages.tasks[number], stages.config_of(number).schedule
            state = schedule.start(one.depth)
            probes = sum(schedule.wants_correlations(state, step) for step in range(first, end))
            batches = (end - first) * config.accumulation + probes
            dropped = _dropped(one, run, first, end)
            found.append(batches * each[number] - dropped + fits[number])
        return found

    return at


def _dropped(task: Task, config: TrainConfig, first: int, end: int) -> float:
    """FLOPs of what updates leave out, layers or their backward passes, in mean over the draws."""
    each, sampler = getattr(task, "flops_per_layer", None), config.dropping
    if sampler is None or each is None:
        return 0.0
    steps = range(first, end)
    run, trained = (
        math.fsum(share for step in steps for share in of(step, config.steps, task.depth))
        for of in (sampler.keep, sampler.trains)
    )
    left_out = (end - first) * task.depth - whole_layers(run, trained)
    return float(left_out * config.accumulation * each)


def _fit(growth: object, stages: Stages, number: int) -> float:
    """FLOPs of the fit of a map to a stage's model; 0 where none is fitted."""
    if not isinstance(growth, Fitted):
        return 0.0
    small, large = stages.tasks[number - 1], stages.tasks[number]
    assert isinstance(small, TokenPrediction)
    assert isinstance(large, TokenPrediction)
    price = _map(growth.method, small.config, large.config)
    return growth.steps * (large.flops_per_batch + price)


@lru_cache(maxsize=16)
def _map(method: str, small: BertConfig, large: BertConfig) -> float:
    """FLOPs of one use of a map, forward and backward; no values of weights matter to it."""
    learned = LEARNED[method](bert_anatomy(small), bert_anatomy(large), Generator().manual_seed(0))
    weights = dict(build_bert(small, 0).named_parameters())
    return map_flops(learned, {name: weight.detach() for name, weight in weights.items()})
