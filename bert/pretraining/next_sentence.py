"""Masked-language modelling with BERT's second objective, next-sentence prediction; an option.

The paper reports masked language modelling only, which is the default everywhere. The head is
BERT's: the first token's last state through a pooler (linear, tanh) to two logits; the loss is the
sum of both means (Devlin et al. 2019, section 3.1 and appendix A.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bert.data.order import row_order
from bert.data.pairs import pair_rows, pairs_to_mask
from bert.model.config import BertConfig
from bert.model.encoder import Bert, build_bert
from bert.pretraining.task import VALIDATION_SEED, MaskedLanguageTask, tensors
from swe.run.task import Batch


class PairBert(Bert):
    """Bert with a pooler and the next-sentence head, 2 logits a row: 1 means B follows A."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.pooler = nn.Linear(config.hidden, config.hidden)
        self.follows = nn.Linear(config.hidden, 2)

    def forward(  # type: ignore[override]  # one more input and one more output
        self, inputs: Tensor, masked: Tensor, segments: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, S), positions (B, M), segments (B, S) -> logits (B * M, V), logits (B, 2)."""
        hidden_BSH = self.encode(inputs, segments)
        pooled_BH = torch.tanh(self.pooler(hidden_BSH[:, 0]))
        return self.predict(hidden_BSH, masked), self.follows(pooled_BH)


@dataclass(frozen=True)
class NextSentenceTask(MaskedLanguageTask):
    """As MaskedLanguageTask, on pairs (see bert.data.pairs); the store must keep documents apart.

    Raises also DataError for a store with documents across rows.
    """

    name: ClassVar[str] = "masked language modelling and next sentence"

    def __post_init__(self) -> None:
        super().__post_init__()
        for part, starts in self._parts().values():  # refuse at once what no batch could be
            pair_rows(part, starts, np.zeros(1, dtype=np.int64), self.vocabulary, 0, 0)

    @property
    def flops_per_batch(self) -> float:
        """As without pairs; the head's 6 (H^2 + 2 H) a row are included."""
        h = self.config.hidden
        return super().flops_per_batch + self.rows * 6.0 * (h * h + 2 * h)

    def build(self, seed: int) -> nn.Module:
        """Return the model; what it shares with Bert starts as Bert does."""
        return self.started(build_bert(self.config, seed, PairBert), seed)

    def batch(self, seed: int, index: int) -> Batch:
        """Batch ``index``: rows by a permutation an epoch, pairs and masks by (seed, index)."""
        order = row_order(seed, index, self.rows, len(self.store.train))
        return self._pairs("train", order, seed, index)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of the masked tokens plus that of the rows' pairs, in nats."""
        logits, follows = model(batch["inputs"], batch["masked"], batch["segments"])
        words = functional.cross_entropy(logits.float(), batch["labels"].flatten())
        return words + functional.cross_entropy(follows.float(), batch["follows"])

    @torch.no_grad()
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Loss and accuracy of the masked tokens; ``next_loss``, ``next_accuracy`` of the pairs.

        ``loss`` is the masked tokens' alone, so that runs with and without pairs compare.
        """
        chosen = self.validation_places()
        sums = dict.fromkeys(("loss", "accuracy", "next_loss", "next_accuracy"), 0.0)
        predictions = 0
        for first in range(0, len(chosen), self.rows):
            rows = chosen[first : first + self.rows]
            batch = self._pairs("valid", rows, VALIDATION_SEED, first)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            outputs = model(batch["inputs"], batch["masked"], batch["segments"])
            answers = (batch["labels"].flatten(), batch["follows"])
            for kind, logits, labels in zip(("", "next_"), outputs, answers, strict=True):
                loss = functional.cross_entropy(logits.float(), labels, reduction="sum")
                sums[f"{kind}loss"] += float(loss.double())
                sums[f"{kind}accuracy"] += int((logits.argmax(-1) == labels).sum())
            predictions += answers[0].numel()
        return {
            name: total / (len(chosen) if name.startswith("next") else predictions)
            for name, total in sums.items()
        } | {"predictions": predictions}

    def _parts(self) -> dict[str, tuple[Any, Any]]:
        store = self.store
        return {
            "train": (store.train, store.train_starts),
            "valid": (store.valid, store.valid_starts),
        }

    def _pairs(self, part: str, rows: np.ndarray, seed: int, index: int) -> dict[str, Tensor]:
        pairs = pairs_to_mask(*self._parts()[part], rows, self.vocabulary, seed, index)
        return tensors(self.masks(pairs.tokens, seed, index)) | {
            "segments": torch.from_numpy(pairs.segments),
            "follows": torch.from_numpy(pairs.follows),
        }
