"""Import of a Hugging Face checkpoint folder as our Bert: read, checked, nothing of it executed.

Taken are safetensors, ``config.json`` and an uncased WordPiece tokenizer. Pickled weights
(``*.bin``) are refused, for unpickling runs whatever code the file holds. ``bert.export`` is the
other direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bert.data.text import DataError
from bert.data.tokenizer_files import read_tokenizer
from bert.data.vocab import Vocabulary
from bert.huggingface.config import from_config_json
from bert.huggingface.convert import from_hugging_face, to_hugging_face
from bert.huggingface.families import Family
from bert.huggingface.names import body_prefix, head_names
from bert.model.config import BertConfig
from bert.model.encoder import Bert, build_bert
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.sharing.layout import Layout

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """An imported model and what came with it."""

    model: Bert
    """Float32, on the CPU, in training mode; its stack has ``layout``."""
    config: BertConfig
    """Its shape."""
    layout: Layout
    """Untied, or as ALBERT shares."""
    family: Family
    """``model_type`` of the checkpoint."""
    vocabulary: Vocabulary | None
    """Its tokens; None when they were not asked for."""
    dropped: tuple[str, ...]
    """Tensors of the file that our model has no place for (pooler, heads of other tasks)."""
    fresh: tuple[str, ...]
    """Tensors of the head that the file lacks and that were drawn at random."""


def load_pretrained(
    folder: Path | str,
    *,
    dropout: float | None = None,
    head: Literal["required", "fresh"] = "required",
    tokenizer: bool = True,
    seed: int = 0,
) -> Pretrained:
    """Import a checkpoint folder of BERT, RoBERTa-PreLayerNorm or ALBERT; decoders come in causal.

    ``dropout`` replaces the checkpoint's rates. A bare encoder has no language head: with
    ``head`` = "fresh" one is drawn from ``seed``. ``tokenizer`` False leaves the vocabulary
    unread (cased models, other tokenizers). Half-precision weights become float32.

    Raises ConfigError or DataError, in one line with the folder: a missing or damaged file, a
    pickle, a setting that our model does not compute, a tensor too many or too few.
    """
    folder = Path(folder)
    require(head in ("required", "fresh"), "head", head, "required or fresh")
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder")
    try:
        data = read_json(folder / "config.json")
    except FileNotFoundError:
        raise DataError(f"{folder}: has no config.json: not a Hugging Face checkpoint") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: config.json cannot be read ({error})") from None
    try:
        shape = from_config_json(data, dropout=dropout)
    except ConfigError as error:
        raise ConfigError(f"{folder}/config.json: {error}") from None
    config, layout, family = shape.config, shape.layout, shape.family
    vocabulary = read_tokenizer(folder) if tokenizer else None
    if vocabulary is not None and vocabulary.size != config.vocabulary:
        raise DataError(
            f"{folder}: the tokenizer has {vocabulary.size} tokens, config.json says "
            f"{config.vocabulary}"
        )
    other_pad = vocabulary is not None and shape.pad_id not in (vocabulary.pad_id, -1)
    if vocabulary is not None and family != "bert" and other_pad:
        raise DataError(
            f"{folder}: [PAD] is token {vocabulary.pad_id}, config.json says {shape.pad_id}"
        )
    given, dropped = _sorted_out(read_weights(folder), family)
    model = build_bert(config, seed)
    model.stack.retie(layout)
    fresh = tuple(name for name in head_names(family) if name not in given)
    if fresh and head == "required":
        raise ConfigError(f"{folder}: has no language head ({fresh[0]}); head = 'fresh' draws one")
    if fresh:
        drawn = to_hugging_face(model.state_dict(), config, layout, family, pad_id=shape.pad_id)
        given |= {name: drawn[name] for name in fresh}
    try:
        state = from_hugging_face(given, config, layout, family, pad_id=shape.pad_id)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from None
    model.load_state_dict(state)
    return Pretrained(
        model=model,
        config=config,
        layout=layout,
        family=family,
        vocabulary=vocabulary,
        dropped=dropped,
        fresh=fresh,
    )


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read model.safetensors, or the shards that its index lists, as float32 on the CPU.

    Raises DataError when they are missing, damaged, or only there as pickles.
    """
    if (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    elif (folder / INDEX).is_file():
        try:
            files = sorted(set(read_json(folder / INDEX)["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise DataError(f"{folder}/{INDEX}: is no index of shards") from None
        for name in files:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise DataError(f"{folder}/{INDEX}: {name!r} is no safetensors file beside it")
    else:
        pickles = sorted(p.name for s in ("*.bin", "*.pt", "*.ckpt") for p in folder.glob(s))
        if pickles:
            raise DataError(
                f"{folder}/{pickles[0]}: pickled weights can run code and are not read; "
                f"convert them to {WEIGHTS} where you trust them"
            )
        raise DataError(f"{folder}: has no {WEIGHTS}")
    tensors: dict[str, Tensor] = {}
    for name in files:
        try:
            tensors |= load_file(folder / name)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{folder}/{name}: cannot be read ({error})") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensors[name] = tensor.to(torch.float32)
    return tensors


def _sorted_out(
    tensors: dict[str, Tensor], family: Family
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Old names made new; what belongs to encoder and masked-language head; names of the rest.

    Inside the encoder only the pooler and constant buffers may be left out: any other unknown
    tensor there would be part of the function, and is refused later by its name.
    """
    body = body_prefix(family)
    heads = head_names(family)
    decoder = heads[-1].removesuffix("bias") + "decoder."
    bare = not any(name.startswith(body) for name in tensors)
    given: dict[str, Tensor] = {}
    dropped = []
    for old, tensor in tensors.items():
        name = old.replace("LayerNorm.gamma", "LayerNorm.weight")
        name = name.replace("LayerNorm.beta", "LayerNorm.bias")
        if bare and name.startswith(("embeddings.", "encoder.", "pooler.", "LayerNorm.")):
            name = body + name
        constant = name.endswith(("embeddings.position_ids", "embeddings.token_type_ids"))
        inside = name.startswith(body) and not name.startswith(f"{body}pooler")
        if (inside and not constant) or name in heads or name.startswith(decoder):
            given[name] = tensor
        elif not constant:
            dropped.append(old)
    return given, tuple(sorted(dropped))
