"""An encoder of transformers in the place of ours, its layers adopted: same shape, other code.

What a study finds with :class:`bert.model.encoder.Bert` could be a detail of that class. Here the
forward pass is that of ``BertForMaskedLM`` (Post-LN) or ``RobertaPreLayerNormForMaskedLM`` (Pre-LN)
as transformers has it, and the layers are tied where a user's are, in the model's own list.

The weights are drawn in the same law as ours, from (seed, their names in transformers), so a run
here is another draw of the same experiment, not the same numbers again. The padding rows of our
vocabulary are ordinary rows of theirs, and no token is padding: positions count from 0, every
token has its own row, and the softmax is over as many as ours.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from bert.huggingface.config import CLASSES, to_config_json
from bert.huggingface.families import Family, family_of
from bert.huggingface.names import body_prefix
from bert.model.config import BertConfig
from bert.model.encoder import initialise
from swe.base.errors import ConfigError
from swe.sharing.adopt import share
from swe.sharing.layout import Layout
from swe.sharing.schedule import NeverShared

NO_PADDING = -1
"""The ``pad_id`` of :mod:`bert.huggingface.convert` with which RoBERTa's positions count from 0."""


class StockEncoder(nn.Module):
    """A masked-language model of transformers, asked as ours is."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, masked: Tensor) -> Tensor:
        """Token ids (B, S) and masked positions (B, M) -> logits (B * M, vocabulary)."""
        place = torch.arange(inputs.shape[1], device=inputs.device).unsqueeze(0)
        logits: Tensor = self.model(input_ids=inputs, position_ids=place).logits
        index = masked.unsqueeze(-1).expand(-1, -1, logits.shape[-1])
        return logits.gather(1, index).flatten(0, 1)


def stock_shape(config: BertConfig) -> BertConfig:
    """Return the shape of the stock model that takes the place of ours: padding rows are tokens."""
    return replace(config, vocabulary=config.padded_vocabulary)


def stock_family(config: BertConfig) -> Family:
    """Return the ``model_type`` of the stock class for this placement of LayerNorm."""
    family = family_of(config, Layout.untied(config.layers))
    assert family is not None, "every untied stack has one"
    return family


def require_transformers() -> None:
    """Raise ConfigError where transformers is not installed."""
    if find_spec("transformers") is None:
        raise ConfigError(
            "encoder = 'transformers': must be 'own', since transformers is not installed: "
            "pip install 'share-then-unshare[hf]'"
        )


def build_stock(config: BertConfig, seed: int) -> StockEncoder:
    """Return a stock model of shape ``config``, its list of layers adopted and untied.

    Every parameter depends on (seed, its name) alone. Raises ConfigError without transformers.
    """
    require_transformers()
    import transformers

    shape, family = stock_shape(config), stock_family(config)
    data = to_config_json(
        shape, Layout.untied(shape.layers), family, pad_id=NO_PADDING, cls_id=0, sep_id=0
    )
    # Given a number, torch would leave that token's row without its gradient as an input.
    data["pad_token_id"] = None
    with torch.random.fork_rng(devices=[]):  # the class draws weights of its own first
        inner = getattr(transformers, CLASSES[family])._from_config(
            transformers.AutoConfig.for_model(**data)
        )
    initialise(inner, config.initial_std, seed)
    model = StockEncoder(inner)
    share(model, f"model.{body_prefix(family)}encoder.layer", NeverShared())
    return model
