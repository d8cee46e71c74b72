"""What a finished run says of itself: what it cost, what it was, what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from swe.base.platform import peak_resident_memory
from swe.run.charged import layers_run, spared
from swe.run.engine import Engine
from swe.run.run_config import TrainConfig
from swe.run.saved_state import StageState
from swe.run.stages import Stages


def summary_of(
    engine: Engine,
    config: TrainConfig,
    stages: Stages,
    earlier: StageState,
    values: Mapping[str, float],
    seconds: float,
    commits: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the summary of a run whose last stage's ``engine`` made the last update.

    ``values``: its last evaluation. Tokens and FLOPs are those of all stages, probes included.
    """
    task, probes = engine.task, engine.swe.probes
    updates = stages.updates(earlier, config.steps)
    own, begin = updates * config.accumulation, config.steps - updates
    summary = {
        "steps": config.steps,
        "tokens": config.steps * config.accumulation * task.tokens_per_batch,
        "flops": earlier.flops
        + (own + probes) * task.flops_per_batch
        - spared(task, config, begin, config.steps),
        "seconds": seconds,
        "peak_memory_bytes": _peak_memory(engine.device),
        "probes": earlier.probes + probes,
        "parameters_at_start": stages.parameters_at_start(engine.parameters_at_start),
        "parameters_at_end": engine.parameters,
        "layout_at_end": str(engine.stack.layout),
        "valid": dict(values),
        "weights": engine.weight_energies(),
        "commits": list(commits),
    }
    if config.extended_at:
        summary |= {
            "extended_at": list(config.extended_at),
            "extended_from": list(config.extended_from),
        }
    if config.similarity is not None:
        penalty = config.similarity.strength * config.similarity.value(engine.stack)
        summary["similarity_penalty"] = penalty.item()
    return summary | layers_run(task, config, begin)


def _peak_memory(device: torch.device) -> int:
    """Peak of the memory allocated on the device (CUDA), or resident in this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_resident_memory()
