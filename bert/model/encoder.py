"""BERT encoder with a language head, its layers in the training core's SharedStack.

In pre-training rows are full (no padding), so attention takes no mask; logits are computed at the
predicted positions alone; the decoder is the embedding matrix. Segments and padding are for
fine-tuning. With ``causal`` the same modules are a decoder: attention leaves out what comes later.

Shapes: B rows, S tokens, H width, M predicted positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bert.model.config import BertConfig
from swe.sharing.layout import Layout
from swe.sharing.seeds import generator
from swe.sharing.stack import SharedStack


class Attention(nn.Module):
    """Multi-head self-attention: one matrix for query, key and value, SDPA, output projection."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.causal = config.causal
        self.qkv = nn.Linear(config.hidden, 3 * config.hidden)
        self.output = nn.Linear(config.hidden, config.hidden)

    def forward(self, hidden_BSH: Tensor, keys: Tensor | None = None) -> Tensor:
        """Attend within each row, to ``keys`` (B, 1, 1, S; all by default). (B, S, H) -> same.

        ``causal`` attention takes no ``keys``.
        """
        rows, length, width = hidden_BSH.shape
        split = self.qkv(hidden_BSH).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=keys,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
        )
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(rows, length, width))
        return out


class Layer(nn.Module):
    """One encoder layer, Pre-LN (x + f(LN x)) or Post-LN (LN(x + f x)), the original."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.pre = config.placement == "pre"
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.inner = nn.Linear(config.hidden, config.intermediate)
        self.outer = nn.Linear(config.intermediate, config.hidden)
        self.output_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.branch_scale = config.branch_scale

    def forward(self, hidden: Tensor, keys: Tensor | None = None) -> Tensor:
        """(B, S, H) -> (B, S, H); ``keys`` as in Attention."""
        if self.pre:
            hidden = hidden + self._branch(self.attention(self.attention_norm(hidden), keys))
            return hidden + self._branch(self._feed_forward(self.output_norm(hidden)))
        hidden = self.attention_norm(hidden + self._branch(self.attention(hidden, keys)))
        return self.output_norm(hidden + self._branch(self._feed_forward(hidden)))

    def _branch(self, out: Tensor) -> Tensor:
        kept: Tensor = self.dropout(out)
        return kept if self.branch_scale == 1.0 else self.branch_scale * kept

    def _feed_forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.outer(functional.gelu(self.inner(hidden)))
        return out


class Encoder(nn.Module):
    """Embeddings and the stack of layers: what fine-tuning keeps."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        size = config.hidden
        self.words = nn.Embedding(config.padded_vocabulary, size)
        self.positions = nn.Embedding(config.positions, size)
        self.segments = nn.Embedding(2, size)
        self.embedding_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        layers = [Layer(config) for _ in range(config.layers)]
        self.stack = SharedStack(layers, Layout.untied(config.layers))
        pre = config.placement == "pre"
        self.final_norm = nn.LayerNorm(size, eps=config.layer_norm_eps) if pre else nn.Identity()

    def encode(
        self, inputs: Tensor, segments: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Token ids (B, S) -> hidden states (B, S, H).

        ``segments`` (B, S) of 0 and 1, by default all 0; ``lengths`` (B,), the tokens of each row
        that are no padding, by default all. Padding stands behind, where causal attention never
        looks, so there nothing is masked.
        """
        hidden = self.words(inputs) + self.positions.weight[: inputs.shape[1]]
        kind = self.segments.weight[0] if segments is None else self.segments(segments)
        hidden = self.dropout(self.embedding_norm(hidden + kind))
        if lengths is None or self.config.causal:
            out: Tensor = self.final_norm(self.stack(hidden))
            return out
        place = torch.arange(inputs.shape[1], device=inputs.device)
        padded: Tensor = self.final_norm(
            self.stack(hidden, (place < lengths[:, None])[:, None, None, :])
        )
        return padded


class Bert(Encoder):
    """Encoder and language head. ``build_bert`` sets the weights."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        size = config.hidden
        self.transform = nn.Linear(size, size)
        self.transform_norm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.decoder_bias = nn.Parameter(torch.zeros(config.padded_vocabulary))

    def forward(self, inputs: Tensor, masked: Tensor) -> Tensor:
        """Token ids (B, S) and positions (B, M) -> logits (B * M, padded vocabulary).

        ``masked``: where a token is masked; where the next is predicted, if causal.
        """
        return self.predict(self.encode(inputs), masked)

    def predict(self, hidden_BSH: Tensor, masked: Tensor) -> Tensor:
        """Hidden states (B, S, H) and positions (B, M) -> logits (B * M, padded vocabulary)."""
        index = masked.unsqueeze(-1).expand(-1, -1, hidden_BSH.shape[-1])
        picked = hidden_BSH.gather(1, index).flatten(0, 1)
        picked = self.transform_norm(functional.gelu(self.transform(picked)))
        return functional.linear(picked, self.words.weight, self.decoder_bias)


def build_bert(config: BertConfig, seed: int, kind: type[Bert] = Bert) -> Bert:
    """Return a model (of a subclass, too) whose every parameter depends on (seed, its name) alone.

    Matrices are normal with ``initial_std`` (truncation at two deviations, as the original code
    has it), biases zero, LayerNorm the identity. Padding rows of the vocabulary are drawn as well
    and their logits are learnt to be low; no text holds their ids.
    """
    with torch.device("meta"):
        model = kind(config)
    model = model.to_empty(device="cpu")
    initialise(model, config.initial_std, seed)
    return model


@torch.no_grad()
def initialise(model: nn.Module, std: float, seed: int) -> None:
    """Draw every parameter of ``model`` from (seed, its name), as ``build_bert`` says."""
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    for norm in norms:
        norm.reset_parameters()
    scales = {id(parameter) for norm in norms for parameter in norm.parameters()}
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            nn.init.trunc_normal_(
                parameter, 0.0, std, -2 * std, 2 * std, generator=generator(seed, name)
            )
        elif id(parameter) not in scales:
            parameter.zero_()
