"""One update: model, optimiser, schedule's runner, device, precision, loss, and the guard.

Update ``step`` reads batches ``step * accumulation ...``, draws dropout from (seed, step), and
takes its rate from the step, so it is a function of the state before it. Nothing here waits for the
device, except reading the guard on demand; ``swe.run.loop`` says when to log, evaluate and save.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.config import require
from swe.base.errors import NonFiniteLossError
from swe.run.arithmetic import arithmetic
from swe.run.attention import choose, use
from swe.run.cast_once import CastWeights
from swe.run.compatible import require_compatible
from swe.run.compiling import compile_loss
from swe.run.optimizer import build_adamw, set_learning_rate
from swe.run.prefetch import Prefetcher
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch, Task, rank_batch
from swe.sharing.eager import eagerly
from swe.sharing.event import Event
from swe.sharing.gates import Gates
from swe.sharing.placement import Parallel
from swe.sharing.seeds import derive_seed
from swe.sharing.share_then_unshare import ShareThenUnshare, prepare
from swe.sharing.stack import Stack, find_stack
from swe.sharing.statistics import GradientStatistics


class Engine:
    """What a run computes with. ``where`` names the run in messages; ``frozen`` are the names of
    parameters that do not train.

    On several ranks each computes on its rows; losses, norms and statistics are the global batch's.
    Raises ConfigError for a ``speed`` that ``parallel`` does not allow.
    """

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        device: torch.device,
        where: str,
        parallel: Parallel | None = None,
        speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
        frozen: Collection[str] = (),
    ) -> None:
        self.task, self.config, self.device, self.where = task, config, device, where
        self.parallel, self.speed = parallel or Parallel(), speed
        self.world = self.parallel.world
        require_compatible(task.depth, config, speed, self.parallel.mode)
        require(config.precision != "auto", "precision", "auto", "settled, as swe.train does it")
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        model = task.build(config.seed)
        prepare(find_stack(model)[1], config.schedule)
        self.frozen = frozenset(frozen)
        for name in frozen:  # no gradient, so no update, decay included; their state stays
            model.get_parameter(name).requires_grad_(False)
        self.parameters_at_start = sum(p.numel() for p in model.parameters())
        self.gates = None if config.dropping is None else Gates()
        model = self.parallel.place(model, device)
        self.optimizer = build_adamw(model, config.optimizer)
        self.swe = ShareThenUnshare(
            model,
            self.optimizer,
            config.schedule,
            config.steps,
            convention=config.convention,
            clip_norm=config.optimizer.clip_norm,
            moments=config.moments,
            parallel=self.parallel,
        )
        self.attention, self.attention_times = self.world.on_first(
            lambda: choose(task, speed.attention, config.precision, device, speed.measured_in)
        )
        if self.attention != "default" and device.type == "cuda":
            use(self.attention)  # the first rank's, measured there, on all
        self.casts = CastWeights() if self._casts_once() else None
        self._training_loss = compile_loss(
            task.loss,
            self.stack,
            speed.compile,
            speed.backend,
            around=self.parallel.mode == "none",
        )
        self.batches = Prefetcher(
            partial(rank_batch, task, config.seed, world=self.world),
            speed.prefetch_on(device),
            pinned=device.type == "cuda",
        )

    def close(self) -> None:
        """Stop what runs beside the updates; the engine can still be used."""
        self.batches.close()

    @property
    def model(self) -> nn.Module:
        """The model as it is now; an untie may replace it."""
        return self.swe.model

    @property
    def stack(self) -> Stack:
        """The model's stack as it is now."""
        return self.swe.stack

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
        if self.gates is not None and self._samples(step):
            self.gates.check(self.model, lambda: self.held_loss(batch))
        # Compiled whole, the model would be compiled once more for a probe: its layers are leaves.
        loss = self.task.loss if self.speed.compile == "model" else self._training_loss
        # The model is looked up at each call: an untie may replace it between two.
        return self.swe.begin_step(
            step, lambda: self._loss(loss, self.model, batch), measure=measure
        )

    def probe_halves(self, step: int, batch: Batch) -> list[GradientStatistics]:
        """Probe the two halves of each rank's rows of ``batch`` apart; together they cost one.

        With the probe of the whole batch they tell signal from noise. Raises ConfigError for a
        batch of one row.
        """
        rows = len(next(iter(batch.values())))
        require(rows >= 2, "split_probes", True, "off for batches of one row")
        self.swe.probes += 1
        seed = derive_seed("probe", step, *self.world.salt)
        found = []
        for part in (slice(rows // 2), slice(rows // 2, 2 * (rows // 2))):
            half = {name: tensor[part] for name, tensor in batch.items()}
            with eagerly():  # another shape would be another graph
                found.append(
                    self.parallel.probe(
                        self.model, partial(self._loss, self.task.loss, self.model, half), seed
                    )
                )
        return found

    def update(self, step: int, batch: Batch) -> tuple[Tensor, Tensor]:
        """Make update ``step``, whose first batch is given.

        Returns (loss, gradient norm before clipping), 0-d on the device. Raises NonFiniteLossError
        before the weights change; on CUDA that is told by :meth:`raise_if_bad`.
        """
        config = self.config
        self.model.train()
        torch.manual_seed(derive_seed(config.seed, "dropout", step, *self.world.salt))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        self.parallel.leaves_out = self._samples(step)
        with self._gated(step):
            for micro in range(config.accumulation):
                if micro > 0:
                    batch = self.batch(step * config.accumulation + micro)
                last = micro == config.accumulation - 1
                with self.parallel.micro_batch(self.model, last):
                    module = self.parallel.training_module(self.model)
                    loss = self._loss(self._training_loss, module, batch)
                    (loss / config.accumulation).backward()
                total += loss.detach().double() / config.accumulation
        total = self.world.mean(total)
        if config.similarity is not None:
            config.similarity.add_gradient(self.stack)
        norm = self.swe.finish_gradients()
        self._guard(step, total, norm)
        set_learning_rate(self.optimizer, config.learning_rate(step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.casts is not None:
            self.casts.clear()
        return total, norm

    def _gated(self, step: int) -> AbstractContextManager[None]:
        """Run update ``step``'s layers alone: in its training passes, nowhere else."""
        config, stack = self.config, self.stack
        if self.gates is None or config.dropping is None or not self._samples(step):
            return nullcontext()
        drawn = (step, config.length_at(step), stack.layout.depth, config.seed)
        return self.gates.within(stack, config.dropping.active(*drawn), config.dropping.cut(*drawn))

    def _samples(self, step: int) -> bool:
        """Whether update ``step`` may leave layers out or freeze them."""
        config = self.config
        if config.dropping is None:
            return False
        return step in config.dropping.during(config.length_at(step))

    def _guard(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Stop before a non-finite update; on CUDA skip it there and report at the next row.

        Reading the loss back each step would drain the device queue, so on CUDA a sticky flag
        makes the fused optimiser skip every update from the first bad one on.
        """
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
        self.bad_step = torch.where((self.bad_step < 0) & bad, step, self.bad_step)
        if self.device.type == "cuda":
            fused: Any = self.optimizer  # reads two attributes that torch's base class lacks
            fused.found_inf, fused.grad_scale = (self.bad_step >= 0).float(), None
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
        """Return this rank's rows of batch ``index`` on the device."""
        batch = self.batches.get(index)
        return {name: t.to(self.device, non_blocking=True) for name, t in batch.items()}

    def _loss(self, loss: Callable[..., Tensor], module: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss over ``batch``, 0-d, in the run's precision."""
        with self._arithmetic():
            return loss(module, batch)

    def held_loss(self, batch: Batch) -> float:
        """Return the global batch's loss without dropout, in the run's precision."""
        self.model.eval()
        with torch.no_grad(), eagerly():
            loss = self.world.mean(self._loss(self.task.loss, self.model, batch)).item()
        self.model.train()
        self.parallel.settle(self.model)
        return loss

    def evaluate(self) -> dict[str, float]:
        """Evaluate the task in the run's precision, without dropout; rank 0's values count."""
        self.model.eval()
        with torch.no_grad(), self._arithmetic(), eagerly():
            values = self.task.evaluate(self.model, self.device)
        self.model.train()
        self.parallel.settle(self.model)
        return self.world.on_first(lambda: values)

    def weight_energies(self) -> dict[str, float]:
        """Energies of the layers' weights (see ``swe.sharing.statistics``)."""
        return self.parallel.weight_energies(self.stack)

    def _casts_once(self) -> bool:
        """Whether weights are cast once an update: not where a compiler or FSDP holds them."""
        return (
            self.config.precision == "bfloat16"
            and self.device.type == "cpu"
            and self.speed.compile == "none"
            and self.parallel.mode != "fsdp"
        )

    def _arithmetic(self) -> AbstractContextManager[None]:
        """Compute in the run's precision by its kernels."""
        return arithmetic(self.device.type, self.config.precision, self.attention, self.casts)
