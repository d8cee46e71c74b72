"""A run from a model whose method is its first stages: layers added one lot at a time (MSLT), or
matrices as products until they are multiplied out (CoRe). Shares of the updates are those of the
comparison (bert.study.rival_methods).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

from bert.model.config import BertConfig
from bert.model.factored import decomposed, require_rank
from bert.study.growing import grown, larger, largest_move
from bert.study.rival_methods import JOINT, UNTIL
from bert.study.starting import Source
from bert.study.table_arms import percent
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.run.run_config import TrainConfig
from swe.run.stages import Stages
from swe.run.task import Task
from swe.transforms.fitted import LEARNED
from swe.transforms.layerwise import added_stages
from swe.transforms.same import MultiplyOut
from swe.transforms.stage import Stage

MSLT = "mslt"


def built_up(source: Source, size: str | None, seed: int) -> Source:
    """Return the source with the first lot of layers on top, and the stages that train them apart.

    As many layers are added at a time as there are in the source, which is MSLT's first stage,
    trained already. ConfigError for another width, or no more layers.
    """
    if size is None:
        raise ConfigError(f"--grow {MSLT}: say to what, with --size, such as --size 12x768")
    small = source.config
    large = larger(small, size)
    require(
        large.hidden == small.hidden,
        "--size",
        size,
        f"of width {small.hidden} with --grow {MSLT}, which adds layers alone; grow the width "
        "first (--grow fpi), and start from that run",
    )
    require(large.layers > small.layers, "--size", size, f"of more than {small.layers} layers")
    stages = added_stages(small.layers, large.layers, JOINT)
    first = grown(
        source, f"{stages[0].depth}x{small.hidden}", "stacking", seed, fit=None, device="cpu"
    )
    lots = f"{len(stages)} lots" if len(stages) > 1 else "one lot"
    words = (
        f"{first.note}; to {large.layers} layers in {lots} by {MSLT}, each alone in training at "
        f"first, all for the last {percent(JOINT)} of the updates"
    )
    return replace(first, larger=large, stages=stages, note=words)


def factored_stages(shape: BertConfig, rank: int) -> tuple[Stage, ...]:
    """Return CoRe's stage: a model of the shape with products of a rank. ConfigError for a rank
    that adds nothing."""
    try:
        require_rank(shape, rank)
    except ConfigError as error:
        raise ConfigError(f"--core: {error}") from None
    return (Stage(until=UNTIL[-1], depth=shape.layers, rank=rank, growth=MultiplyOut()),)


def decomposed_first(source: Source, rank: int) -> Source:
    """Return the source with CoRe's stage: its matrices begin as the nearest products.

    ConfigError beside what has stages or a fit of its own, and for a rank that adds nothing.
    """
    require(source.fitting is None, "--core", rank, f"without --grow {' or '.join(LEARNED)}")
    require(not source.stages, "--core", rank, f"without --grow {MSLT}")
    stages = factored_stages(source.config, rank)
    by = ""
    if not source.headless:
        near = decomposed(deepcopy(source.model), rank)
        by = f" (a logit moved by {largest_move(source.model, near):.1e} of the largest)"
    words = (
        f"its layers' matrices become the nearest products of rank {rank} (SVD) for "
        f"{percent(UNTIL[-1])} of the updates{by}"
    )
    return replace(source, stages=stages, note="; ".join(filter(None, (source.note, words))))


def worth(task: Task, config: TrainConfig) -> float:
    """Return the batches of the task's own model that cost as much as all stages of a run."""
    stages = Stages(task, config)
    ends = pairwise([0, *stages.ends, config.steps])
    flops = sum((end - at) * stages.flops_per_batch(n) for n, (at, end) in enumerate(ends))
    return config.accumulation * flops / task.flops_per_batch
