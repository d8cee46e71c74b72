"""Where a fine-tune begins: the encoder of a finished pre-training run, or any other state dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bert.config import BertConfig
from bert.model import Bert
from bert.text import DataError
from bert.vocab import Vocabulary, load_vocabulary
from training import checkpoint
from training.config import ConfigError, from_dict
from training.files import file_digest, read_json
from training.schedule import ScheduleState
from training.sharing import Layout

_BLOCKS = "stack.blocks."


@dataclass(frozen=True)
class StartingPoint:
    """A pre-trained encoder.

    ``state``: parameters under the names of ``bert.model.Encoder``, each layer under its own
    number ("stack.blocks.7.inner.weight"), tied layers with the same tensor; other names may be
    there and are not used. ``layout``: what was tied at the end. ``origin``: JSON-able data that
    identifies the weights, without a path.
    """

    config: BertConfig
    vocabulary: Vocabulary
    state: dict[str, Tensor]
    layout: Layout
    origin: dict[str, Any]

    def __post_init__(self) -> None:
        if self.config.vocabulary != self.vocabulary.size:
            raise DataError(
                f"vocabulary of {self.vocabulary.size} tokens, the model has "
                f"{self.config.vocabulary}"
            )

    def with_dropout(self, dropout: float) -> BertConfig:
        """Return the shape with another dropout."""
        return replace(self.config, dropout=dropout)


def of_model(model: Bert, vocabulary: Vocabulary, origin: dict[str, Any]) -> StartingPoint:
    """Return the starting point that a model with masked-language head gives.

    ``origin`` should identify the weights; the layout and the vocabulary's checksum are added.
    """
    layout = model.stack.layout
    state = {name: parameter.detach() for name, parameter in model.named_parameters()}
    known = origin | {"vocabulary_sha256": vocabulary.sha256, "layout": str(layout)}
    return StartingPoint(model.config, vocabulary, expand_layers(state, layout), layout, known)


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
    """Load the last checkpoint of a finished masked-language run of ours.

    The vocabulary is looked for by its checksum in the ``data`` folder of the results that the run
    belongs to, unless its file is given. Raises DataError for a folder without a finished run or
    without its vocabulary, CheckpointError for weights that cannot be used.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise DataError(f"{folder}: no run folder (no config.json in it)")
    data = read_json(config_file)
    if not (folder / "summary.json").is_file():
        raise DataError(f"{folder}: the run is not finished (no summary.json in it)")
    task = data.get("task", {})
    if task.get("task") != "masked language modelling":
        raise DataError(
            f"{folder}: a run of {task.get('task')!r}, not of masked language modelling"
        )
    try:
        config = from_dict(BertConfig, task["model"])
        digest = str(task["data"]["vocabulary_sha256"])
    except (KeyError, ConfigError) as error:
        raise DataError(f"{config_file}: not what this version writes ({error})") from None
    vocabulary = _vocabulary(folder, digest, vocabulary_file)
    found = checkpoint.latest(folder / "checkpoints", lambda message: None)
    if found is None:
        raise DataError(f"{folder}: holds no checkpoint")
    with torch.device("meta"):
        model = Bert(config)
    model.stack.retie(ScheduleState.from_json(found.state["swe"]["schedule"]).layout)
    model = model.to_empty(device="cpu")
    found.load_weights(model)
    weights = file_digest(found.path / "weights.safetensors")
    return of_model(
        model, vocabulary, {"kind": "run", "weights_sha256": weights, "step": found.step}
    )


def _vocabulary(folder: Path, digest: str, given: Path | None) -> Vocabulary:
    name = f"vocab-{digest[:12]}.txt"
    if given is None:
        near = [place / name for up in folder.resolve().parents[:4] for place in (up, up / "data")]
        given = next((path for path in near if path.is_file()), None)
        if given is None:
            raise DataError(f"{folder}: its vocabulary, {name}, is not in a data/ folder above it")
    vocabulary = load_vocabulary(given)
    if vocabulary.sha256 != digest:
        raise DataError(f"{given}: not the vocabulary that the run {folder} was trained with")
    return vocabulary
