"""Names and shapes of our Bert's tensors, and of the stock classes' (``families``)."""

from __future__ import annotations

from collections.abc import Iterator

from bert.huggingface.families import Family
from bert.model.config import BertConfig
from swe.sharing.layout import Layout

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
BRANCH_ENDS = (".attention.output", ".outer")
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
MAPPING_IN = "albert.encoder.embedding_hidden_mapping_in"


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
    shapes = {theirs: ours[name] for name, theirs in plain_names(config, layout, family)}
    for _, theirs in fused_names(config, layout, family):
        for name in ("query", "key", "value"):
            shapes[f"{theirs}.{name}.weight"], shapes[f"{theirs}.{name}.bias"] = (h, h), (h,)
    words, bias, positions = odd_names(family)
    shapes[words], shapes[bias] = (config.vocabulary, h), (config.vocabulary,)
    shapes[positions] = (config.positions + position_offset(family, pad_id), h)
    if family == "albert":
        shapes[f"{MAPPING_IN}.weight"], shapes[f"{MAPPING_IN}.bias"] = (h, h), (h,)
    return shapes


def head_names(family: Family) -> tuple[str, ...]:
    """Names of the language head's own tensors, absent from a bare encoder's checkpoint."""
    dense, norm, bias = _HEAD[family]
    return (f"{dense}.weight", f"{dense}.bias", f"{norm}.weight", f"{norm}.bias", bias)


def body_prefix(family: Family) -> str:
    """Return the name of the encoder inside the class with a language head ("bert.")."""
    return f"{_BODY[family]}."


def position_offset(family: Family, pad_id: int) -> int:
    """Rows of the family's position table before the first position of a row."""
    return pad_id + 1 if family == "roberta-prelayernorm" else 0


def odd_names(family: Family) -> tuple[str, str, str]:
    """Names of the words, the output bias and the positions: cut, padded or shifted."""
    embeddings = f"{_BODY[family]}.embeddings"
    return (
        f"{embeddings}.word_embeddings.weight",
        _HEAD[family][2],
        f"{embeddings}.position_embeddings.weight",
    )


def plain_names(config: BertConfig, layout: Layout, family: Family) -> Iterator[tuple[str, str]]:
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


def fused_names(config: BertConfig, layout: Layout, family: Family) -> Iterator[tuple[str, str]]:
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
