"""Heads on the encoder: pooler and classifier (or regression), and the span head of SQuAD.

As in Devlin et al. 2019: the pooler is a dense layer with tanh on [CLS], then dropout and one
linear layer; a span is scored by one linear layer with two outputs a token. The pooler is new at
every fine-tune: pre-training without next-sentence prediction has none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bert.model.config import BertConfig
from bert.model.encoder import Encoder, initialise


class SentenceModel(nn.Module):
    """Encoder, pooler, output layer of C classes (or one number)."""

    def __init__(self, config: BertConfig, outputs: int) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.pooler = nn.Linear(config.hidden, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.hidden, outputs)

    def forward(self, inputs: Tensor, segments: Tensor, lengths: Tensor) -> Tensor:
        """Token ids and segments (B, S), lengths (B,) -> (B, C)."""
        hidden_BSH = self.encoder.encode(inputs, segments, lengths)
        out: Tensor = self.output(self.dropout(torch.tanh(self.pooler(hidden_BSH[:, 0]))))
        return out


class SpanModel(nn.Module):
    """Encoder and the two logits of each token: an answer's start, its end."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.output = nn.Linear(config.hidden, 2)

    def forward(self, inputs: Tensor, segments: Tensor, lengths: Tensor) -> Tensor:
        """Token ids and segments (B, S), lengths (B,) -> (2, B, S), padding at the lowest value."""
        logits = self.output(self.encoder.encode(inputs, segments, lengths)).float()
        padding = torch.arange(inputs.shape[1], device=inputs.device) >= lengths[:, None]
        low = torch.finfo(logits.dtype).min
        return logits.masked_fill(padding[..., None], low).permute(2, 0, 1)


def build(
    config: BertConfig, outputs: int | None, encoder: dict[str, Tensor], seed: int
) -> SentenceModel | SpanModel:
    """Return a model (span head for ``outputs`` None) with the given encoder and a new head.

    ``encoder``: every parameter of ``Encoder(config)`` by name; others in it are passed over (the
    masked-language head). The head depends on (seed, name) alone. KeyError names a missing one.
    """
    with torch.device("meta"):
        model = SpanModel(config) if outputs is None else SentenceModel(config, outputs)
    model = model.to_empty(device="cpu")
    initialise(model, config.initial_std, seed)
    with torch.no_grad():
        for name, parameter in model.encoder.named_parameters():
            parameter.copy_(encoder[name])
    return model


def sentence_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats, or the squared error for labels that are numbers."""
    if labels.is_floating_point():
        return functional.mse_loss(logits.float().squeeze(-1), labels)
    return functional.cross_entropy(logits.float(), labels)


def span_loss(logits: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Mean of the cross-entropies of start and end over the row's tokens, in nats."""
    return (
        functional.cross_entropy(logits[0], starts) + functional.cross_entropy(logits[1], ends)
    ) / 2
