"""What fine-tuning on sentences and on answer spans share, as a task of the training core."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bert.finetune.data.rows import Rows, TrainingOrder
from bert.finetune.learning.config import FinetuneConfig
from bert.finetune.learning.model import build
from bert.finetune.learning.start import StartingPoint
from swe.base.config import require, to_dict
from swe.run.task import Batch

EVALUATION_ROWS = 64
_OF_THE_STUDY = ("rates", "seeds", "precision")  # a run's own stand in its TrainConfig


@dataclass(frozen=True)
class Judged:
    """Development result of a model: its scores in points, and what the degenerate rule needs."""

    scores: dict[str, float]
    primary: str
    constant: bool
    baseline: float

    @property
    def value(self) -> float:
        """The score that stands for the task."""
        return self.scores[self.primary]

    def degenerate(self, margin: float) -> str:
        """Name the reason by ``config.DEGENERATE_RULE``; "" for a sound run."""
        if self.constant:
            return "constant answers"
        return "not above a constant answer" if self.value <= self.baseline + margin else ""


class FinetuneTask(abc.ABC):
    """What both kinds share: the pre-trained encoder, the training rows and their order."""

    config: FinetuneConfig
    pretrained: StartingPoint
    rows: Rows

    @property
    def depth(self) -> int:
        """Layers of the encoder."""
        return self.pretrained.config.layers

    @property
    def tokens_per_batch(self) -> int:
        """Tokens in a batch, padding not counted, on the mean."""
        return round(self.config.batch * float(self.rows.lengths.mean()))

    @property
    def flops_per_batch(self) -> float:
        """Matrix products of the encoder, forward and backward, at the mean length."""
        mean = round(float(self.rows.lengths.mean()))
        return self.config.batch * self.pretrained.config.flops_per_row(mean, 0)

    def describe(self) -> dict[str, Any]:
        """Recipe, weights and data with checksums."""
        recipe = {k: v for k, v in to_dict(self.config).items() if k not in _OF_THE_STUDY}
        return {
            "task": f"fine-tuning on {self.config.task}",
            "recipe": recipe,
            "model": self.pretrained.config.describe(),
            "pretrained": self.pretrained.origin,
            "data": self.sources(),
        }

    def other_parts(self, *, labelled: bool) -> dict[str, str]:
        """Checksums of the parts that are only answered: none."""
        return {}

    @property
    def beyond_pretraining(self) -> dict[str, int]:
        """Rows with positions that pre-training never saw: how long, how many; {} where none is."""
        trained = self.pretrained.trained_length
        longer = self.rows.lengths[self.rows.lengths > (trained or math.inf)]
        if trained is None or not len(longer):
            return {}
        return {"trained": trained, "longest": int(longer.max()), "rows": len(longer)}

    def notes(self) -> list[str]:
        """What is odd about the rows, a line each."""
        beyond = self.beyond_pretraining
        if not beyond:
            return []
        return [
            f"{self.config.task}: {beyond['rows']} of {len(self.rows)} training rows are longer "
            f"than the {beyond['trained']} tokens of a row in pre-training (up to "
            f"{beyond['longest']}): the positions behind start untrained; --max-length "
            f"{beyond['trained']} cuts them, or pre-train with --set length={beyond['longest']}"
        ]

    def build(self, seed: int) -> nn.Module:
        """Return the pre-trained encoder with a head that depends on the seed."""
        shape = self.pretrained.with_dropout(self.config.dropout)
        return build(shape, self.outputs, self.pretrained.state, seed)

    def batch(self, seed: int, index: int) -> Batch:
        """Return training batch ``index``, a pure function of (seed, index)."""
        config = self.config
        order = TrainingOrder(config.batch, config.pool, config.steps(len(self.rows)))
        return self.rows.batch(order.rows(self.rows, seed, index))

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Return loss and scores on the development part."""
        judged, loss = self.judge(model, device)
        return {"loss": loss, **judged.scores}

    @property
    @abc.abstractmethod
    def outputs(self) -> int | None:
        """Outputs of the head; None for spans."""

    @abc.abstractmethod
    def sources(self) -> dict[str, Any]:
        """Checksums and sizes of the data."""

    @abc.abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a batch, 0-d."""

    @abc.abstractmethod
    def judge(self, model: nn.Module, device: torch.device) -> tuple[Judged, float]:
        """Score a model on the development part; also returns the loss there."""


def outputs_of(model: nn.Module, rows: Rows, device: torch.device) -> list[NDArray[np.float64]]:
    """Run ``model`` over all rows, padded with rows of like length; one output array a row.

    A span model gives (2, length) a row, a sentence model (C,).
    """
    found: list[NDArray[np.float64]] = [np.empty(0)] * len(rows)
    for chosen in rows.by_length(EVALUATION_ROWS):
        batch = {name: t.to(device) for name, t in rows.batch(chosen).items()}
        out = model(batch["inputs"], batch["segments"], batch["lengths"]).double().cpu().numpy()
        for place, index in enumerate(chosen):
            length = int(rows.lengths[index])
            found[index] = out[:, place, :length] if out.ndim == 3 else out[place]
    return found


def check_length(config: FinetuneConfig, pretrained: StartingPoint) -> None:
    """Refuse rows longer than the model's positions (ConfigError)."""
    require(
        config.max_length <= pretrained.config.positions,
        "max_length",
        config.max_length,
        f"at most the model's positions, {pretrained.config.positions}",
    )
