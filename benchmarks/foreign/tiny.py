"""A tiny configuration of any transformers family, by the names that configurations have.

Nothing is known here of a family: a number is changed because of what it is called (a width, a
number of heads, a vocabulary), lists of one entry a layer are cut to as many layers, and their
kinds alternate where they differ. Where that gives no model, the family counts as not tried.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig

LAYERS, WIDTH, HEADS, WORDS, LENGTH, IMAGE, PATCH = 4, 32, 2, 64, 12, 32, 8
HEAD = WIDTH // HEADS
SIZES: dict[str, int] = {
    r"mamba_n_heads|mamba_num_heads": 2 * WIDTH // HEAD,
    r"(.*_)?(num_hidden|num|encoder|decoder|n|hidden)_layers?": LAYERS,
    r"depth|num_(encoder|decoder)_layers|num_hidden_groups|num_(en|de)coder_blocks": LAYERS,
    r"(.*_)?hidden_size|d_model|n_embd|embed_dim|dim|hidden_dim|emb_dim|embedding_size": WIDTH,
    r"(.*_)?(projection_dim|embed_proj_dim|embed_size|embedding_dim|embed_dim|hidden_dim)": WIDTH,
    r"output_dim|lru_width|num_features|out_hidden_size|pooler_output_size": WIDTH,
    r"(.*_)?(intermediate_size|ffn_dim|ffn_hidden_size|mlp_dim|inner_dim)": 2 * WIDTH,
    r"d_ff|d_inner|n_inner|inner_size|mlp_hidden_size|ffn_hidden_dim|attention_hidden_size": WIDTH,
    r"(.*_)?(attention_heads|num_heads|n_heads?|num_kv_heads|n_head_kv|key_value_heads)": HEADS,
    r"(.*_)?(head_dim|d_kv|dim_head|d_head)": HEAD,
    r"qk_rope_head_dim|rotary_dim|qk_rope_dim": HEAD // 2,
    r"qk_head_dim": HEAD + HEAD // 2,
    r"(.*_)?(kv_lora_rank|q_lora_rank|lora_rank|o_lora_rank|time_step_rank)": HEAD,
    r"(.*_)?vocab_size(_.*)?|num_embeddings|codebook_size|vocabulary_size": WORDS,
    r"(.*_)?(position_embeddings|source_positions|target_positions|n_positions|seq_length)": 64,
    r"n_ctx|max_seq_len(gth)?|block_size|n_positions|max_length": 64,
    r"sliding_window|local_attention|attention_window_size": LENGTH // 2,
    r"window_size": 4,
    r"image_size|pretrain_image_size|input_size|video_size": IMAGE,
    r"patch_size": PATCH,
    r"(.*_)?(n_routed_experts|num_experts|num_local_experts|moe_num_experts|n_experts)": 4,
    r"(.*_)?(num_experts_per_tok|top_k_experts|moe_k|moe_top_k|num_selected_experts)": 2,
    r"n_group|topk_group|n_shared_experts|mamba_n_groups|n_groups": 1,
    r"first_k_dense_replace|num_dense_layers|attn_layer_offset|expert_layer_offset": 1,
    r"attn_layer_period|expert_layer_period": 2,
    r"(.*_)?(ssm_state_size|d_state|state_size)": 8,
    r"linear_num_(key|value)_heads|linear_num_heads": HEADS,
    r"(.*_)?(num_mel_bins|mel_bins|feature_size)": 16,
    r"num_conv_pos_embeddings": 8,
    r"num_conv_pos_embedding_groups|conv_pos_groups": 2,
    r"num_feat_extract_layers": 3,
    r"(.*_)?(num_queries|num_query_tokens|query_num|num_image_tokens|image_seq_length)": 8,
    r"num_frames|num_codebooks": 2,
    r"index_topk|context_size|max_relative_position|chunk_size": 8,
}
"""{pattern of a whole name: the value that a number of this name gets where it is larger}."""
PATTERNS = [(re.compile(pattern), value) for pattern, value in SIZES.items()]
DEPTHS = re.compile(r"num_hidden_layers|n_layers?|num_layers|encoder_layers|decoder_layers|depth")
HEADED = re.compile(r"(.*_)?(heads|n_head|n_head_kv)")
WIDE = re.compile(r"(.*_)?(hidden_size|d_model|n_embd|(embed|hidden|output|emb)_dim|dim|lru_width)")
TOKEN = re.compile(r".*token_(id|index)|.*_token")
FIRST_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LABELS = ("model_type", "id2label", "label2id")
CONVOLUTIONS: dict[str, list[int]] = {
    "conv_dim": [WIDTH] * 3,
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "hidden_sizes": [WIDTH] * LAYERS,
    "global_attn_indexes": [1, 3],
    "fullatt_block_indexes": [1, 3],
    "deepstack_visual_indexes": [0, 1],
    "mrope_section": [HEAD // 4, HEAD // 8, HEAD // 8],
    "axial_pos_embds_dim": [WIDTH // 2, WIDTH // 2],
}
KEPT = ("out_indices", "out_features")
UNSET = {"head_dim": HEAD, "num_key_value_heads": HEADS, "vocab_size": WORDS}
"""What stands for a number that is derived from others where it is None."""
STAGES = [1, LAYERS, 1, 1]
MORE: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "esm": {"pad_token_id": 1, "mask_token_id": 3},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "led": {"attention_window": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "mobilebert": {"intra_bottleneck_size": WIDTH, "true_hidden_size": WIDTH},
    "reformer": {"axial_pos_shape": [3, LENGTH // 3]},
    "speech_to_text": {"input_feat_per_channel": 16},
    "xmod": {"default_language": "en_XX"},
}
"""What some families need beside: no name says it."""


def tiny(kind: str, times: int = 1, *, decoder: bool = False) -> PreTrainedConfig:
    """Return a small configuration of the family ``kind``; raises whatever the family does.

    ``times``: that much wider, with as many more heads; ``decoder``: for a causal model.
    """
    full = CONFIG_MAPPING[kind]()
    small = shrunk(full.to_dict(), times)
    if decoder and "is_decoder" in full.to_dict():
        small["is_decoder"] = True
    return type(full)(**{**small, **MORE.get(kind, {})})


def shrunk(full: dict[str, Any], times: int = 1) -> dict[str, Any]:
    """Return those entries that are to be changed, with their small values."""
    depths = {v for k, v in full.items() if DEPTHS.fullmatch(k) and isinstance(v, int)}
    small: dict[str, Any] = {}
    tokens = 3
    for name, value in full.items():
        if name in UNSET and value is None:
            small[name] = UNSET[name]
        if name in (*LABELS, *KEPT) or isinstance(value, bool) or value is None:
            continue
        if isinstance(value, dict):
            if value and all(str(key).isdigit() for key in value):  # an entry a layer
                small[name] = {k: v for k, v in value.items() if int(k) < LAYERS}
                continue
            inner = shrunk(value, times)
            if "model_type" in value:
                small[name] = {"model_type": value["model_type"], **inner}
            elif inner:
                small[name] = value | inner
        elif name in FIRST_TOKENS:
            small[name] = FIRST_TOKENS[name]
        elif TOKEN.fullmatch(name) and isinstance(value, int):
            small[name], tokens = tokens, tokens + 1
        elif name in CONVOLUTIONS and isinstance(value, list | tuple):
            small[name] = [times * n if n == WIDTH else n for n in CONVOLUTIONS[name]]
        elif name == "depths" and len(value) <= len(STAGES):
            small[name] = STAGES[: len(value)]
        elif HEADED.fullmatch(name) and isinstance(value, list | tuple):
            small[name] = [HEADS] * len(value)
        elif isinstance(value, int):
            least = next((v for p, v in PATTERNS if p.fullmatch(name)), None)
            if least is not None and HEADED.fullmatch(name) and "expand" in full:
                least = 2 * WIDTH // HEAD  # as many as an expanded width has
            if least is not None and (WIDE.fullmatch(name) or HEADED.fullmatch(name)):
                least *= times
            if least is not None and (value > least or "layer" in name or name == "head_dim"):
                small[name] = least
        elif isinstance(value, list) and len(value) in depths and len(value) > LAYERS:
            kinds = list(dict.fromkeys(map(str, value)))
            first = [next(v for v in value if str(v) == kind) for kind in kinds[:2]]
            small[name] = (first * LAYERS)[:LAYERS]
        elif name in ("image_size", "patch_size") and isinstance(value, list | tuple):
            small[name] = [IMAGE if name == "image_size" else PATCH] * len(value)
    return small
