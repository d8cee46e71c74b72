"""Which units each axis of our BERT's parameters counts, for growth."""

from __future__ import annotations

from bert.model.config import BertConfig
from swe.base.config import require
from swe.transforms.anatomy import FIXED, Anatomy, Axis

HIDDEN, READ = Axis(space="hidden"), Axis(space="hidden", way="in")
BENT, BENT_READ = Axis(space="hidden", kind="bent"), Axis(space="hidden", kind="bent", way="in")
SCALE, SHIFT = Axis(space="hidden", kind="scale"), Axis(space="hidden", kind="shift")
INNER, INNER_READ = Axis(space="inner"), Axis(space="inner", way="in")


def bert_anatomy(config: BertConfig) -> Anatomy:
    """Return the anatomy of ``bert.model.encoder.Bert`` of a shape, untied.

    Heads are copied whole: two shapes grow into one another only if their heads are equally wide.
    The head's last norm is read by the decoder, which is the embedding: it carries the shares.

    Pre-LN, units that hold the average pass the layers, but two of BERT's norms are in their way:
    the embeddings', whose output is the residual stream, and the head's, behind a GELU.
    """
    each = config.hidden // config.heads
    packed = Axis(space="heads", each=each, blocks=3)
    mixed = Axis(space="heads", way="in", each=each)
    branches = [(f"{name}.weight", f"{name}.bias") for name in ("attention_norm", "output_norm")]
    norms = {
        name: (axis,) for pair in branches for name, axis in zip(pair, (SCALE, SHIFT), strict=True)
    }
    pre = config.placement == "pre"
    final = {"final_norm.weight": (SCALE,), "final_norm.bias": (SHIFT,)} if pre else {}
    cannot = (
        "embedding_norm makes the residual stream, where no unit is the others' average",
        "transform_norm follows a GELU, through which no unit is the others' average",
    )
    ends = ("attention.output.weight", "attention.output.bias", "outer.weight", "outer.bias")
    return Anatomy(
        depth=config.layers,
        widths={"hidden": config.hidden, "inner": config.intermediate, "heads": config.heads},
        stack="stack.blocks",
        layer={
            "attention.qkv.weight": (packed, READ),
            "attention.qkv.bias": (packed,),
            "attention.output.weight": (HIDDEN, mixed),
            "attention.output.bias": (HIDDEN,),
            "inner.weight": (INNER, READ),
            "inner.bias": (INNER,),
            "outer.weight": (HIDDEN, INNER_READ),
            "outer.bias": (HIDDEN,),
            **norms,
        },
        rest={
            "decoder_bias": (FIXED,),
            "words.weight": (FIXED, HIDDEN),
            "positions.weight": (FIXED, HIDDEN),
            "segments.weight": (FIXED, HIDDEN),
            "embedding_norm.weight": (SCALE,),
            "embedding_norm.bias": (HIDDEN,),
            **final,
            "transform.weight": (BENT, READ),
            "transform.bias": (BENT,),
            "transform_norm.weight": (BENT_READ,),
            "transform_norm.bias": (BENT_READ,),
        },
        ends=ends,
        norms=() if pre else tuple(branches),
        below=(
            "words.weight",
            "positions.weight",
            "segments.weight",
            "embedding_norm.weight",
            "embedding_norm.bias",
        ),
        normed=("hidden",),
        averaged=cannot if pre else None,
    )


def require_same_heads(small: BertConfig, large: BertConfig) -> None:
    """Refuse heads of another width: a copied head computes what it did, half a head does not."""
    own, other = (config.hidden // config.heads for config in (small, large))
    require(own == other, "the large model's width of a head", other, f"the small one's, {own}")
