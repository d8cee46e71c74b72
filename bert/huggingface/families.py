"""Which stock class of transformers holds a model as it is tied.

Each is named by its ``model_type``:

- ``bert`` (``BertForMaskedLM``): Post-LN, every layer its own;
- ``roberta-prelayernorm`` (``RobertaPreLayerNormForMaskedLM``): Pre-LN, every layer its own. It
  counts positions from ``pad_id + 1``, so its position table has that many rows more in front
  (none for a decoder, see ``pad_of``);
- ``albert`` (``AlbertForMaskedLM``): Post-LN, tied AxB. A is its ``inner_group_num``, B its
  ``num_hidden_layers``, a group of ours one of its ``num_hidden_groups``. It sends embeddings
  through a linear map before the first layer; ours has none, so the map is the identity, which
  changes no bit.

The first two are decoders as well (``BertLMHeadModel``, ``RobertaPreLayerNormForCausalLM``): a
causal model has the same weights there by the same names. ALBERT is none.
"""

from __future__ import annotations

from typing import Literal, get_args

from bert.model.config import BertConfig
from swe.base.config import require
from swe.sharing.layout import Layout

Family = Literal["bert", "roberta-prelayernorm", "albert"]


def family_of(config: BertConfig, layout: Layout) -> Family | None:
    """Return the stock class that computes this model as it is tied; None when there is none.

    None for tied Pre-LN stacks, tied causal ones, groups (SWE-M) that ALBERT's rule for its groups
    does not give, and a last repeat that runs backwards (CYCLE (REV)); such a model is exported as
    untied copies (``layout.untie()``).
    """
    if layout.is_untied:
        return "bert" if config.placement == "post" else "roberta-prelayernorm"
    forward = layout.group_of == albert_groups(layout.repeats, len(layout.groups))
    if layout.runs_backwards or not forward:
        return None
    return "albert" if config.placement == "post" and not config.causal else None


def pad_of(config: BertConfig, pad_id: int) -> int:
    """Return the ``pad_token_id`` under which a model of a vocabulary with that [PAD] is exported.

    -1, so that positions count from 0, for a Pre-LN decoder: its ``generate`` (transformers 5.17)
    counts them from 0 whatever the padding, where its ``forward`` counts from ``pad_id + 1``, so
    under any other number one of the two is another function. The price is theirs alone: torch
    takes -1 for the last word, whose row as an input they do not train.
    """
    return -1 if config.causal and config.placement == "pre" else pad_id


def albert_groups(repeats: int, groups: int) -> tuple[int, ...]:
    """Return the group of each repeat by ALBERT's rule, floor(i / (repeats / groups))."""
    return tuple(int(i / (repeats / groups)) for i in range(repeats))


def require_family(config: BertConfig, layout: Layout, family: Family) -> None:
    """Refuse a family that cannot hold a model tied as ``layout``. Raises ConfigError."""
    require(family in get_args(Family), "family", family, f"one of {', '.join(get_args(Family))}")
    require(layout.depth == config.layers, "layout", str(layout), f"of depth {config.layers}")
    pre = family == "roberta-prelayernorm"
    require(
        config.placement == ("pre" if pre else "post"),
        "placement",
        config.placement,
        f"{'pre' if pre else 'post'}: {family} has no other",
    )
    if family == "albert":
        require(not config.causal, "family", family, "another: albert has no decoder")
        rule = albert_groups(layout.repeats, len(layout.groups))
        require(
            layout.group_of == rule and not layout.runs_backwards,
            "layout",
            str(layout),
            f"grouped as albert does it: repeats in groups {rule}, all forward",
        )
