"""The contestants: the stock model twice, ours in five ways. Same weights, same batches, same step.

A step is: forward, loss, backward, gradient norm clipped at 1, AdamW, gradients dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.side_by_side.settings import Settings
from bert.huggingface.config import CLASSES, to_config_json
from bert.huggingface.convert import to_hugging_face
from bert.huggingface.families import Family
from bert.model.config import BertConfig, Placement
from bert.model.encoder import build_bert
from bert.pretraining.task import MaskedLanguageTask
from swe.run.attention import choose, use
from swe.run.engine import Engine
from swe.run.optimizer import OptimizerConfig, build_adamw
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.layout import Layout
from swe.sharing.schedule import NeverShared, Schedule, SweFixed

NAMES = {
    "a0": "stock BertForMaskedLM",
    "a1": "stock encoder, gathered head",
    "a2": "ours, Post-LN",
    "a3": "ours, Pre-LN",
    "a4": "ours, Post-LN, tied",
    "a5": "ours, Post-LN, compiled whole",
    "a6": "ours, Post-LN, torch's kernels",
}
PLACEMENT: dict[str, Placement] = {"a3": "pre"}
"""Post-LN otherwise: the stock model's."""
OPTIMIZER = OptimizerConfig(peak_lr=1e-4, warmup=0, clip_norm=1.0)
FOREVER = 10**6
"""Steps of the run that a benchmark is the beginning of."""


class Contestant(ABC):
    """One model in training."""

    batches: list[dict[str, Tensor]]

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """What is trained."""

    @abstractmethod
    def step(self, index: int) -> Tensor:
        """Make update ``index``; returns the loss, 0-d on the device, without waiting for it."""


class Stock(Contestant):
    """The stock model in the loop its users write: fused AdamW, autocast, torch.compile."""

    def __init__(self, settings: Settings, task: MaskedLanguageTask, gathered: bool) -> None:
        device = settings.torch_device()
        self.settings = settings
        self._model = stock_model(task.config, settings.seed).to(device).train()
        self.optimizer = build_adamw(self._model, OPTIMIZER)
        self.batches = batches_of(settings, task)
        if settings.device == "cuda":  # what ours does for itself; on the CPU torch's choice stands
            kernel, _ = choose(task, settings.attention, settings.precision, device)
            if kernel != "default":
                use(kernel)
        loss = gathered_loss if gathered else whole_loss
        if settings.compiled:
            # Static shapes: no batch is unlike another.
            self.loss: Callable[..., Tensor] = torch.compile(loss, dynamic=False)
        else:
            self.loss = loss

    @property
    def model(self) -> nn.Module:
        """The stock model."""
        return self._model

    def step(self, index: int) -> Tensor:
        """See Contestant."""
        batch = self.batches[index % len(self.batches)]
        enabled = self.settings.precision == "bfloat16"
        with torch.autocast(self.settings.device, torch.bfloat16, enabled=enabled):
            loss = self.loss(self.model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()


class Ours(Contestant):
    """This package's engine, guard and schedule included."""

    def __init__(self, settings: Settings, task: MaskedLanguageTask, name: str) -> None:
        schedule: Schedule = NeverShared()
        if name == "a4":
            schedule = SweFixed(until=FOREVER - 1)  # sooner when the worker says so
        mode = "model" if name == "a5" else settings.compile_mode
        config = TrainConfig(
            steps=FOREVER,
            seed=settings.seed,
            schedule=schedule,
            optimizer=OPTIMIZER,
            precision=settings.arithmetic,
        )
        self.engine = Engine(
            task,
            config,
            settings.torch_device(),
            "benchmark",
            speed=SpeedConfig(compile=mode, prefetch=0, attention=kernel_of(name, settings)),
        )
        self.batches = batches_of(settings, task)

    @property
    def model(self) -> nn.Module:
        """The engine's; an untie may replace it."""
        return self.engine.model

    def step(self, index: int, measure: bool = False) -> Tensor:
        """See Contestant; ``measure``: with a gradient probe before it."""
        batch = self.batches[index % len(self.batches)]
        self.engine.begin(index, batch, measure=measure)
        loss, _ = self.engine.update(index, batch)
        return loss

    def untie_before(self, index: int) -> None:
        """Have the schedule untie before update ``index``."""
        swe = self.engine.swe
        swe.schedule = SweFixed(until=index)


def kernel_of(name: str, settings: Settings) -> str:
    """Return the attention kernel of one of ours: a6 is what ours is without a measured one."""
    return "default" if name == "a6" else settings.attention


def make(name: str, settings: Settings, task: MaskedLanguageTask) -> Contestant:
    """Build contestant ``name`` on the device, ready for its first step."""
    if name in ("a0", "a1"):
        return Stock(settings, task, gathered=name == "a1")
    return Ours(settings, task, name)


def batches_of(settings: Settings, task: MaskedLanguageTask) -> list[dict[str, Tensor]]:
    """Return the batches on the device; "everywhere" has labels for all positions, -100 for none.

    All masks are 15 % of a row exactly.
    """
    device = settings.torch_device()
    made = []
    for index in range(settings.batches):
        batch = dict(task.batch(settings.seed, index))
        everywhere = torch.full_like(batch["inputs"], -100)
        batch["everywhere"] = everywhere.scatter(1, batch["masked"], batch["labels"])
        made.append({name: tensor.to(device) for name, tensor in batch.items()})
    return made


def whole_loss(model: Any, batch: Batch) -> Tensor:
    """The stock model's own loss: logits at every position."""
    loss: Tensor = model(input_ids=batch["inputs"], labels=batch["everywhere"]).loss
    return loss


def gathered_loss(model: Any, batch: Batch) -> Tensor:
    """The stock encoder and head with the masked positions picked in between, by hand."""
    body = getattr(model, model.base_model_prefix)
    hidden = body(input_ids=batch["inputs"]).last_hidden_state
    index = batch["masked"].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
    logits = model.cls(hidden.gather(1, index).flatten(0, 1))
    return functional.cross_entropy(logits.float(), batch["labels"].flatten())


def stock_model(config: BertConfig, seed: int, tied: bool = False) -> Any:
    """Return the stock class that computes ``config``, with the weights that ours starts from.

    ``tied``: every layer a copy of the first.
    """
    import transformers

    ours = build_bert(config, seed)
    layout = Layout.untied(config.layers)
    if tied:
        layout = Layout.tied(config.layers)
        ours.stack.retie(layout)
    family: Family = "bert" if config.placement == "post" else "roberta-prelayernorm"
    untied = Layout.untied(config.layers)
    shape = to_config_json(config, untied, family, pad_id=0, cls_id=1, sep_id=2)
    theirs = getattr(transformers, CLASSES[family])(
        transformers.AutoConfig.for_model(**shape, attn_implementation="sdpa")
    )
    state = to_hugging_face(ours.state_dict(), config, layout, family)
    loaded = theirs.load_state_dict(state, strict=False)
    unexpected = [n for n in loaded.missing_keys if ".decoder." not in n] + loaded.unexpected_keys
    if unexpected:
        raise RuntimeError(f"stock model: {unexpected[0]} was not set")
    return theirs
