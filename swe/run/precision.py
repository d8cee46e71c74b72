"""Precision "auto": float32 or bfloat16, whichever makes this task's update sooner, measured.

A run's precision is part of its configuration: it is settled before update 0, written there, and
read back on resume. Runs that name one folder (``SpeedConfig.measured_in``) share what the first of
them found, on whatever machine: what a comparison was begun in is what all of it is computed in.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from swe.base.files import read_json
from swe.run.arithmetic import Precision, arithmetic, has_bfloat16_units
from swe.run.attention import choose
from swe.run.cast_once import CastWeights
from swe.run.measured import begun_beside, first_written
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Task

WORTH = 0.9
"""Bfloat16 is taken where it needs at most so much of float32's time: it has 16 bits fewer, and
must be worth them."""
_BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")


def settled(
    config: TrainConfig, task: Task, folder: Path, device: torch.device, speed: SpeedConfig
) -> TrainConfig:
    """Return ``config`` with its precision, if that is "auto", as the run in ``folder`` began.

    Of a run that begins: bfloat16 on a CUDA device that has it; on a CPU with units for it if it is
    faster (:func:`measure`, some ten updates' time); else float32.
    """
    if config.precision != "auto":
        return config
    return replace(config, precision=begun(folder) or _find(task, config.seed, device, speed))


def begun(folder: Path) -> Precision | None:
    """Return the precision in a run's config.json; what cannot be read is told of elsewhere."""
    try:
        there = read_json(folder / "config.json")["train"]["precision"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return next((one for one in _BOTH if one == there), None)


def _find(task: Task, seed: int, device: torch.device, speed: SpeedConfig) -> Precision:
    def find() -> dict[str, Any]:
        for run in begun_beside(speed.measured_in, task):
            if run.precision in _BOTH:
                return {"precision": run.precision}
        if device.type == "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
            return {"precision": "bfloat16" if able else "float32"}
        if not has_bfloat16_units():
            return {"precision": "float32"}
        times = measure(task, seed, speed)
        worth = times["bfloat16"] <= WORTH * times["float32"]
        return {"precision": "bfloat16" if worth else "float32", "milliseconds": times}

    if speed.measured_in is None:
        found = find()
    else:
        size = f"{task.depth}-{task.tokens_per_batch}-{task.flops_per_batch:.6g}"
        path = speed.measured_in / "measured" / f"precision-{device.type}-{size}.json"
        found = first_written(path, find, "precision", _BOTH)
    return "bfloat16" if found["precision"] == "bfloat16" else "float32"


def measure(task: Task, seed: int, speed: SpeedConfig, repeats: int = 3) -> dict[Precision, float]:
    """Median milliseconds of process time of a forward and backward pass, by precision, in turn."""
    device = torch.device("cpu")
    times: dict[Precision, list[float]] = {one: [] for one in _BOTH}
    kernels = {
        one: choose(task, speed.attention, one, device, speed.measured_in)[0] for one in _BOTH
    }
    with torch.random.fork_rng(devices=[]):
        model, batch = task.build(seed).train(), task.batch(seed, 0)
        for turn in range(repeats + 1):
            for one in _BOTH:
                begin = time.process_time()
                casts = CastWeights() if one == "bfloat16" else None
                with arithmetic("cpu", one, kernels[one], casts):
                    loss = task.loss(model, batch)
                loss.backward()
                model.zero_grad(set_to_none=True)
                if turn > 0:  # the first one fills caches
                    times[one].append(1e3 * (time.process_time() - begin))
    return {one: statistics.median(found) for one, found in times.items()}
