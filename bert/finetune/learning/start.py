"""Where a fine-tune begins: the encoder of a finished pre-training run, or any other state dict."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bert.data.text import DataError
from bert.data.tokenizer_files import longest_row
from bert.data.vocab import Vocabulary
from bert.huggingface.export import find_vocabulary, load_run, trained_length
from bert.huggingface.pretrained import load_pretrained
from bert.model.config import BertConfig
from bert.model.encoder import Bert
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.sharing.layout import Layout

_BLOCKS = "stack.blocks."


@dataclass(frozen=True)
class StartingPoint:
    """A pre-trained encoder.

    ``state``: parameters under the names of ``bert.model.encoder.Encoder``, each layer under its
    own number ("stack.blocks.7.inner.weight"), tied layers with the same tensor; other names may be
    there and are not used. ``layout``: what was tied at the end. ``origin``: JSON-able data that
    identifies the weights, without a path. ``trained_length``: tokens of a row in pre-training, the
    positions behind are as they were drawn; None where that is not known.
    """

    config: BertConfig
    vocabulary: Vocabulary
    state: dict[str, Tensor]
    layout: Layout
    origin: dict[str, Any]
    trained_length: int | None = None

    def __post_init__(self) -> None:
        if self.config.vocabulary != self.vocabulary.size:
            raise DataError(
                f"vocabulary of {self.vocabulary.size} tokens, the model has "
                f"{self.config.vocabulary}"
            )

        if self.config.causal:
            raise ConfigError(
                "causal: fine-tuning reads the state of [CLS], which sees no other token in a "
                "causal model; start from a model with --objective masked"
            )

    def with_dropout(self, dropout: float) -> BertConfig:
        """Return the shape with another dropout."""
        return replace(self.config, dropout=dropout)


def of_model(
    model: Bert,
    vocabulary: Vocabulary,
    origin: dict[str, Any],
    trained_length: int | None = None,
) -> StartingPoint:
    """Return the starting point that a model with language head gives.

    ``origin`` should identify the weights; the layout and the vocabulary's checksum are added.
    """
    layout = model.stack.layout
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    known = origin | {"vocabulary_sha256": vocabulary.sha256, "layout": str(layout)}
    layers = expand_layers(state, layout)
    return StartingPoint(model.config, vocabulary, layers, layout, known, trained_length)


def expand_layers(state: Mapping[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """Rename a tied stack's tensors from blocks to layers: each layer names its block's tensor."""
    out = {name: tensor for name, tensor in state.items() if not name.startswith(_BLOCKS)}
    for layer, owner in enumerate(layout.owner):
        prefix = f"{_BLOCKS}{owner}."
        for name, tensor in state.items():
            if name.startswith(prefix):
                out[f"{_BLOCKS}{layer}.{name.removeprefix(prefix)}"] = tensor
    return out


def open_start(folder: Path, vocabulary_file: Path | None = None) -> StartingPoint:
    """Open a finished masked-language run of ours, or a Hugging Face checkpoint folder.

    ``config.json`` tells which (Hugging Face's has a ``model_type``). A run's vocabulary is looked
    for beside it unless its file is given; a checkpoint brings its own. Raises ConfigError or
    DataError in one line, CheckpointError for weights of a run that cannot be used.
    """
    try:
        data = read_json(folder / "config.json")
    except FileNotFoundError:
        raise DataError(f"{folder}: no run folder and no checkpoint (no config.json)") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: config.json cannot be read ({error})") from None
    if isinstance(data, dict) and "model_type" in data:
        require(
            vocabulary_file is None,
            "--vocab",
            str(vocabulary_file),
            "absent: the checkpoint has its own",
        )
        found = load_pretrained(folder, head="fresh")
        assert found.vocabulary is not None, "the tokenizer is read by default"
        model, vocabulary = found.model, found.vocabulary
        kind: str = found.family
        length = longest_row(folder, found.config.positions)
    else:
        model, digest = load_run(folder)
        kind, vocabulary = "run", find_vocabulary(folder, digest, vocabulary_file)
        length = trained_length(folder)
    origin = {"kind": kind, "weights_sha256": weights_digest(model)}
    return of_model(model, vocabulary, origin, length)


def weights_digest(model: nn.Module) -> str:
    """Return the sha256 of all parameters by name: the same weights, whatever file held them."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)} ".encode())
        digest.update(parameter.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
