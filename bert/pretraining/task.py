"""Prediction of a text's tokens as a task of the training core, and masked-language modelling."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bert.data.masking import RATE, MaskedBatch, mask_rows, masked_per_row
from bert.data.order import row_order
from bert.data.stand_ins import require_maskable, rows_to_mask
from bert.data.store import TokenStore
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.model.config import BertConfig
from bert.model.encoder import Bert, build_bert
from bert.model.prediction import TokenPrediction
from bert.model.start import Start
from swe.base.config import require, require_count
from swe.run.task import Batch
from swe.sharing.seeds import derive_seed

# Validation masks never depend on a run's seed: all runs are judged on the same predictions.
VALIDATION_SEED = 20211003848


@dataclass(frozen=True)
class TextTask(TokenPrediction):
    """Predict tokens of full rows of a token store; ``masks`` says which, and what is shown.

    A row that cannot be masked, which only a store of an earlier version holds, is replaced (see
    bert.data.stand_ins). Raises ConfigError when the rows are longer than the model's positions,
    and DataError when the vocabulary is not the model's, a part of the store has no row, or none
    that can be masked.
    """

    name: ClassVar[str]
    """Of the task, in a run's configuration."""

    config: BertConfig
    vocabulary: Vocabulary
    store: TokenStore
    rows: int
    """Rows in one batch."""
    validation_rows: int = 256
    """Rows of the fixed validation set, spread evenly over the store's validation part."""
    start: Start | None = None
    """Weights that a run starts with; None: those that its seed draws."""

    def __post_init__(self) -> None:
        require_count("rows", self.rows)
        require_count("validation_rows", self.validation_rows)
        require(
            self.store.length <= self.config.positions,
            "length",
            self.store.length,
            f"at most positions = {self.config.positions}",
        )
        if self.config.vocabulary != self.vocabulary.size:
            raise DataError(
                f"vocabulary of {self.vocabulary.size} tokens, the model has "
                f"{self.config.vocabulary}"
            )
        for name, word in (("train", "training"), ("valid", "validation")):
            rows = getattr(self.store, name)
            if not len(rows):
                raise DataError(
                    f"{self.store.folder}: the store has no {word} rows (--per-mille "
                    f"{self.store.manifest['per_mille']}); build one with --per-mille 20, or with "
                    "validation text of its own, --valid"
                )
            source = f"{self.store.folder}: {name}"
            require_maskable(rows, self.vocabulary, source, self.masking_rate)

    @property
    def length(self) -> int:
        """Tokens in a row."""
        return self.store.length

    @property
    def masking_rate(self) -> float:
        """Share of a row's tokens that must be words of the vocabulary, to be hidden."""
        return RATE

    @property
    def begins_with_weights(self) -> bool:
        """Whether there is a ``start``."""
        return self.start is not None

    def describe(self) -> dict[str, Any]:
        """Model, data with checksums, batch size: what decides the outcome beside TrainConfig."""
        return {
            "task": self.name,
            "model": self.config.describe(),
            "rows": self.rows,
            **self.choices(),
            "validation_rows": self.validation_rows,
            "data": self.store.manifest,
            **({"start": self.start.describe()} if self.start is not None else {}),
        }

    def choices(self) -> dict[str, Any]:
        """Return the fields of the task's own that decide the outcome."""
        return {}

    def build(self, seed: int) -> nn.Module:
        """Return the model, every layer with its own start: drawn, or as ``start`` has it."""
        return self.started(build_bert(self.config, seed), seed)

    def started(self, model: Bert, seed: int) -> Bert:
        """Return ``model`` with the weights of ``start``, where there is one.

        A start that is fitted sees training rows in an order of its own.
        """
        if self.start is not None:
            order = derive_seed(seed, "start")

            def loss(model: nn.Module, index: int, device: torch.device) -> Tensor:
                batch = {name: one.to(device) for name, one in self.batch(order, index).items()}
                return self.loss(model, batch)

            self.start.begin(model, loss)
        return model

    def batch(self, seed: int, index: int) -> Batch:
        """Batch ``index``: rows by a permutation an epoch, masks by (seed, index).

        The rows depend on neither the schedule nor the objective.
        """
        order = row_order(seed, index, self.rows, len(self.store.train))
        rows = self.rows_of("train", order)
        return tensors(self.masks(rows, seed, index))

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Loss (nats) and accuracy over the fixed validation rows and masks."""
        assert isinstance(model, Bert)
        chosen = self.validation_places()
        count = len(chosen)
        loss, correct, seen = 0.0, 0, 0
        for first in range(0, count, self.rows):
            rows = self.rows_of("valid", chosen[first : first + self.rows])
            batch = {
                name: tensor.to(device)
                for name, tensor in tensors(self.masks(rows, VALIDATION_SEED, first)).items()
            }
            logits = model(batch["inputs"], batch["masked"]).float()
            labels = batch["labels"].flatten()
            loss += float(functional.cross_entropy(logits, labels, reduction="sum").double())
            correct += int((logits.argmax(-1) == labels).sum())
            seen += labels.numel()
        return {"loss": loss / seen, "accuracy": correct / seen, "predictions": seen}

    def rows_of(self, part: str, places: np.ndarray) -> np.ndarray:
        """Return the rows (B, S) of a part of the store that are masked for these places (B,)."""
        rows = getattr(self.store, part)
        return rows_to_mask(rows, places, self.vocabulary, self.masking_rate)

    def validation_places(self) -> np.ndarray:
        """Rows of the store's validation part that are evaluated, int64."""
        total = len(self.store.valid)
        count = min(self.validation_rows, total)
        return np.linspace(0, total - 1, count).round().astype(np.int64)

    @abstractmethod
    def masks(self, rows: np.ndarray, seed: int, index: int) -> MaskedBatch:
        """Turn rows (B, S) of tokens into inputs and predictions by (seed, index)."""


@dataclass(frozen=True)
class MaskedLanguageTask(TextTask):
    """Predict 15 % masked tokens of full rows."""

    name: ClassVar[str] = "masked language modelling"

    whole_word: bool = False
    """Mask whole words (the paper's runs on the XLNet data) instead of single pieces."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(not self.config.causal, "causal", True, "false for masked tokens")

    @property
    def masked(self) -> int:
        """Predictions in a row, M."""
        return masked_per_row(self.length, self.masking_rate)

    def choices(self) -> dict[str, Any]:
        """Return whether whole words are masked."""
        return {"whole_word": self.whole_word}

    def masks(self, rows: np.ndarray, seed: int, index: int) -> MaskedBatch:
        """Mask rows (B, S) of tokens by (seed, index), in the task's way."""
        rate, whole = self.masking_rate, self.whole_word
        return mask_rows(rows, self.vocabulary, seed, index, rate=rate, whole_word=whole)


def tensors(batch: MaskedBatch) -> dict[str, Tensor]:
    """The model's inputs and labels by the names that batches have."""
    return {
        "inputs": torch.from_numpy(batch.inputs),
        "masked": torch.from_numpy(batch.positions),
        "labels": torch.from_numpy(batch.labels),
    }
