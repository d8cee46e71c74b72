"""Weights of our Bert as Hugging Face state dicts, and back: splits and padding, no files.

Which stock class holds a model is in ``families``, what it calls each tensor in ``names``. All use
one table of words for input and output, as we do. State dicts here hold each tensor once, under the
name that ``from_pretrained`` reads (not the tied ``decoder`` aliases). The maps are linear but for
the padding, hence they serve gradients as well (those of a ``branch_scale`` of 1): the tests
compare those.

The padding rows of our vocabulary have no place there. Out, they are cut off: their logits, learnt
to be low, leave the softmax. In, they are zero with a bias of ``PADDING_BIAS``, so that they add
nothing to any softmax in any precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bert.huggingface.families import Family, require_family
from bert.huggingface.names import (
    BRANCH_ENDS,
    MAPPING_IN,
    fused_names,
    hugging_face_shapes,
    odd_names,
    our_shapes,
    plain_names,
    position_offset,
)
from bert.model.config import BertConfig
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout

PADDING_BIAS = -1e4  # exp(-1e4) is 0 in float64 already, and bfloat16 and float16 hold the number


def to_hugging_face(
    state: Mapping[str, Tensor],
    config: BertConfig,
    layout: Layout,
    family: Family,
    *,
    pad_id: int = 0,
) -> dict[str, Tensor]:
    """Turn our state dict (blocks of ``layout``) into one of ``family``, contiguous tensors.

    ``bert`` and ``roberta-prelayernorm`` list every layer: layers that share get equal copies.
    None has a ``branch_scale``: it goes into the last weights and biases of both branches.
    Raises ConfigError when the family cannot hold the model, or names a tensor that is missing, of
    another shape, or unknown.
    """
    require_family(config, layout, family)
    _check(state, our_shapes(config, layout))
    h = config.hidden
    out: dict[str, Tensor] = {}
    for ours, theirs in plain_names(config, layout, family):
        ends_branch = ours.rpartition(".")[0].endswith(BRANCH_ENDS)
        out[theirs] = config.branch_scale * state[ours] if ends_branch else state[ours]
    for ours, theirs in fused_names(config, layout, family):
        for kind in ("weight", "bias"):
            parts = state[f"{ours}.{kind}"].split(h)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                out[f"{theirs}.{name}.{kind}"] = part
    words, bias, positions = odd_names(family)
    out[words] = state["words.weight"][: config.vocabulary]
    out[bias] = state["decoder_bias"][: config.vocabulary]
    out[positions] = _positions_out(state["positions.weight"], family, pad_id)
    if family == "albert":
        like = state["words.weight"]
        out[f"{MAPPING_IN}.weight"] = torch.eye(h, dtype=like.dtype, device=like.device)
        out[f"{MAPPING_IN}.bias"] = torch.zeros(h, dtype=like.dtype, device=like.device)
    return {name: tensor.detach().clone().contiguous() for name, tensor in out.items()}


def from_hugging_face(
    state: Mapping[str, Tensor],
    config: BertConfig,
    layout: Layout,
    family: Family,
    *,
    pad_id: int = 0,
) -> dict[str, Tensor]:
    """Turn a state dict of ``family`` into ours, with blocks of ``layout`` and a padded vocabulary.

    The inverse of :func:`to_hugging_face` up to the padding rows, of models with a ``branch_scale``
    of 1. Tied aliases (``decoder``) may be
    there when they are equal. Raises ConfigError that names a tensor which is missing, of another
    shape, unknown, or holds what ours cannot: a decoder of its own, a map before the first layer,
    or (for ``bert`` and ``roberta-prelayernorm`` with a tied layout) layers that differ.
    """
    require_family(config, layout, family)
    require(config.branch_scale == 1.0, "branch_scale", config.branch_scale, "1 in a stock model")
    given = _without_aliases(state, family)
    _check(given, hugging_face_shapes(config, layout, family, pad_id))
    out: dict[str, Tensor] = {}

    def put(name: str, tensor: Tensor, source: str) -> None:
        if name in out and not torch.equal(out[name], tensor):
            raise ConfigError(f"{source}: differs from the layer it would share with ({layout})")
        out[name] = tensor

    for ours, theirs in plain_names(config, layout, family):
        put(ours, given[theirs], theirs)
    for ours, theirs in fused_names(config, layout, family):
        for kind in ("weight", "bias"):
            parts = [given[f"{theirs}.{name}.{kind}"] for name in ("query", "key", "value")]
            put(f"{ours}.{kind}", torch.cat(parts), f"{theirs}.*.{kind}")
    words, bias, positions = odd_names(family)
    extra = config.padded_vocabulary - config.vocabulary
    out["words.weight"] = torch.cat([given[words], given[words].new_zeros(extra, config.hidden)])
    out["decoder_bias"] = torch.cat([given[bias], given[bias].new_full((extra,), PADDING_BIAS)])
    out["positions.weight"] = given[positions][position_offset(family, pad_id) :]
    if family == "albert":
        weight = given[f"{MAPPING_IN}.weight"]
        identity = torch.eye(config.hidden, dtype=weight.dtype, device=weight.device)
        if not torch.equal(weight, identity) or bool(given[f"{MAPPING_IN}.bias"].any()):
            raise ConfigError(f"{MAPPING_IN}: is not the identity, and this model has no such map")
    return {name: tensor.detach().clone().contiguous() for name, tensor in out.items()}


def _positions_out(table: Tensor, family: Family, pad_id: int) -> Tensor:
    front = table.new_zeros(position_offset(family, pad_id), table.shape[1])
    return torch.cat([front, table])


def _without_aliases(state: Mapping[str, Tensor], family: Family) -> dict[str, Tensor]:
    """Drop tied aliases that equal their originals; an output matrix of its own is refused."""
    words, bias, _ = odd_names(family)
    decoder = f"{bias.removesuffix('.bias')}.decoder"
    given = dict(state)
    for alias, original in ((f"{decoder}.weight", words), (f"{decoder}.bias", bias)):
        tensor = given.pop(alias, None)
        if tensor is not None and not torch.equal(tensor, given.setdefault(original, tensor)):
            raise ConfigError(f"{alias}: differs from {original}; this model has one for both")
    return given


def _check(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name in sorted(shapes.keys() | state.keys()):
        have = tuple(state[name].shape) if name in state else None
        want = shapes.get(name)
        if have != want:
            got = "absent" if have is None else f"of shape {list(have)}"
            raise ConfigError(
                f"{name}: is {got}, the model's is {'absent' if want is None else list(want)}"
            )
