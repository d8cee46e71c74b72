"""What layers that updates leave out would have cost, where the task says what a layer costs.

Of a layer's products a third is its forward pass: of one that runs frozen the rest is spared. A
sampler's draws are a function of (seed, step), so the sum is drawn once more, not kept: some 20
microseconds an update, at the end of a run.
"""

from __future__ import annotations

from typing import Any

from swe.run.run_config import TrainConfig
from swe.run.task import Task


def spared(task: Task, config: TrainConfig, begin: int, end: int) -> float:
    """FLOPs of the layers that the updates ``begin`` to ``end`` - 1 left out, and of the backward
    passes of those that ran frozen; 0 without a price."""
    each = getattr(task, "flops_per_layer", None)
    if config.dropping is None or each is None:
        return 0.0
    left_out = (end - begin) * task.depth - whole_layers(*_run(task, config, begin, end))
    return float(left_out * config.accumulation * each)


def whole_layers(run: float, trained: float) -> float:
    """Return how many layers, forward and backward, cost as much as ``run``, ``trained`` of them
    with a backward pass and the others without: trained + (run - trained) / 3."""
    return trained + (run - trained) / 3


def layers_run(task: Task, config: TrainConfig, begin: int) -> dict[str, Any]:
    """For a summary, of a run's last model, from update ``begin`` on: the share of layers that
    ran, of a sampler that freezes that of the trained, and which of them the FLOPs count. Nothing
    without a sampler."""
    if config.dropping is None:
        return {}
    priced = hasattr(task, "flops_per_layer")
    all_layers = (config.steps - begin) * task.depth
    run, trained = _run(task, config, begin, config.steps)
    freezes = config.dropping.freezes
    charged = "those that ran" + (", backward those that trained" if freezes else "")
    return {
        "layers_run": run / all_layers,
        **({"layers_trained": trained / all_layers} if freezes else {}),
        "layers_charged": charged if priced else "all: the task has no flops_per_layer",
    }


def _run(task: Task, config: TrainConfig, begin: int, end: int) -> tuple[int, int]:
    """Layers that the updates ran, and those that they trained, in all."""
    sampler, run, trained = config.dropping, 0, 0
    assert sampler is not None
    for step in range(begin, end):
        drawn = (step, config.length_at(step), task.depth, config.seed)
        active, cut = sampler.active(*drawn), sampler.cut(*drawn)
        run += len(active)
        trained += sum(cut is None or layer >= cut for layer in active)
    return run, trained
