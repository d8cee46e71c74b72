"""Studies as a command line asks for them, and what of their settings names a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert.study.arms import STUDIES, StudyConfig
from bert.study.language_study import LANGUAGES
from bert.study.rivals import MethodsStudy, asked_rivals
from bert.study.table_study import TableStudy, chosen_arms, table_study
from bert.study.text_rivals import asked_text_rivals
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError

GROWING = (
    "arms",
    "only",
    "seeds",
    "rates",
    "tuning_seeds",
    "finalists",
    "peak_lr",
    "taus",
    "longer",
    "budgets",
    "best",
)
"""Fields of a study that add runs, or choose among them, and change none."""

LISTS = ("arms", "only", "rates", "taus", "longer", "budgets", "best")
"""Fields of a study with several values."""


def asked_study(
    scale: str, seed: int, settings: Mapping[str, Any], text: Sequence[Path]
) -> StudyConfig:
    """Return the study of a scale with other settings. ConfigError for impossible values."""
    _require_text(scale, text)
    return study_of(scale, seed, settings)


def study_of(scale: str, seed: int, settings: Mapping[str, Any]) -> StudyConfig:
    """Return the study as :func:`asked_study`, without a text: to be planned, not run."""
    study = replace(STUDIES[scale], first_seed=seed)
    return from_dict(StudyConfig, to_dict(study) | dict(settings))


def asked_table(
    table: str, scale: str, seed: int, settings: Mapping[str, Any], text: Sequence[Path]
) -> TableStudy:
    """Return a table's study of a scale, as :func:`asked_study`."""
    _require_text(scale, text)
    return table_of(table, scale, seed, settings)


def table_of(table: str, scale: str, seed: int, settings: Mapping[str, Any]) -> TableStudy:
    """Return a table's study as :func:`asked_table`, without a text."""
    study = replace(table_study(table, scale), first_seed=seed)
    changed = from_dict(TableStudy, to_dict(study) | dict(settings))
    chosen_arms(table, changed)
    return changed


def asked_methods(
    kinds: Sequence[str], scale: str, seed: int, settings: Mapping[str, Any], text: Sequence[Path]
) -> list[MethodsStudy]:
    """Return the studies of all methods: of the languages named, or where none is, of the text
    that is given, of all languages without one. ConfigError for impossible values."""
    if text and not kinds:
        return [asked_text_rivals(scale, seed, settings)]
    return [asked_rivals(kind, scale, seed, settings) for kind in dict.fromkeys(kinds or LANGUAGES)]


def _require_text(scale: str, text: Sequence[Path]) -> None:
    if scale in ("gpu", "full") and not text:
        raise ConfigError(f"--text = nothing: must be given at scale {scale} (gigabytes of it)")


def shared_settings(study: TableStudy) -> dict[str, Any]:
    """Return what all runs of a study have in common: its folder's name, and which tables share.

    Seeds, arms and rates may grow.
    """
    return {name: v for name, v in to_dict(study).items() if name not in GROWING}
