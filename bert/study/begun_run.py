"""What a run folder was begun with against what is asked for now, in the words of the command line.

``RunFolder`` refuses another configuration by the name of its field, after the data were made. Here
the option is named, with both values and what to do, and before a store is built anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert.data.building import difference
from bert.data.vocab import Vocabulary
from bert.study.arms import Objective, StudyConfig
from bert.study.language_study import LanguageStudy
from swe.base.config import from_dict, one_line, to_dict
from swe.base.errors import ConfigError
from swe.base.files import read_json
from swe.run.extend import extended
from swe.run.run_config import TrainConfig

OPTIONS = {
    "train.steps": "--steps",
    "train.seed": "--seed",
    "train.schedule.kind": "--arm",
    "train.schedule.until": "--set tau",
    "train.schedule.interval": "--set check",
    "train.optimizer": "--set",
    "train.schedule": "--set",
    "train.dropping": "--layer-drop or --progressive-layer-drop",
    "train.similarity": "--similarity",
    "train.stages": "--grow mslt or --core",
    "train": "--set",
    "task.start.tie": "--start-tie",
    "task.start.grow.steps": "--fit-steps",
    "task.start.grow": "--grow",
    "task.start": "--start-from",
    "task.model.placement": "--set placement",
    "task.model.dropout": "--set dropout",
    "task.model.vocabulary": "--vocab",
    "task.model": "--size",
    "task.task": "--set pairs",
    "task.language.kind": "--language",
    "task.language": "--set language.",
    "task.data.length": "--set length",
    "task.data.documents": "--set documents",
    "task.data.vocabulary_sha256": "--vocab",
    "task.data.vocabulary_size": "--vocab",
    "task.data.valid_text": "--valid",
    "task.data.per_mille": "--per-mille of the store",
    "task.data": "--text",
    "task": "--set",
}
"""The option that decides a field of ``config.json``, by the longest name that begins the field's.
One that ends in "--set" or "." goes on with the field's own name."""
FIRST = ("steps", "schedule", "optimizer", "start", "model", "text", "vocabulary_sha256")
"""Fields compared before their neighbours, some of which follow from them."""


@dataclass(frozen=True)
class BegunRun:
    """A run folder that has a configuration."""

    folder: Path
    train: TrainConfig
    """As it is now, extensions included."""
    stored: Mapping[str, Any]
    """The content of config.json."""

    def asked(self, study: StudyConfig, arm: str, seed: int) -> TrainConfig:
        """Return what ``study`` asks for, with the updates and extensions that the run has."""
        lengths = [*self.train.extended_from, self.train.steps]
        config = replace(study, steps=lengths[0]).train_config(arm, seed)
        if config.precision == "auto":
            config = replace(config, precision=self.train.precision)
        for at, steps in zip(self.train.extended_at, lengths[1:], strict=True):
            config = extended(config, at, steps)
        return config

    def check_study(self, study: StudyConfig, arm: str, seed: int, *, extend: bool) -> None:
        """Compare all that is known before there are data. ConfigError names what differs."""
        have = self.train.steps
        if study.steps != have and not (extend and study.steps > have):
            more = f"--extend takes it on to {study.steps}; " if study.steps > have else ""
            raise ConfigError(
                f"{self.folder}: was begun with --steps {have}, now {study.steps}: {more}"
                f"--steps {have} goes on with it as it is, another --out begins anew"
            )
        self.check({"train": to_dict(self.asked(study, arm, seed))})
        if not isinstance(study, LanguageStudy):
            self._check_objective(study.objective)
            shape = study.shape(6).describe()
            del shape["vocabulary"]
            self.check(
                {
                    "task": {
                        **({} if "start" in self._task else {"model": shape}),
                        "rows": study.rows,
                        **({"whole_word": study.whole_word} if study.objective == "masked" else {}),
                        "validation_rows": study.validation_rows,
                        "data": {"length": study.length, "documents": study.documents},
                    }
                }
            )

    def _check_objective(self, now: Objective) -> None:
        """Compare the objective, from which other fields follow."""
        model = self._task.get("model")
        there = "causal" if isinstance(model, dict) and model.get("causal") else "masked"
        if there != now:
            raise ConfigError(
                f"{self.folder}: was begun with --objective {there}, now {now}: --objective "
                f"{there} goes on with it, another --out begins anew"
            )

    def check_text(self, text: Mapping[str, Any], valid: Mapping[str, Any] | None) -> None:
        """Compare the text, as its source describes it, before anything is made of it."""
        recorded = self._data
        if "text" in recorded:
            now = {**recorded, "text": dict(text), "valid_text": valid and dict(valid)}
            if changed := difference(now, dict(recorded)):
                raise ConfigError(
                    f"{self.folder}: was begun on another {changed}: the --text (and --valid) that "
                    "it was begun on goes on with it, another --out begins anew"
                )

    def check_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Compare the vocabulary, before a store is built with it."""
        self.check({"task": {"data": {"vocabulary_sha256": vocabulary.sha256}}})

    def check(self, here: Mapping[str, Any]) -> None:
        """Compare the fields of ``here``, and no others. ConfigError names one that differs."""
        found = _first(self.stored, json.loads(json.dumps(here)))
        if found is not None:
            field, there, now = found
            option, told = _option(field)
            if (
                option == "--vocab"
                or isinstance(there, dict | list)
                or isinstance(now, dict | list)
            ):
                values = f"another {option}"
            else:
                values = f"{told}{one_line(there, 60)}, now {one_line(now, 60)}"
            raise ConfigError(
                f"{self.folder}: was begun with {values}: {option} as it was goes on with it, "
                "another --out begins anew"
            )

    @property
    def _task(self) -> Mapping[str, Any]:
        task = self.stored.get("task")
        return task if isinstance(task, dict) else {}

    @property
    def _data(self) -> Mapping[str, Any]:
        data = self._task.get("data")
        return data if isinstance(data, dict) else {}


def begun_run(folder: Path) -> BegunRun | None:
    """Return the run in ``folder``; None where there is none, or its record cannot be read.

    The last is left to what opens the folder, which says so.
    """
    try:
        stored = read_json(folder / "config.json")
        return BegunRun(folder, from_dict(TrainConfig, stored["train"], where="train."), stored)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _first(
    there: Any, here: Any, where: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], Any, Any] | None:
    """Return (field, value there, value here) of the first difference in the fields of ``here``."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(here, key=lambda name: (name not in FIRST, name)):
            if found := _first(there.get(name), here[name], (*where, name)):
                return found
        return None
    return None if there == here else (where, there, here)


def _option(field: tuple[str, ...]) -> tuple[str, str]:
    """Return a field's option, and what is to stand before its value."""
    name = next(
        known for count in range(len(field), 0, -1) if (known := ".".join(field[:count])) in OPTIONS
    )
    option, own = OPTIONS[name], field[-1]
    if option == "--set":
        return f"--set {own}", f"--set {own}="
    if option.endswith("."):
        return option + own, f"{option}{own}="
    if name in ("task.data", "task.start", "task.model") or name.endswith(("interval", "task")):
        return option, f"another {option}: {own} "
    return option, option + ("=" if "--set" in option else " ")
