"""How a run begins, and goes on as it was begun: configuration, precision and kernel, by all ranks.

What a run measures at its start is on the disk before update 0: its precision in ``config.json``,
its kernel in ``environment.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from swe.base.config import to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.run.arithmetic import has_bfloat16_units
from swe.run.precision import begun, settled
from swe.run.record import RunFolder, Spectator, begin
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Task
from swe.sharing.placement import World


def open_run(
    task: Task,
    config: TrainConfig,
    folder: Path,
    device: torch.device,
    speed: SpeedConfig,
    world: World,
    warn: Callable[[str], None],
) -> tuple[TrainConfig, RunFolder]:
    """Return the configuration with its precision settled, and its folder, opened on every rank.

    The folder is begun once all ranks have agreed. Raises ConfigError, RunFolderError on all.
    """
    auto = config.precision == "auto"
    first = world.on_first(lambda: settled(config, task, folder, device, speed))
    if auto:  # nothing else is taken over: what differs is refused
        config = replace(config, precision=first.precision)
    content = {"train": to_dict(config), "task": task.describe()}
    world.agree("configuration", content, ConfigError)
    # Measuring takes a while, in which another process may have begun the run: then that one's.
    world.on_first(lambda: begin(folder, content))
    there = world.on_first(lambda: begun(folder))
    if auto and there is not None:
        config = replace(config, precision=there)
        content["train"] = to_dict(config)
        slow = there == "bfloat16" and device.type == "cpu" and not has_bfloat16_units()
        if slow and world.is_first:
            warn(
                f"{folder}: bfloat16, as this run or its comparison was begun; this processor has "
                "no units for it, so it takes long"
            )
    run = world.on_first(lambda: RunFolder(folder, content))
    return config, world.all_or_none(lambda: run if world.is_first else Spectator(folder, content))


def as_begun(speed: SpeedConfig, folder: RunFolder) -> SpeedConfig:
    """Keep the attention kernel that the run was begun with: another gives other last digits."""
    path = folder.path / "environment.json"
    if speed.attention not in ("auto", "measured") or not path.exists():
        return speed
    try:
        return replace(speed, attention=read_json(path)["speed"]["attention"])
    except (ValueError, LookupError, TypeError):  # half a file, or another program's: measure anew
        return speed
