"""Prediction in a language with a known truth, as a task of the training core."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from bert.languages.language import Language, Rows
from bert.model.config import BertConfig
from bert.model.encoder import build_bert
from bert.model.prediction import TokenPrediction
from swe.base.config import require, require_between, require_count, to_dict
from swe.run.task import Batch

# Held-out rows never depend on a run's seed, and no run has this one.
HELD_OUT_SEED = 20211003848


@dataclass(frozen=True)
class LanguageTask(TokenPrediction):
    """Predict what a language asks for, on fresh rows in every batch.

    Raises ConfigError when the rows are longer than the model's positions, and when the model has
    another vocabulary than the language.
    """

    config: BertConfig
    language: Language
    rows: int
    """Rows in one batch."""
    validation_rows: int = 256
    """Rows of the fixed held-out set."""
    initial_scale: float = 1.0
    """What the initial weights' deviation is multiplied by."""

    def __post_init__(self) -> None:
        require_count("rows", self.rows)
        require_count("validation_rows", self.validation_rows)
        most = 1 / self.config.initial_std
        require_between("initial_scale", self.initial_scale, 0, most, open_low=True)
        require(
            self.language.length <= self.config.positions,
            "length",
            self.language.length,
            f"at most positions = {self.config.positions}",
        )
        require(
            self.config.vocabulary == self.language.vocabulary,
            "vocabulary",
            self.config.vocabulary,
            f"the language's {self.language.vocabulary}",
        )

    @property
    def length(self) -> int:
        """Tokens in a row."""
        return self.language.length

    @property
    def masked(self) -> int:
        """Predictions in a row."""
        return self.language.predictions

    def describe(self) -> dict[str, Any]:
        """Model, language, batch size: what decides the outcome beside TrainConfig."""
        return {
            "task": "language of known truth",
            "model": self.config.describe(),
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "data": to_dict(self.language),
            # At 1 a run is described as before there were any: it can go on.
            **({} if self.initial_scale == 1.0 else {"initial_scale": self.initial_scale}),
        }

    @property
    def start(self) -> BertConfig:
        """The shape with the deviation that the weights are drawn with."""
        return replace(self.config, initial_std=self.initial_scale * self.config.initial_std)

    def build(self, seed: int) -> nn.Module:
        """Return the model, every layer with its own random start."""
        return build_bert(self.start, seed)

    def batch(self, seed: int, index: int) -> Batch:
        """Batch ``index``: rows by (seed, index)."""
        return tensors(self.language.rows(seed, index, self.rows))

    def held_out(self) -> Rows:
        """Return the fixed rows on which all runs of this language are judged."""
        return _held_out(self.language, self.validation_rows)[0]

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Loss, accuracy and ``floor``, the best possible predictor's loss, over the held-out rows;
        and as ``loss_<group>`` and so on those of every group of predictions that occurs there.

        Losses in nats.
        """
        rows, floor = _held_out(self.language, self.validation_rows)
        losses, hits = [], []
        for first in range(0, self.validation_rows, self.rows):
            part = Rows(*(array[first : first + self.rows] for array in rows))
            batch = {name: tensor.to(device) for name, tensor in tensors(part).items()}
            logits = model(batch["inputs"], batch["masked"]).float()
            labels = batch["labels"].flatten()
            losses.append(functional.cross_entropy(logits, labels, reduction="none").double())
            hits.append(logits.argmax(-1) == labels)
        loss, hit = torch.cat(losses).cpu().numpy(), torch.cat(hits).cpu().numpy()
        found: dict[str, float] = {"predictions": loss.size}
        groups = rows.groups.flatten()
        parts = {f"_{name}": groups == k for k, name in enumerate(self.language.group_names)}
        for name, chosen in ({"": np.full(loss.shape, True)} | parts).items():
            if np.any(chosen):
                found[f"loss{name}"] = float(loss[chosen].mean())
                found[f"accuracy{name}"] = float(hit[chosen].mean())
                found[f"floor{name}"] = float(floor[chosen].mean())
        return found


@lru_cache(maxsize=4)
def _held_out(language: Language, count: int) -> tuple[Rows, NDArray[np.float64]]:
    """Return the held-out rows, and the floor of their predictions one after the other."""
    rows = language.rows(HELD_OUT_SEED, 0, count)
    return rows, language.floor(rows).flatten()


def tensors(rows: Rows) -> dict[str, torch.Tensor]:
    """The model's inputs and labels by the names that batches have."""
    return {
        "inputs": torch.from_numpy(rows.inputs),
        "masked": torch.from_numpy(rows.positions),
        "labels": torch.from_numpy(rows.labels),
    }
