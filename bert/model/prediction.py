"""What the tasks that predict tokens of full rows with :class:`Bert` have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bert.model.anatomy import bert_anatomy, require_same_heads
from bert.model.config import BertConfig
from bert.model.cross_entropy import mean_cross_entropy
from bert.model.encoder import Bert, build_bert
from bert.model.factored import decomposed, factorised, require_rank, spared_flops
from swe.run.attention import AttentionShape
from swe.run.task import Batch
from swe.transforms.anatomy import Anatomy


class TokenPrediction(ABC):
    """Model, sizes, costs and loss of a task; where its rows come from is its own.

    A batch has ``inputs`` (B, S), ``masked`` (B, M), the columns at which something is predicted,
    and ``labels`` (B, M); all int64.
    """

    config: BertConfig
    rows: int
    __dataclass_fields__: ClassVar[dict[str, Any]]
    """Every task of the kind is a dataclass."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Tokens in a row, S."""

    @property
    @abstractmethod
    def masked(self) -> int:
        """Predictions in a row, M."""

    @property
    def depth(self) -> int:
        """Layers of the encoder."""
        return self.config.layers

    @property
    def anatomy(self) -> Anatomy:
        """Which units the axes of the model's parameters count."""
        return bert_anatomy(self.config)

    def resized(self, depth: int, widths: Mapping[str, int]) -> TokenPrediction:
        """Return the same task with a model of another size, its start as wide in proportion.

        ConfigError for an impossible shape, or heads of another width.
        """
        own = self.config
        hidden = widths.get("hidden", own.hidden)
        config = replace(
            own,
            layers=depth,
            hidden=hidden,
            heads=widths.get("heads", own.heads),
            intermediate=widths.get("inner", own.intermediate),
            initial_std=min(1.0, own.initial_std * math.sqrt(own.hidden / hidden)),
        )
        require_same_heads(config, own)
        return replace(self, config=config)

    @property
    def begins_with_weights(self) -> bool:
        """Whether its model begins as another one was, and not with a draw."""
        return False

    @property
    def attention(self) -> AttentionShape:
        """Shape of one layer's attention in training."""
        config = self.config
        return AttentionShape(
            self.rows,
            config.heads,
            self.length,
            config.hidden // config.heads,
            config.dropout,
            config.causal,
        )

    @property
    def tokens_per_batch(self) -> int:
        """Tokens in one batch."""
        return self.rows * self.length

    @property
    def flops_per_batch(self) -> float:
        """Forward and backward matrix products of one batch."""
        return self.rows * self.config.flops_per_row(self.length, self.masked)

    @property
    def flops_per_layer(self) -> float:
        """Those of one layer of the encoder."""
        return self.rows * self.config.flops_per_layer(self.length)

    def factored(self, rank: int) -> FactoredPrediction:
        """Return the same task with the layers' matrices as products of a rank (CoRe).

        ConfigError for a rank that adds nothing.
        """
        return FactoredPrediction(self, rank)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Model, data, batch size: what decides the outcome beside TrainConfig."""

    @abstractmethod
    def batch(self, seed: int, index: int) -> Batch:
        """Training batch ``index``: a pure function of (seed, index)."""

    @abstractmethod
    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Loss (nats), accuracy and what else there is, on fixed rows."""

    def build(self, seed: int) -> nn.Module:
        """Return the model, every layer with its own random start."""
        return build_bert(self.config, seed)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy of the predictions, in nats."""
        logits = model(batch["inputs"], batch["masked"])
        return mean_cross_entropy(logits, batch["labels"].flatten())


class FactoredPrediction:
    """The task ``whole`` with factored matrices; all but the model and its cost are its own."""

    def __init__(self, whole: TokenPrediction, rank: int) -> None:
        require_rank(whole.config, rank)
        self.whole, self.rank = whole, rank
        self.depth, self.anatomy, self.attention = whole.depth, whole.anatomy, whole.attention
        self.tokens_per_batch = whole.tokens_per_batch
        self.batch, self.loss, self.evaluate = whole.batch, whole.loss, whole.evaluate

    @property
    def flops_per_layer(self) -> float:
        """Forward and backward matrix products of one layer over a batch."""
        spared = spared_flops(self.whole.config, self.rank)
        return self.whole.flops_per_layer - self.tokens_per_batch * spared

    @property
    def flops_per_batch(self) -> float:
        """Forward and backward matrix products of one batch."""
        spared = self.whole.flops_per_layer - self.flops_per_layer
        return self.whole.flops_per_batch - self.depth * spared

    def resized(self, depth: int, widths: Mapping[str, int]) -> FactoredPrediction:
        """Return the same task with a model of another size."""
        return self.whole.resized(depth, widths).factored(self.rank)

    def describe(self) -> dict[str, Any]:
        """What decides the outcome: the rank, too."""
        return {**self.whole.describe(), "rank": self.rank}

    def build(self, seed: int) -> nn.Module:
        """Return the model, with products in the place of the layers' matrices: drawn, or nearest
        to those that it begins with."""
        model = self.whole.build(seed)
        assert isinstance(model, Bert)
        if self.whole.begins_with_weights:
            return decomposed(model, self.rank)
        return factorised(model, self.rank, seed)
