"""A run that starts from an existing model: a run of ours, an export, a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert.data.reading import DataError
from bert.data.vocab import Vocabulary, load_vocabulary
from bert.huggingface.export import find_vocabulary, load_run
from bert.huggingface.pretrained import load_pretrained
from bert.model.config import BertConfig, named_config
from bert.model.encoder import Bert
from bert.model.start import Start, Tie, digest_of, untied_weights
from bert.study.arms import StudyConfig
from bert.study.fitting import FittedStart, Fitting
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.transforms.stage import Stage

HEAD = ("transform.", "transform_norm.", "decoder_bias")
"""How the names of the language head's weights begin (bert.model.encoder)."""


@dataclass(frozen=True, eq=False)
class Source:
    """A model to start from, and its vocabulary."""

    folder: Path
    model: Bert
    vocabulary: Vocabulary
    headless: bool = False
    """Whether the folder lacks the language head, which a run then draws."""
    note: str = ""
    """What was done to the model of the folder, in words."""
    fitting: Fitting | None = None
    """The fitted map by which a run grows the model, where it does."""
    larger: BertConfig | None = None
    """The shape that a run's own stages grow the model to, where they do."""
    stages: tuple[Stage, ...] = ()
    """What a run is before it is its own model (bert.study.staged)."""

    @property
    def config(self) -> BertConfig:
        """The shape that a run starts with."""
        if self.fitting is not None:
            return self.fitting.large
        return self.model.config if self.larger is None else self.larger

    def settings(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a study that say its shape. ConfigError where ``asked`` differ."""
        config = self.config
        found = {
            "size": f"{config.layers}x{config.hidden}",
            "placement": config.placement,
            "objective": "causal" if config.causal else "masked",
            "branch_scale": config.branch_scale,
        }
        if "size" in asked:
            size = named_config(str(asked["size"]))
            if (size.layers, size.hidden) != (config.layers, config.hidden):
                raise ConfigError(
                    f"--size {asked['size']}: the model of --start-from {self.folder} is "
                    f"{found['size']}; leave --size out, or say with --grow how to get there"
                )
        options = {
            "placement": "--set placement=",
            "objective": "--objective ",
            "branch_scale": "--set branch_scale=",
        }
        for name, option in options.items():
            if asked.get(name, found[name]) != found[name]:
                raise ConfigError(
                    f"{option}{asked[name]}: the model of --start-from {self.folder} has "
                    f"{found[name]}; leave it out"
                )
        return found

    def start(self, study: StudyConfig, arm: str, tie: Tie) -> Start:
        """Return what an arm of ``study`` starts with. ConfigError for an impossible ``tie``."""
        if study.length > self.config.positions:
            raise ConfigError(
                f"--set length={study.length}: the model of --start-from {self.folder} has "
                f"{self.config.positions} positions"
            )
        depth, schedule = self.config.layers, study.schedule(arm)
        layout = schedule.start(depth).layout
        if schedule.equal_start:
            layout = Layout.tied(depth, schedule.unit)
        config = replace(self.config, dropout=study.dropout)
        if self.fitting is not None:
            small = untied_weights(self.model)
            return FittedStart(
                config=config,
                weights=small,
                digest=digest_of(self.model.config, small),
                layout=layout,
                tie=tie,
                small=self.model.config,
                fitting=self.fitting,
            )
        weights = {
            name: tensor
            for name, tensor in untied_weights(self.model).items()
            if not (self.headless and name.startswith(HEAD))
        }
        return Start(
            config=config,
            weights=weights,
            digest=digest_of(self.model.config, weights),
            layout=layout,
            tie=tie,
            layers=None if self.larger is None else self.model.config.layers,
        )


def tie_of(text: str) -> Tie:
    """Read "average" or the number of a layer. ConfigError for anything else."""
    if text == "average":
        return "average"
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ConfigError(f"--start-tie {text}: must be average, or the number of a layer, from 0")


def open_source(folder: Path, vocabulary_file: Path | None) -> Source:
    """Open a run folder (its newest checkpoint), an export or a Hugging Face folder.

    ``vocabulary_file`` is needed only where none lies with it. Raises ConfigError, DataError or
    CheckpointError, in one line: no such folder, another model than ours, a damaged file, another
    vocabulary than the model's.
    """
    if not folder.is_dir():
        raise ConfigError(f"--start-from {folder}: is no folder (a run, an export, a checkpoint)")
    if (folder / "checkpoints").is_dir():
        model, digest = load_run(folder, unfinished=True)
        return Source(folder, model.train(), find_vocabulary(folder, digest, vocabulary_file))
    given = None if vocabulary_file is None else load_vocabulary(vocabulary_file)
    try:
        found = load_pretrained(folder, head="fresh")
    except DataError:
        if given is None:
            raise
        found = load_pretrained(folder, head="fresh", tokenizer=False)
    vocabulary = found.vocabulary or given
    assert vocabulary is not None
    if given is not None and given.sha256 != vocabulary.sha256:
        raise ConfigError(
            f"--vocab {vocabulary_file}: is not the vocabulary of --start-from {folder}; leave "
            "--vocab out"
        )
    if vocabulary.size != found.config.vocabulary:
        raise ConfigError(
            f"--vocab {vocabulary_file}: has {vocabulary.size} tokens, the model of --start-from "
            f"{folder} has {found.config.vocabulary}"
        )
    return Source(folder, found.model, vocabulary, headless=bool(found.fresh))
