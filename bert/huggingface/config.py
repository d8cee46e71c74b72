"""Our shape as a Hugging Face ``config.json``, and back; what would change the function is refused.

A key of a foreign ``config.json`` is one of four kinds: it is read (shape, dropout, epsilon); it
must have the one value that our model computes (absolute positions, exact GELU, one stack); it
says nothing about the function of a language model (names, labels, caches); or it is
unknown, and then it is refused, since nobody can tell what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from bert.huggingface.families import Family, albert_groups
from bert.model.config import BertConfig
from swe.base.config import require, require_count
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout

CLASSES: dict[Family, str] = {
    "bert": "BertForMaskedLM",
    "roberta-prelayernorm": "RobertaPreLayerNormForMaskedLM",
    "albert": "AlbertForMaskedLM",
}
"""The stock class of each family."""
CAUSAL_CLASSES: dict[Family, str] = {
    "bert": "BertLMHeadModel",
    "roberta-prelayernorm": "RobertaPreLayerNormForCausalLM",
}
"""Those that are decoders too: the same weights by the same names, ``is_decoder`` true."""

# The exact GELU, x Phi(x); every other name (gelu_new, gelu_fast, relu, ...) is another function.
_EXACT_GELU = ("gelu", "gelu_python")
_MUST: dict[str, tuple[Any, ...]] = {
    "hidden_act": _EXACT_GELU,
    "position_embedding_type": ("absolute",),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
    "is_encoder_decoder": (False,),
    "tie_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "chunk_size_feed_forward": (0,),
    "net_structure_type": (0,),  # ALBERT's first releases carry these four
    "gap_size": (0,),
    "num_memory_blocks": (0,),
    "down_scale_factor": (1,),
    "type_vocab_size": (2,),
}
_READ = {
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "layer_norm_eps",
    "initializer_range",
    "pad_token_id",
    "is_decoder",
    "embedding_size",
    "num_hidden_groups",
    "inner_group_num",
}
_SILENT = {
    "_name_or_path",
    "architectures",
    "bos_token_id",
    "classifier_dropout",
    "classifier_dropout_prob",
    "cls_token_id",
    "decoder_start_token_id",
    "directionality",
    "dtype",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "id2label",
    "label2id",
    "layers_to_use",
    "mask_token_id",
    "model_max_length",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "pooler_fc_size",
    "pooler_num_attention_heads",
    "pooler_num_fc_layers",
    "pooler_size_per_head",
    "pooler_type",
    "prefix",
    "problem_type",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "unk_token_id",
    "use_cache",
    "vocab_type",
}


@dataclass(frozen=True, kw_only=True)
class ForeignShape:
    """What a foreign ``config.json`` says."""

    config: BertConfig
    """Our shape."""
    layout: Layout
    """Which layers share (untied but for ALBERT)."""
    family: Family
    """Its ``model_type``."""
    pad_id: int
    """Id of [PAD]; RoBERTa counts positions from the one after it."""


def class_name(family: Family, causal: bool) -> str:
    """Return the stock class that holds a model. ConfigError: ALBERT has no decoder."""
    classes = CAUSAL_CLASSES if causal else CLASSES
    require(family in classes, "family", family, f"one of {', '.join(classes)}, the decoders")
    return classes[family]


def to_config_json(
    config: BertConfig,
    layout: Layout,
    family: Family,
    *,
    pad_id: int,
    cls_id: int,
    sep_id: int,
) -> dict[str, Any]:
    """Return the ``config.json`` of the family's stock class for this model (see `families`).

    Dropout, epsilon and the initial deviation go along. With dropout in training ALBERT differs:
    it has none after the feed-forward part; as a function (in evaluation) it is the same.
    """
    extra = pad_id + 1 if family == "roberta-prelayernorm" else 0
    out: dict[str, Any] = {
        "architectures": [class_name(family, config.causal)],
        "model_type": family,
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.intermediate,
        "hidden_act": "gelu",
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "max_position_embeddings": config.positions + extra,
        "type_vocab_size": 2,
        "initializer_range": config.initial_std,
        "layer_norm_eps": config.layer_norm_eps,
        "pad_token_id": pad_id,
        "bos_token_id": cls_id,
        "eos_token_id": sep_id,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    if config.causal:
        out["is_decoder"] = True
    if family == "albert":
        out |= {
            "embedding_size": config.hidden,
            "num_hidden_layers": layout.repeats,
            "num_hidden_groups": len(layout.groups),
            "inner_group_num": layout.unit,
        }
    return out


def from_config_json(given: Mapping[str, Any], *, dropout: float | None = None) -> ForeignShape:
    """Read a foreign ``config.json``; ``dropout`` replaces its two rates, which may then differ.

    Raises ConfigError that names the first key with a value that our model does not compute, the
    first unknown key, or custom code (``auto_map``), which is never run.
    """
    family = given.get("model_type")
    require(family in get_args(Family), "model_type", family, f"one of {', '.join(CLASSES)}")
    assert family in CLASSES
    if "auto_map" in given:
        raise ConfigError("auto_map: the checkpoint brings code of its own, which is not run")
    if family == "albert":  # first: all of its stock checkpoints are so, and no setting mends it
        narrow, hidden = given.get("embedding_size", 128), given.get("hidden_size")
        require(
            narrow == hidden,
            "embedding_size",
            narrow,
            f"hidden_size = {hidden} (ALBERT normalises narrow embeddings and then widens them, "
            "which this model has no place for; take a BERT checkpoint, and share its layers)",
        )
    known = _READ | _SILENT | _MUST.keys()
    for name in sorted(given):
        if name not in known:
            raise ConfigError(
                f"{name} = {given[name]!r}: unknown; it may change the function, so nothing is "
                "imported (take it out of config.json if it does not)"
            )
        if name in _MUST:
            allowed = " or ".join(map(repr, _MUST[name]))
            require(given[name] in _MUST[name], name, given[name], f"{allowed} for this model")
    if family == "albert":  # whose default is the tanh approximation
        require("hidden_act" in given, "hidden_act", None, "'gelu' for this model")

    def value(name: str, *default: Any) -> Any:
        require(name in given or bool(default), name, None, "given")
        return given.get(name, *default)

    pad_id = value("pad_token_id", 1 if family == "roberta-prelayernorm" else 0)
    causal = given.get("is_decoder", False)
    require_count("pad_token_id", pad_id, -1 if causal else 0)
    allowed = "False for this model" if family == "albert" else "True or False"
    require(
        causal is False or (causal is True and family != "albert"), "is_decoder", causal, allowed
    )
    layers, unit, groups = value("num_hidden_layers"), 1, 0
    if family == "albert":
        unit, groups = value("inner_group_num", 1), value("num_hidden_groups", 1)
        for name, count in (("inner_group_num", unit), ("num_hidden_groups", groups)):
            require_count(name, count)
        require_count("num_hidden_layers", layers, groups)
    require_count("num_hidden_layers", layers)
    rates = [
        value(f"{name}_prob", 0.0 if family == "albert" else 0.1)
        for name in ("hidden_dropout", "attention_probs_dropout")
    ]
    if dropout is None:
        require(
            rates[0] == rates[1],
            "attention_probs_dropout_prob",
            rates[1],
            f"hidden_dropout_prob = {rates[0]}, or give dropout yourself",
        )
        dropout = rates[0]
    extra = pad_id + 1 if family == "roberta-prelayernorm" else 0
    config = BertConfig(
        layers=layers * unit,
        hidden=value("hidden_size"),
        heads=value("num_attention_heads"),
        intermediate=value("intermediate_size"),
        vocabulary=value("vocab_size"),
        positions=value("max_position_embeddings", 512) - extra,
        placement="pre" if family == "roberta-prelayernorm" else "post",
        dropout=dropout,
        initial_std=value("initializer_range", 0.02),
        layer_norm_eps=value("layer_norm_eps", 1e-12),
        causal=causal,
    )
    layout = Layout.untied(config.layers)
    if family == "albert":
        rule = albert_groups(layers, groups)
        sizes = tuple(rule.count(group) for group in range(groups))
        layout = Layout(config.layers, unit, sizes)
    return ForeignShape(config=config, layout=layout, family=family, pad_id=pad_id)
