"""All methods at equal compute on a text: the study at every scale, and the task of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bert.pretraining.task import TextTask
from bert.study.comparison import StudyData, build_task, planned_task
from bert.study.rivals import MethodsStudy, in_cell
from bert.study.table_study import SCALES, chosen_arms
from evidence.rivals import ON_TEXT
from swe.base.config import from_dict, require, to_dict


@dataclass(frozen=True, kw_only=True)
class TextRivals(MethodsStudy):
    """All methods on a text, planned for a vocabulary of as many tokens as are asked for.

    It counts past the plateau alone (``evidence.plateau``). ConfigError also for pairs.
    """

    def __post_init__(self) -> None:
        require(self.pairs == "none", "pairs", self.pairs, "none: growth knows no second head")
        super().__post_init__()

    @property
    def subject(self) -> str:
        """A text."""
        return "text"

    @property
    def task(self) -> TextTask:
        """Task of the large model, without the text."""
        return _planned(self)


@lru_cache(maxsize=8)
def _planned(study: TextRivals) -> TextTask:
    return planned_task(study)


def build_text_rivals(study: TextRivals, data: StudyData) -> TextTask:
    """Return the task of every run of a study. ConfigError where its vocabulary has another size
    than was planned for."""
    task = build_task(study, data)
    size = task.vocabulary.size
    require(
        study.vocabulary == size,
        "vocabulary",
        study.vocabulary,
        f"{size}, as many tokens as the vocabulary has: FLOPs are planned with it",
    )
    return task


TEXT_SCALES: dict[str, TextRivals] = {
    "smoke": in_cell(
        TextRivals, SCALES["smoke"], rates=(4e-3,), only=("equal-start", "swe-f", "identity")
    ),
    # The cheapest cell of 12 layers that leaves the plateau (docs/bert.md); the arms that matter.
    "small": in_cell(
        TextRivals,
        SCALES["small"],
        vocabulary=512,
        length=8,
        rows=128,
        steps=1000,
        rates=(1e-3, 2e-3, 4e-3),
        seeds=3,
        only=(
            "equal-start",
            "swe-f",
            "always-shared",
            "stacking",
            "interpolation",
            "identity",
            "core",
            "grow-share",
        ),
    ),
}
"""Studies by scale."""


def asked_text_rivals(scale: str, seed: int, settings: Mapping[str, Any]) -> TextRivals:
    """Return the study of a scale with other settings. ConfigError for impossible values,
    and a shape that a method does not fit."""
    require(scale in TEXT_SCALES, "scale", scale, f"one of {', '.join(TEXT_SCALES)}")
    study = replace(TEXT_SCALES[scale], first_seed=seed)
    asked = from_dict(TextRivals, to_dict(study) | dict(settings))
    chosen_arms(ON_TEXT, asked)
    return asked
