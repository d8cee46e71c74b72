"""One update: model, optimiser, schedule's runner, device, precision, loss, and the guard.

Update ``step`` reads batches ``step * accumulation ...``, draws dropout from (seed, step), and
takes its rate from the step, so it is a function of the state before it. Nothing here waits for the
device, except reading the guard on demand; ``training.loop`` says when to log, evaluate and save.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from training.attention import choose
from training.compiling import compile_loss, eagerly
from training.optimizer import build_adamw, set_learning_rate
from training.prefetch import Prefetcher
from training.run_config import TrainConfig
from training.runner import Event, ShareThenUnshare, prepare
from training.seeds import derive_seed
from training.speed import SpeedConfig
from training.stack import find_stack
from training.task import Batch, Task


class NonFiniteLossError(RuntimeError):
    """The loss or a gradient was NaN or infinite; the update was not made."""


class Engine:
    """What a run computes with. ``where`` names the run in messages."""

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        device: torch.device,
        where: str,
        speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    ) -> None:
        self.task, self.config, self.device, self.where = task, config, device, where
        self.speed = speed
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
        self.attention, self.attention_times = choose(
            task, speed.attention, config.precision, device
        )
        self._training_loss = compile_loss(task.loss, self.stack, speed.compile, speed.backend)
        self.batches = Prefetcher(
            partial(task.batch, config.seed),
            speed.prefetch_on(device),
            pinned=device.type == "cuda",
        )

    def close(self) -> None:
        """Stop what runs beside the updates; the engine can still be used."""
        self.batches.close()

    @property
    def parameters(self) -> int:
        """Parameters of the model as it is now."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def learning_rate(self) -> float:
        """Rate of the last update."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def begin(self, step: int, batch: Batch, *, measure: bool) -> Event | None:
        """Let the schedule act before update ``step``; ``batch`` is its first."""
        # Compiled whole, the model would be compiled once more for a probe: its layers are leaves.
        loss = self.task.loss if self.speed.compile == "model" else self._training_loss
        return self.swe.begin_step(step, partial(self._loss, loss, batch), measure=measure)

    def update(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Make update ``step``, whose first batch is given.

        Returns (loss, gradient norm before clipping), 0-d on the device. Raises NonFiniteLossError
        before the weights change; on CUDA that is told by :meth:`raise_if_bad`.
        """
        config = self.config
        self.model.train()
        torch.manual_seed(derive_seed(config.seed, "dropout", step))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for micro in range(config.accumulation):
            if micro > 0:
                batch = self.batch(step * config.accumulation + micro)
            loss = self._loss(self._training_loss, batch)
            (loss / config.accumulation).backward()
            total += loss.detach().double() / config.accumulation
        norm = self.swe.finish_gradients()
        self._guard(step, total, norm)
        set_learning_rate(self.optimizer, config.optimizer.learning_rate(step, config.steps))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return total, norm

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
            self.raise_if_bad()

    def raise_if_bad(self) -> None:
        """Raise NonFiniteLossError if an update was refused; on CUDA this waits for the device."""
        step = int(self.bad_step)
        if step >= 0:
            first = step * self.config.accumulation
            last = first + self.config.accumulation - 1
            raise NonFiniteLossError(
                f"{self.where}: loss or gradient not finite at update {step}; nothing was "
                f"updated. Reproduce with seed {self.config.seed}, batches {first}..{last}"
            )

    def batch(self, index: int) -> Batch:
        """Return batch ``index`` on the device."""
        batch = self.batches.get(index)
        return {name: t.to(self.device, non_blocking=True) for name, t in batch.items()}

    def _loss(self, loss: Callable[..., Tensor], batch: Batch) -> Tensor:
        """Return the mean loss over ``batch``, 0-d, in the run's precision."""
        with self._autocast():
            return loss(self.model, batch)

    def evaluate(self) -> dict[str, float]:
        """Evaluate the task in the run's precision, without dropout."""
        self.model.eval()
        with torch.no_grad(), self._autocast(), eagerly():
            values = self.task.evaluate(self.model, self.device)
        self.model.train()
        return values

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        # With the weight cache a tied block would sum its uses' gradients in bfloat16.
        return torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
            cache_enabled=False,
        )
