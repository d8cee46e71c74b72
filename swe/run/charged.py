"""What layers that updates leave out would have cost, where the task says what a layer costs.

A sampler's draws are a function of (seed, step), so the sum is drawn once more, not kept: some 20
microseconds an update, at the end of a run.
"""

from __future__ import annotations

from typing import Any

from swe.run.run_config import TrainConfig
from swe.run.task import Task


def spared(task: Task, config: TrainConfig, begin: int, end: int) -> float:
    """FLOPs of the layers that the updates ``begin`` to ``end`` - 1 left out; 0 without a price."""
    each = getattr(task, "flops_per_layer", None)
    if config.dropping is None or each is None:
        return 0.0
    left_out = (end - begin) * task.depth - _run(task, config, begin, end)
    return float(left_out * config.accumulation * each)


def layers_run(task: Task, config: TrainConfig, begin: int) -> dict[str, Any]:
    """For a summary, of a run's last model, from update ``begin`` on: the share of layers that
    ran, and which of them the FLOPs count. Nothing without a sampler."""
    if config.dropping is None:
        return {}
    priced = hasattr(task, "flops_per_layer")
    all_layers = (config.steps - begin) * task.depth
    return {
        "layers_run": _run(task, config, begin, config.steps) / all_layers,
        "layers_charged": "those that ran" if priced else "all: the task has no flops_per_layer",
    }


def _run(task: Task, config: TrainConfig, begin: int, end: int) -> int:
    """Layers that the updates ran, in all."""
    assert config.dropping is not None
    return sum(
        len(config.dropping.active(step, config.length_at(step), task.depth, config.seed))
        for step in range(begin, end)
    )
