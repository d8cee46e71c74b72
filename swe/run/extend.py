"""A run taken on to more updates than it was begun with, as its record then says.

Up to the last checkpoint, at update E, the run is what it was. From there its rate climbs over as
many updates as its first warm-up had, from where it stood to the line of a run of N updates, and
follows that to zero at N (``TrainConfig.learning_rate``); a schedule's tau stays the update that it
was, and so do the moments of sub-model training. A run of N updates from the beginning is another
run: its rate had not come down before E.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from swe.base.config import from_dict, require, to_dict
from swe.base.errors import CheckpointError, ConfigError, RunFolderError
from swe.base.files import json_digest, read_json, write_json
from swe.base.lock import exclusive
from swe.run import checkpoint
from swe.run.record import earlier_digests
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import CycleReversed, SequenceShared, SweFixed


def extended(config: TrainConfig, at: int, steps: int) -> TrainConfig:
    """Return the configuration of the run of ``config`` that goes on from ``at`` to ``steps``.

    ConfigError unless that is more than it has, and ``at`` in the run.
    """
    require(steps > config.steps, "steps", steps, f"more than the {config.steps} of the run")
    require(0 < at <= config.steps, "at", at, f"in 1..{config.steps}")
    require(not config.stages, "--extend", "a run in stages", "a run of one model from its start")
    schedule = config.schedule
    if isinstance(schedule, SweFixed | SequenceShared | CycleReversed):
        tau = schedule.tau(config.steps)
        schedule = schedule if tau is None else replace(schedule, until=tau)
    warmup = config.optimizer.warmup_steps(config.steps)
    return replace(
        config,
        steps=steps,
        schedule=schedule,
        dropping=None if config.dropping is None else config.dropping.pinned(config.steps),
        optimizer=replace(config.optimizer, warmup=warmup),
        extended_at=(*config.extended_at, at),
        extended_from=(*config.extended_from, config.steps),
    )


def extend(folder: Path, steps: int, warn: Callable[[str], None] = print) -> TrainConfig:
    """Make the run in ``folder``, finished or not, one of ``steps`` updates; returns its new
    configuration, by which ``swe.run.loop.train`` goes on with it.

    What it was stays beside: ``config.OLD.json`` and ``summary.OLD.json``, OLD the updates that it
    had. Killed on the way, the folder is that of the run before, and the same call goes on. Raises
    ConfigError for a folder without a run or a checkpoint, or fewer updates, CheckpointError when
    no checkpoint can be used, RunFolderError for a damaged config.json, FolderBusyError.
    """
    path = folder / "config.json"
    if not path.exists():
        raise ConfigError(f"{folder}: holds no run to extend")
    with exclusive(folder, warn):
        try:
            stored = read_json(path)
            config = from_dict(TrainConfig, stored["train"], where="train.")
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunFolderError(f"{path}: cannot be read ({error})") from None
        digests = {json_digest(stored), *earlier_digests(folder)}

        def check(found: checkpoint.Checkpoint) -> None:
            if found.state.get("config") not in digests:
                raise CheckpointError(f"{found.path}: of another run")

        found = checkpoint.latest(folder / "checkpoints", warn, check)
        if found is None or found.step == 0:
            raise ConfigError(
                f"{folder}: has no checkpoint to extend; another folder begins a run of {steps}"
            )
        longer = extended(config, found.step, steps)
        write_json(folder / f"config.{config.steps}.json", stored)
        # Before config.json: with the old one and no summary it is the old run, to be ended again.
        if (folder / "summary.json").exists():
            os.replace(folder / "summary.json", folder / f"summary.{config.steps}.json")
        write_json(path, {**stored, "train": to_dict(longer)})
    return longer
