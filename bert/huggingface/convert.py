"""Weights of our Bert as Hugging Face state dicts, and back: names, splits and padding, no files.

Three stock classes hold what we train, each named by its ``model_type``:

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

All three use one table of words for input and output, as we do. State dicts here hold each tensor
once, under the name that ``from_pretrained`` reads (not the tied ``decoder`` aliases). The maps are
linear but for the padding, hence they serve gradients as well: the tests compare those.

The padding rows of our vocabulary have no place there. Out, they are cut off: their logits, learnt
to be low, leave the softmax. In, they are zero with a bias of ``PADDING_BIAS``, so that they add
nothing to any softmax in any precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from bert.model.config import BertConfig
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout

Family = Literal["bert", "roberta-prelayernorm", "albert"]
PADDING_BIAS = -1e4  # exp(-1e4) is 0 in float64 already, and bfloat16 and float16 hold the number

_LAYER = {
    "bert": {
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "output_norm": "output.LayerNorm",
    },
    "roberta-prelayernorm": {
        "attention.output": "attention.output.dense",
        "attention_norm": "attention.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "output_norm": "intermediate.LayerNorm",
    },
    "albert": {
        "attention.output": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "inner": "ffn",
        "outer": "ffn_output",
        "output_norm": "full_layer_layer_norm",
    },
}
_BRANCH_ENDS = (".attention.output", ".outer")
"""Our last module of each branch."""
_ATTENTION = {
    "bert": "attention.self",
    "roberta-prelayernorm": "attention.self",
    "albert": "attention",
}
_BODY = {"bert": "bert", "roberta-prelayernorm": "roberta_prelayernorm", "albert": "albert"}
_HEAD = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
             "cls.predictions.bias"),
    "roberta-prelayernorm": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    "albert": ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
}  # fmt: skip
_MAPPING_IN = "albert.encoder.embedding_hidden_mapping_in"


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
    _require_family(config, layout, family)
    _check(state, our_shapes(config, layout))
    h = config.hidden
    out: dict[str, Tensor] = {}
    for ours, theirs in _plain(config, layout, family):
        ends_branch = ours.rpartition(".")[0].endswith(_BRANCH_ENDS)
        out[theirs] = config.branch_scale * state[ours] if ends_branch else state[ours]
    for ours, theirs in _fused(config, layout, family):
        for kind in ("weight", "bias"):
            parts = state[f"{ours}.{kind}"].split(h)
            for name, part in zip(("query", "key", "value"), parts, strict=True):
                out[f"{theirs}.{name}.{kind}"] = part
    words, bias, positions = _odd_names(family)
    out[words] = state["words.weight"][: config.vocabulary]
    out[bias] = state["decoder_bias"][: config.vocabulary]
    out[positions] = _positions_out(state["positions.weight"], family, pad_id)
    if family == "albert":
        like = state["words.weight"]
        out[f"{_MAPPING_IN}.weight"] = torch.eye(h, dtype=like.dtype, device=like.device)
        out[f"{_MAPPING_IN}.bias"] = torch.zeros(h, dtype=like.dtype, device=like.device)
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
    _require_family(config, layout, family)
    require(config.branch_scale == 1.0, "branch_scale", config.branch_scale, "1 in a stock model")
    given = _without_aliases(state, family)
    _check(given, hugging_face_shapes(config, layout, family, pad_id))
    out: dict[str, Tensor] = {}

    def put(name: str, tensor: Tensor, source: str) -> None:
        if name in out and not torch.equal(out[name], tensor):
            raise ConfigError(f"{source}: differs from the layer it would share with ({layout})")
        out[name] = tensor

    for ours, theirs in _plain(config, layout, family):
        put(ours, given[theirs], theirs)
    for ours, theirs in _fused(config, layout, family):
        for kind in ("weight", "bias"):
            parts = [given[f"{theirs}.{name}.{kind}"] for name in ("query", "key", "value")]
            put(f"{ours}.{kind}", torch.cat(parts), f"{theirs}.*.{kind}")
    words, bias, positions = _odd_names(family)
    extra = config.padded_vocabulary - config.vocabulary
    out["words.weight"] = torch.cat([given[words], given[words].new_zeros(extra, config.hidden)])
    out["decoder_bias"] = torch.cat([given[bias], given[bias].new_full((extra,), PADDING_BIAS)])
    out["positions.weight"] = given[positions][_position_offset(family, pad_id) :]
    if family == "albert":
        weight = given[f"{_MAPPING_IN}.weight"]
        identity = torch.eye(config.hidden, dtype=weight.dtype, device=weight.device)
        if not torch.equal(weight, identity) or bool(given[f"{_MAPPING_IN}.bias"].any()):
            raise ConfigError(f"{_MAPPING_IN}: is not the identity, and this model has no such map")
    return {name: tensor.detach().clone().contiguous() for name, tensor in out.items()}


def our_shapes(config: BertConfig, layout: Layout) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters of ``bert.model.encoder.Bert`` whose stack has ``layout``, by
    name."""
    h, f, v = config.hidden, config.intermediate, config.padded_vocabulary
    shapes: dict[str, tuple[int, ...]] = {
        "words.weight": (v, h), "positions.weight": (config.positions, h),
        "segments.weight": (2, h), "decoder_bias": (v,),
    }  # fmt: skip
    linear = {"transform": (h, h)}
    norms = ["embedding_norm", "transform_norm"]
    if config.placement == "pre":
        norms.append("final_norm")
    for block in range(layout.block_count):
        head = f"stack.blocks.{block}."
        linear |= {
            f"{head}attention.qkv": (3 * h, h), f"{head}attention.output": (h, h),
            f"{head}inner": (f, h), f"{head}outer": (h, f),
        }  # fmt: skip
        norms += [f"{head}attention_norm", f"{head}output_norm"]
    for name, shape in linear.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (h,)
    return shapes


def hugging_face_shapes(
    config: BertConfig, layout: Layout, family: Family, pad_id: int = 0
) -> dict[str, tuple[int, ...]]:
    """Shapes of the family's parameters by name, tied aliases left out."""
    ours, h = our_shapes(config, layout), config.hidden
    shapes = {theirs: ours[name] for name, theirs in _plain(config, layout, family)}
    for _, theirs in _fused(config, layout, family):
        for name in ("query", "key", "value"):
            shapes[f"{theirs}.{name}.weight"], shapes[f"{theirs}.{name}.bias"] = (h, h), (h,)
    words, bias, positions = _odd_names(family)
    shapes[words], shapes[bias] = (config.vocabulary, h), (config.vocabulary,)
    shapes[positions] = (config.positions + _position_offset(family, pad_id), h)
    if family == "albert":
        shapes[f"{_MAPPING_IN}.weight"], shapes[f"{_MAPPING_IN}.bias"] = (h, h), (h,)
    return shapes


def head_names(family: Family) -> tuple[str, ...]:
    """Names of the language head's own tensors, absent from a bare encoder's checkpoint."""
    dense, norm, bias = _HEAD[family]
    return (f"{dense}.weight", f"{dense}.bias", f"{norm}.weight", f"{norm}.bias", bias)


def body_prefix(family: Family) -> str:
    """Return the name of the encoder inside the class with a language head ("bert.")."""
    return f"{_BODY[family]}."


def _position_offset(family: Family, pad_id: int) -> int:
    return pad_id + 1 if family == "roberta-prelayernorm" else 0


def _positions_out(table: Tensor, family: Family, pad_id: int) -> Tensor:
    front = table.new_zeros(_position_offset(family, pad_id), table.shape[1])
    return torch.cat([front, table])


def _odd_names(family: Family) -> tuple[str, str, str]:
    """Names of the words, the output bias and the positions: cut, padded or shifted."""
    embeddings = f"{_BODY[family]}.embeddings"
    return (
        f"{embeddings}.word_embeddings.weight",
        _HEAD[family][2],
        f"{embeddings}.position_embeddings.weight",
    )


def _plain(config: BertConfig, layout: Layout, family: Family) -> Iterator[tuple[str, str]]:
    """Pairs (our name, theirs) of the tensors that are the same on both sides."""
    body = _BODY[family]
    dense, norm, _ = _HEAD[family]
    yield "segments.weight", f"{body}.embeddings.token_type_embeddings.weight"
    modules = [
        ("embedding_norm", f"{body}.embeddings.LayerNorm"),
        ("transform", dense),
        ("transform_norm", norm),
    ]
    if config.placement == "pre":
        modules.append(("final_norm", f"{body}.LayerNorm"))
    for block, layer in _layers(layout, family):
        modules += [(f"{block}.{a}", f"{layer}.{b}") for a, b in _LAYER[family].items()]
    for ours, theirs in modules:
        yield f"{ours}.weight", f"{theirs}.weight"
        yield f"{ours}.bias", f"{theirs}.bias"


def _fused(config: BertConfig, layout: Layout, family: Family) -> Iterator[tuple[str, str]]:
    """Pairs (our fused query-key-value, the module that holds their three)."""
    for block, layer in _layers(layout, family):
        yield f"{block}.attention.qkv", f"{layer}.{_ATTENTION[family]}"


def _layers(layout: Layout, family: Family) -> Iterator[tuple[str, str]]:
    """Pairs (our block, their layer): one a logical layer, for ALBERT one a block."""
    if family == "albert":
        for block in range(layout.block_count):
            group, inner = divmod(block, layout.unit)
            yield (
                f"stack.blocks.{block}",
                f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}",
            )
    else:
        for layer, block in enumerate(layout.owner):
            yield f"stack.blocks.{block}", f"{_BODY[family]}.encoder.layer.{layer}"


def _require_family(config: BertConfig, layout: Layout, family: Family) -> None:
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


def _without_aliases(state: Mapping[str, Tensor], family: Family) -> dict[str, Tensor]:
    """Drop tied aliases that equal their originals; an output matrix of its own is refused."""
    words, bias, _ = _odd_names(family)
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
