"""Causal language modelling as a task of the training core: the next token, at every position.

Rows, their order, model, head and cost of a row are those of masked-language modelling; attention
sees what stands before, and every token of text is predicted, S - 2 a row instead of 15 %. The
logits are an array of (rows * (S - 2), V), kept once in float32 until the backward pass
(bert.model.cross_entropy) and bounded by ``rows``, the batch of one forward pass: 32 rows of 512
tokens with 30 522 words take 2 GB. So the head is not cut into chunks; fewer rows and more
accumulation are the same update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from bert.data.masking import MaskedBatch
from bert.data.next_token import predicted_per_row, shift_rows
from bert.pretraining.task import TextTask
from swe.base.config import require

LARGEST_EXPONENT = 700.0
"""e to this is nearly the largest float: a diverged run's perplexity stays one that JSON holds."""


@dataclass(frozen=True)
class CausalLanguageTask(TextTask):
    """Predict every token of a row's text from those before it.

    Raises ConfigError for a model whose attention looks ahead.
    """

    name: ClassVar[str] = "causal language modelling"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.config.causal, "causal", False, "true for the next token")

    @property
    def masked(self) -> int:
        """Predictions in a row, M."""
        return predicted_per_row(self.length)

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Loss per token (nats) and accuracy over the fixed validation rows; ``perplexity``, e to
        the loss."""
        found = super().evaluate(model, device)
        return found | {"perplexity": math.exp(min(found["loss"], LARGEST_EXPONENT))}

    def masks(self, rows: np.ndarray, seed: int, index: int) -> MaskedBatch:
        """Shift rows (B, S) of tokens by one; nothing is drawn."""
        return shift_rows(rows, self.vocabulary)
