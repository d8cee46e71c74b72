"""The training loop: one (task, config) to one run folder, interruptible and exactly resumable.

It says when to log, probe, evaluate, save and resume; ``swe.run.engine`` makes the updates, each a
function of the state before it, so a run resumed from a checkpoint is the unbroken run, bit for bit
on the same machine. Nothing in the loop waits for the device except the rows that are logged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from swe.base.config import to_dict
from swe.base.errors import (
    CheckpointError,
    ConfigError,
    FunctionChangedError,
    NonFiniteLossError,
)
from swe.base.interrupt import Interrupted
from swe.base.platform import require_device, require_posix
from swe.ranks.distributed import world_of
from swe.ranks.parallel import Replicated
from swe.run import checkpoint, growing
from swe.run.beginning import as_begun, open_run
from swe.run.compatible import require_compatible
from swe.run.due import Due
from swe.run.engine import Engine
from swe.run.record import RunFolder, commits_of
from swe.run.rows import environment_of, event_row, stage_row
from swe.run.run_config import TrainConfig
from swe.run.saved_state import Outgrown, Rows, SavedState, StageState, saved_state
from swe.run.speed import SpeedConfig
from swe.run.stages import Stages
from swe.run.summary import summary_of
from swe.run.task import Batch, Task
from swe.sharing.placement import Mode, Parallel, World

__all__ = ["Interrupted", "NonFiniteLossError", "train"]


KEPT = {"float32": 1e-4, "bfloat16": 3e-2}
"""Share of the loss by which a growth that keeps the function may move it: what sums in another
order make of some tens of layers, a unit wrong makes tenths."""
Progress = Callable[[int, dict[str, Any]], None]


def train(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    parallel: Mode = "none",
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train ``task`` by ``config`` in ``folder``; continue there if a checkpoint is found.

    Returns the summary; a finished run returns its summary at once. ``progress(step, row)`` is
    called after every logged row (by rank 0), ``stop()`` before every update. ``parallel`` other
    than "none" is called by every rank within ``swe.ranks.distributed.process_group``; a run may be
    continued in another mode and on another number of ranks. ``speed`` (rank 0's) changes nothing
    that the folder's ``config.json`` holds. Raises ConfigError, FolderBusyError, RunFolderError,
    CheckpointError, NonFiniteLossError, RanksDifferError, Interrupted, on all ranks, and OSError
    when a row cannot be written: what was saved and logged before stays.
    """
    require_posix("swe.train")
    require_device(torch.device(device).type)
    world = world_of(parallel)
    require_compatible(task.depth, config, speed, parallel)
    Stages(task, config)  # refused, if it is, before there is a folder
    config, run = open_run(task, config, folder, torch.device(device), speed, world, warn)
    stages = Stages(task, config)
    summary = world.on_first(lambda: run.summary)
    if summary is not None:
        return summary
    way = _way(parallel, world)
    with world.held_by_first(run.held(warn)):
        loop = _Loop(config, run, torch.device(device), way, speed, progress, stop, warn, stages)
        try:
            return loop.run()
        finally:
            loop.engine.close()


def _way(mode: Mode, world: World) -> Parallel:
    if mode == "fsdp":
        from swe.ranks.sharded import Sharded  # here: its library takes seconds to load

        return Sharded(world)
    return Replicated(world) if mode == "ddp" else Parallel(world)


class _Loop:
    """State of one run in progress."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        device: torch.device,
        parallel: Parallel,
        speed: SpeedConfig,
        progress: Progress | None,
        stop: Callable[[], bool],
        warn: Callable[[str], None],
        stages: Stages,
    ) -> None:
        self.config, self.folder = config, folder
        self.progress, self.stop = progress, stop
        self.started = time.perf_counter()
        self.seconds_before = 0.0
        self.step, self.saved_step = 0, -1
        self.extends = False
        """Whether it begins from a checkpoint of the run that it was before it was extended."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.loss_count = 0
        self.world, self.warn = parallel.world, warn
        self.stages = stages
        self._build = partial(
            Engine,
            device=device,
            where=str(folder.path),
            parallel=parallel,
            speed=self.world.on_first(lambda: as_begun(speed, folder)),
        )
        self.earlier = StageState()
        self.due = Due(speed.checkpoint_minutes)
        self._resume()

    def run(self) -> dict[str, Any]:
        config = self.config
        self._describe()
        if self.extends and self.step in config.former_ends:
            self._evaluate()  # the row of the run's former end, which was behind its checkpoint
        while self.step < config.steps:
            stop, due = self._asked()
            if stop:
                self._save()
                raise Interrupted(f"{self.folder.path}: stopped before update {self.step}")
            step = self.step
            while self.stages.over(self.earlier, step):
                self._grow()
            batch = self.engine.batch(step * config.accumulation)
            by_interval = config.probe_interval > 0 and step % config.probe_interval == 0
            measure = by_interval and not self.engine.frozen  # frozen layers have no gradient
            event = self.engine.begin(step, batch, measure=measure)
            self._log_probe(step, batch if measure and config.split_probes else None)
            if event is not None:
                self.folder.log_event(event_row(event, self.config.moments))
            by_share = step > 0 and step % config.checkpoint_interval == 0
            if event is not None or by_share or (due and step > 0):
                self._save()
            loss, self.norm = self.engine.update(step, batch)
            self.loss_sum += loss
            self.loss_count += 1
            self.step = step + 1
            if self.step % config.log_interval == 0:
                self._log_training()
            by_interval = self.step % config.eval_interval == 0
            if (by_interval and self.step < config.steps) or self.step in config.former_ends:
                self._evaluate()
        return self._finish()

    def _asked(self) -> tuple[bool, bool]:
        """Whether to stop (any rank's reasons), and whether to save (by the first rank's clock)."""
        stop, due = self.stop(), self.world.is_first and self.due()
        if self.world.size == 1:
            return stop, due
        both = self.world.total(
            torch.tensor([int(stop), int(due)])
        )  # one message for two questions
        return bool(both[0]), bool(both[1])

    def _describe(self) -> None:
        here = environment_of(self.engine)
        self.world.on_first(lambda: self.folder.describe(here, self.step))

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _log_training(self) -> None:
        self.engine.raise_if_bad()
        loss = float(self.loss_sum) / self.loss_count
        row = {
            "kind": "train",
            "step": self.step,
            "loss": loss,
            "gradient_norm": float(self.norm),
            "learning_rate": self.engine.learning_rate,
            "seconds": round(self._seconds(), 3),
        }
        self.loss_sum.zero_()
        self.loss_count = 0
        self.folder.log(row)
        if self.config.stages:  # one rank's answer, as all must go on as the same model
            now = self.stages.asked(self.earlier, self.step, loss)
            self.earlier = self.world.on_first(lambda: now)
        if self.progress and self.world.is_first:
            self.progress(self.step, row)

    def _log_probe(self, step: int, split: Batch | None) -> None:
        statistics = self.engine.swe.statistics
        if statistics is not None:
            row = {"kind": "probe", "step": step, **statistics.to_json()}
            row["weights"] = self.engine.weight_energies()
            if split is not None:
                row["halves"] = [s.to_json() for s in self.engine.probe_halves(step, split)]
            self.folder.log(row)

    def _evaluate(self) -> dict[str, float]:
        values = self.engine.evaluate()
        if not all(math.isfinite(value) for value in values.values()):
            raise NonFiniteLossError(
                f"{self.folder.path}: validation not finite after update {self.step}: {values}"
            )
        seconds = round(self._seconds(), 3)
        self.folder.log({"kind": "valid", "step": self.step, "seconds": seconds, **values})
        return values

    def _save(self, keep: int = 2) -> None:
        # A checkpoint past a skipped update would hide that it was skipped.
        self.engine.raise_if_bad()
        if self.saved_step == self.step:
            return
        self.world.agree("schedule state", self.engine.swe.to_json())
        state = SavedState(
            config=self.folder.digest,
            swe=self.engine.swe.saved(),
            rows=Rows(**self.folder.row_counts()),
            seconds=self._seconds(),
            loss_sum=float(self.loss_sum),
            loss_count=self.loss_count,
            stages=self.earlier,
        )
        described = to_dict(state)
        if not self.config.stages:
            del described["stages"]
        with self.due.saving():
            checkpoint.save(
                self.folder.checkpoints,
                self.step,
                self.engine.model,
                self.engine.optimizer,
                described,
                keep=keep,
                world=self.world,
            )
        self.saved_step = self.step

    def _grow(self) -> None:
        """Go on as the next stage's model, from a checkpoint of this one."""
        self._save()
        held = self.engine.held_loss(self._first_batch())
        self.engine.close()
        found = checkpoint.latest(self.folder.checkpoints, self.warn, self._saved_state, self.world)
        assert found is not None
        device = self.engine.device
        growing.grow(self.stages, found, self._saved_state(found), held, self.world, device)
        self._resume()

    def _first_batch(self) -> Batch:
        return self.engine.batch(self.step * self.config.accumulation)

    def _tell_growth(self, before: Outgrown) -> None:
        """Log the change that made the model; FunctionChangedError where it should have kept the
        held batch's loss and did not."""
        held, now = before.held_loss, self.engine.held_loss(self._first_batch())
        within = KEPT[self.config.precision] * max(1.0, abs(held))
        if not before.why_not and abs(now - held) > within:
            raise FunctionChangedError(
                f"growth before update {self.step}: the held batch's loss went from {held!r} to "
                f"{now!r}, though the function should stay"
            )
        stage = self.config.stages[self.earlier.over - 1]
        self.folder.log_event(stage_row(self.step, stage, before, now, self.engine))
        self.saved_step = -1  # once more, now that it is logged
        self._save()

    def _resume(self) -> None:
        warn = self.warn
        self.world.on_first(lambda: checkpoint.remove_unfinished(self.folder.checkpoints))
        found = checkpoint.latest(self.folder.checkpoints, warn, self._saved_state, self.world)
        saved = None if found is None else self._saved_state(found)
        if saved is not None:
            self.earlier = replace(saved.stages, grown=())
        now, stages = self.earlier.over, self.stages
        self.engine = self._build(
            stages.tasks[now], stages.config_of(now), frozen=stages.frozen(now)
        )
        if found is None or saved is None:
            dropped = self.folder.rewind({"metrics": 0, "events": 0})
            if dropped:
                warn(f"{self.folder.path}: no checkpoint beside its {dropped} rows; starts over")
            return
        try:
            self.engine.swe.take_over(saved.swe)
        except ConfigError as error:
            raise CheckpointError(f"{found.path}: of another run ({error})") from None
        found.load_weights(self.engine.model)
        found.load_optimizer(self.engine.model, self.engine.optimizer)
        self.folder.rewind(to_dict(saved.rows))
        self.loss_sum.fill_(saved.loss_sum)
        self.loss_count = saved.loss_count
        self.started, self.seconds_before = time.perf_counter(), saved.seconds
        self.step = self.saved_step = found.step
        self.extends = saved.config != self.folder.digest
        for growth in saved.stages.grown:
            self._tell_growth(growth)

    def _saved_state(self, found: checkpoint.Checkpoint) -> SavedState:
        return saved_state(found, self.folder.digest, self.folder.digests, self.config.steps)

    def _finish(self) -> dict[str, Any]:
        self._save(keep=1)  # first: a run killed below evaluates again, and logs the row once
        values = self._evaluate()
        summary = summary_of(
            self.engine,
            self.config,
            self.stages,
            self.earlier,
            values,
            round(self._seconds(), 3),
            self.world.on_first(lambda: commits_of(self.folder.path)),
        )
        self.world.on_first(lambda: self.folder.finish(summary))
        return self.world.on_first(lambda: summary)
