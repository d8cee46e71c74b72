"""BERT's shape: named sizes, exact parameter and FLOP counts.

``base`` and ``large`` are the published shapes (Devlin et al. 2019). ``tiny``, ``mini`` and
``small`` are NOT Turc et al.'s miniatures of the same names: those have 2 to 4 layers, and sharing
needs depth, so ours are deep and narrow. Any other depth and width is named as "LxH" ("12x64").
BERT's initial deviation of 0.02 suits its width: our narrow ones take 0.02 sqrt(768 / H), the same
size of a layer's output; with 0.02 a width of 64 sat on the unigram plateau some 1000 updates long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from swe.base.config import LATER, require, require_between, require_count, to_dict

Placement = Literal["pre", "post"]


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Shape of the encoder and its language head."""

    layers: int
    """Depth of the stack, L."""
    hidden: int
    """Width H."""
    heads: int
    """Attention heads; must divide the width."""
    intermediate: int
    """Width of the feed-forward layer (4 H in all named sizes)."""
    vocabulary: int = 30522
    """WordPieces; the embedding is padded to a multiple of 64 (``padded_vocabulary``)."""
    positions: int = 512
    """Longest row."""
    placement: Placement = "pre"
    """LayerNorm before each sub-layer and once at the end (pre), or after each (post, original)."""
    dropout: float = 0.1
    """After embeddings, attention weights and both sub-layers (paper: 0.1)."""
    initial_std: float = 0.02
    """Standard deviation of the initial weights (normal; biases zero)."""
    layer_norm_eps: float = 1e-12
    """Epsilon of LayerNorm."""
    causal: bool = field(default=False, metadata=LATER)
    """Whether a token sees only itself and those before it: a decoder, which predicts the next."""
    branch_scale: float = field(default=1.0, metadata=LATER)
    """What both branches of a layer are multiplied by before they are added."""

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "intermediate", "positions"):
            require_count(name, getattr(self, name))
        require_count("vocabulary", self.vocabulary, 6)
        require(
            self.hidden % self.heads == 0, "heads", self.heads, f"a divisor of hidden {self.hidden}"
        )
        require(self.placement in ("pre", "post"), "placement", self.placement, "pre or post")
        require_between("dropout", self.dropout, 0, 1, open_high=True)
        require_between("initial_std", self.initial_std, 0, 1, open_low=True)
        require_between("layer_norm_eps", self.layer_norm_eps, 0, 1, open_low=True)
        require(isinstance(self.causal, bool), "causal", self.causal, "true or false")
        require_between("branch_scale", self.branch_scale, 0, 100, open_low=True)

    def describe(self) -> dict[str, Any]:
        """Return all fields by name."""
        return to_dict(self)

    @property
    def padded_vocabulary(self) -> int:
        """Rows of the embedding matrix: the vocabulary rounded up to a multiple of 64."""
        return -(-self.vocabulary // 64) * 64

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: 12 H^2 + 13 H when intermediate = 4 H."""
        h, f = self.hidden, self.intermediate
        return 4 * h * h + 4 * h + 2 * h * f + f + h + 4 * h

    @property
    def parameters(self) -> int:
        """Parameters of the untied model, without pooler and without the padding rows.

        Post-LN: 109 514 298 (base) and 335 174 458 (large), as ``BertForMaskedLM`` counts.
        """
        h, v = self.hidden, self.vocabulary
        embeddings = (v + self.positions + 2) * h + 2 * h
        final_norm = 2 * h if self.placement == "pre" else 0
        head = h * h + h + 2 * h + v
        return embeddings + self.layers * self.layer_parameters + final_norm + head

    def flops_per_row(self, length: int, masked: int) -> float:
        """Matrix-product FLOPs, forward and backward, of one row with ``masked`` predictions.

        Encoder 6 * (4 H^2 + 2 H F) and attention 12 S H a token and layer; head
        6 (H^2 + H V) a predicted token. A multiply-add counts two, backward twice forward. Causal
        attention counts as the full square, though a kernel may leave out its upper half.
        """
        h = self.hidden
        layer = self.flops_per_layer(length)
        return self.layers * layer + masked * 6 * (h * h + h * self.vocabulary)

    def flops_per_layer(self, length: int) -> float:
        """Those of one encoder layer over one row."""
        h = self.hidden
        return float(length * (6 * (4 * h * h + 2 * h * self.intermediate) + 12 * length * h))


def _narrow(layers: int, hidden: int) -> BertConfig:
    most = max(1, hidden // (64 if hidden > 64 else 32))
    heads = next(heads for heads in range(most, 0, -1) if hidden % heads == 0)
    return BertConfig(
        layers=layers,
        hidden=hidden,
        heads=heads,
        intermediate=4 * hidden,
        initial_std=0.02 * math.sqrt(768 / hidden),
    )


SIZES: dict[str, BertConfig] = {
    "tiny": _narrow(6, 64),
    "mini": _narrow(12, 128),
    "small": _narrow(24, 256),
    "base": BertConfig(layers=12, hidden=768, heads=12, intermediate=3072),
    "large": BertConfig(layers=24, hidden=1024, heads=16, intermediate=4096),
}


def named_config(
    name: str,
    *,
    vocabulary: int = 30522,
    placement: Placement = "pre",
    dropout: float = 0.1,
    causal: bool = False,
    branch_scale: float = 1.0,
) -> BertConfig:
    """Return a named size, or "LxH" with heads of 64 (32 when H = 64 or less), for a vocabulary.

    Where 64 does not divide H, heads are as few wider as do.

    Raises ConfigError for an unknown name.
    """
    shape = SIZES.get(name)
    if shape is None:
        parts = name.lower().split("x")
        good = len(parts) == 2 and all(part.isdecimal() and int(part) > 0 for part in parts)
        require(good, "size", name, f'one of {", ".join(SIZES)}, or "LxH" such as 12x64')
        shape = _narrow(*map(int, parts))
    return replace(
        shape,
        vocabulary=vocabulary,
        placement=placement,
        dropout=dropout,
        causal=causal,
        branch_scale=branch_scale,
    )
