"""The training loop: one (task, config) to one run folder, interruptible and exactly resumable.

Update ``step`` reads batches ``step * accumulation ...``, draws dropout from (seed, step), and
takes its rate from the step; so a run resumed from a checkpoint is the unbroken run, bit for bit on
the same machine. Nothing in the loop waits for the device except the rows that are logged.
"""

from __future__ import annotations

import contextlib
import math
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training import checkpoint
from training.config import ConfigError, to_dict
from training.files import write_json
from training.optimizer import build_adamw, set_learning_rate
from training.record import RunFolder, environment
from training.run_config import TrainConfig
from training.runner import Event, ShareThenUnshare, prepare
from training.seeds import derive_seed
from training.stack import find_stack
from training.statistics import finite_or_none, weight_energies
from training.task import Batch, Task


class NonFiniteLossError(RuntimeError):
    """The loss or a gradient was NaN or infinite; the update was not made."""


class Interrupted(RuntimeError):
    """The run was asked to stop and did, with a checkpoint; the same call continues it."""


Progress = Callable[[int, dict[str, Any]], None]


def train(
    task: Task,
    config: TrainConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train ``task`` by ``config`` in ``folder``; continue there if a checkpoint is found.

    Returns the summary; a finished run returns its summary at once. ``progress(step, row)`` is
    called after every logged row, ``stop()`` before every update. Raises ConfigError,
    CheckpointError, NonFiniteLossError, Interrupted.
    """
    config.schedule.validate(task.depth, config.steps)
    run = RunFolder(folder, {"train": to_dict(config), "task": task.describe()})
    if run.summary is not None:
        return run.summary
    return _Loop(task, config, run, torch.device(device), progress, stop, warn).run()


class _Loop:
    """State of one run in progress."""

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        folder: RunFolder,
        device: torch.device,
        progress: Progress | None,
        stop: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.task, self.config, self.folder, self.device = task, config, folder, device
        self.progress, self.stop = progress, stop
        self.started = time.perf_counter()
        self.seconds_before = 0.0
        self.step, self.saved_step = 0, -1
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.loss_count = 0
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=device)

        model = task.build(config.seed)
        _, self.stack = find_stack(model)
        prepare(self.stack, config.schedule)
        self.parameters_at_start = sum(p.numel() for p in model.parameters())
        self.model = model.to(device)
        self.optimizer = build_adamw(self.model, config.optimizer)
        self.swe = ShareThenUnshare(
            self.model,
            self.optimizer,
            config.schedule,
            config.steps,
            convention=config.convention,
            clip_norm=config.optimizer.clip_norm,
            moments=config.moments,
        )
        self._resume(warn)

    def run(self) -> dict[str, Any]:
        config = self.config
        write_json(self.folder.path / "environment.json", environment(self.device))
        while self.step < config.steps:
            if self.stop():
                self._save()
                raise Interrupted(f"{self.folder.path}: stopped before update {self.step}")
            step = self.step
            batch = self._batch(step * config.accumulation)
            measure = config.probe_interval > 0 and step % config.probe_interval == 0
            event = self.swe.begin_step(step, partial(self._loss, batch), measure=measure)
            self._log_probe(step)
            if event is not None:
                self._log_event(event)
            if event is not None or (step > 0 and step % config.checkpoint_interval == 0):
                self._save()
            self._update(step, batch)
            self.step = step + 1
            if self.step % config.log_interval == 0:
                self._log_training()
            if self.step % config.eval_interval == 0 and self.step < config.steps:
                self._evaluate()
        return self._finish()

    def _update(self, step: int, batch: Batch) -> None:
        config = self.config
        self.model.train()
        torch.manual_seed(derive_seed(config.seed, "dropout", step))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for micro in range(config.accumulation):
            if micro > 0:
                batch = self._batch(step * config.accumulation + micro)
            loss = self._loss(batch)
            (loss / config.accumulation).backward()
            total += loss.detach().double() / config.accumulation
        norm = self.swe.finish_gradients()
        self._guard(step, total, norm)
        set_learning_rate(self.optimizer, config.optimizer.learning_rate(step, config.steps))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss_sum += total
        self.loss_count += 1
        self.norm = norm

    def _guard(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Stop before a non-finite update; on CUDA skip it there and report at the next row.

        Reading the loss back each step would drain the device queue, so on CUDA a sticky flag
        makes the fused optimiser skip every update from the first bad one on.
        """
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
        self.bad_step = torch.where((self.bad_step < 0) & bad, step, self.bad_step)
        if self.device.type == "cuda":
            self.optimizer.found_inf = (self.bad_step >= 0).float()  # type: ignore[attr-defined]
            self.optimizer.grad_scale = None  # type: ignore[attr-defined]
        else:
            self._raise_if_bad()

    def _raise_if_bad(self) -> None:
        step = int(self.bad_step)
        if step >= 0:
            first = step * self.config.accumulation
            last = first + self.config.accumulation - 1
            raise NonFiniteLossError(
                f"{self.folder.path}: loss or gradient not finite at update {step}; nothing was "
                f"updated. Reproduce with seed {self.config.seed}, batches {first}..{last}"
            )

    def _batch(self, index: int) -> Batch:
        batch = self.task.batch(self.config.seed, index)
        return {name: t.to(self.device, non_blocking=True) for name, t in batch.items()}

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        # With the weight cache a tied block would sum its uses' gradients in bfloat16.
        return torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
            cache_enabled=False,
        )

    def _loss(self, batch: Batch) -> Tensor:
        with self._autocast():
            return self.task.loss(self.model, batch)

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _log_training(self) -> None:
        self._raise_if_bad()
        row = {
            "kind": "train",
            "step": self.step,
            "loss": float(self.loss_sum) / self.loss_count,
            "gradient_norm": float(self.norm),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "seconds": round(self._seconds(), 3),
        }
        self.loss_sum.zero_()
        self.loss_count = 0
        self.folder.log(row)
        if self.progress:
            self.progress(self.step, row)

    def _log_probe(self, step: int) -> None:
        if self.swe.statistics is not None:
            row = {"kind": "probe", "step": step, **self.swe.statistics.to_json()}
            self.folder.log(row | {"weights": weight_energies(self.stack)})

    def _log_event(self, event: Event) -> None:
        self.folder.log_event(
            {
                "kind": "sham" if event.after == event.before else "unshare",
                "step": event.step,
                "before": str(event.before),
                "after": str(event.after),
                "groups": list(event.after.groups),
                "held_loss": event.loss,
                "moments": self.config.moments,
                "correlations": None
                if event.correlations is None
                else [finite_or_none(c) for c in event.correlations],
            }
        )

    def _evaluate(self) -> dict[str, float]:
        self.model.eval()
        with torch.no_grad(), self._autocast():
            values = self.task.evaluate(self.model, self.device)
        self.model.train()
        if not all(math.isfinite(value) for value in values.values()):
            raise NonFiniteLossError(
                f"{self.folder.path}: validation not finite after update {self.step}: {values}"
            )
        seconds = round(self._seconds(), 3)
        self.folder.log({"kind": "valid", "step": self.step, "seconds": seconds, **values})
        return values

    def _save(self, keep: int = 2) -> None:
        self._raise_if_bad()  # a checkpoint past a skipped update would hide that it was skipped
        if self.saved_step == self.step:
            return
        state = {
            "swe": self.swe.to_json(),
            "rows": self.folder.row_counts(),
            "seconds": self._seconds(),
            "loss_sum": float(self.loss_sum),
            "loss_count": self.loss_count,
        }
        checkpoint.save(
            self.folder.checkpoints, self.step, self.model, self.optimizer, state, keep=keep
        )
        self.saved_step = self.step

    def _resume(self, warn: Callable[[str], None]) -> None:
        found = checkpoint.latest(self.folder.checkpoints, warn)
        if found is None:
            self.folder.rewind({})
            return
        try:
            self.swe.restore(found.state["swe"])
            found.load_weights(self.model)
            found.load_optimizer(self.model, self.optimizer)
            self.folder.rewind(found.state["rows"])
            self.loss_sum.fill_(found.state["loss_sum"])
            self.loss_count = found.state["loss_count"]
            self.seconds_before = found.state["seconds"]
        except (KeyError, ConfigError) as error:
            raise checkpoint.CheckpointError(f"{found.path}: of another run ({error})") from None
        self.step = self.saved_step = found.step

    def _finish(self) -> dict[str, Any]:
        self._save(keep=1)  # first: a run killed below evaluates again, and logs the row once
        values = self._evaluate()
        config, task = self.config, self.task
        batches = config.steps * config.accumulation
        summary = {
            "steps": config.steps,
            "tokens": batches * task.tokens_per_batch,
            "flops": (batches + self.swe.probes) * task.flops_per_batch,
            "seconds": round(self._seconds(), 3),
            "peak_memory_bytes": _peak_memory(self.device),
            "probes": self.swe.probes,
            "parameters_at_start": self.parameters_at_start,
            "parameters_at_end": sum(p.numel() for p in self.model.parameters()),
            "layout_at_end": str(self.stack.layout),
            "valid": values,
            "weights": weight_energies(self.stack),
        }
        self.folder.finish(summary)
        return summary


def _peak_memory(device: torch.device) -> int:
    """Peak of the memory allocated on the device (CUDA), or resident in this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024
