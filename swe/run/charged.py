"""What updates cost that leave layers out: those that ran, where the task says what a layer costs.

A sampler's draws are a function of (seed, step), so the sum is drawn once more, not kept: some 20
microseconds an update, at the end of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swe.run.run_config import TrainConfig
from swe.run.task import Task


def charged(task: Task, config: TrainConfig, begin: int, end: int, probes: int) -> float:
    """FLOPs of the updates ``begin`` to ``end`` - 1 and of ``probes``, which run all layers."""
    whole = ((end - begin) * config.accumulation + probes) * task.flops_per_batch
    each = getattr(task, "flops_per_layer", None)
    if config.dropping is None or each is None:
        return whole
    left_out = (end - begin) * task.depth - _run(task, config, begin, end)
    return float(whole - left_out * config.accumulation * each)


def layers_run(tasks: Sequence[Task], begins: Sequence[int], config: TrainConfig) -> dict[str, Any]:
    """Of a run whose models began at updates ``begins``: the share of layers that ran, and what
    the FLOPs count."""
    ends = [*begins[1:], config.steps]
    spans = list(zip(tasks, begins, ends, strict=True))
    all_layers = sum((end - begin) * task.depth for task, begin, end in spans)
    priced = all(hasattr(task, "flops_per_layer") for task in tasks)
    return {
        "layers_run": sum(_run(task, config, *span) for task, *span in spans) / all_layers,
        "layers_charged": "those that ran" if priced else "all: the task has no flops_per_layer",
    }


def _run(task: Task, config: TrainConfig, begin: int, end: int) -> int:
    """Layers that the updates ran, in all."""
    assert config.dropping is not None
    return sum(
        len(config.dropping.active(step, config.length_at(step), task.depth, config.seed))
        for step in range(begin, end)
    )
