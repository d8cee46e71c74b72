"""Studies on languages of known truth: configuration at every scale, and the task of a run.

The arms are those of a table, each with its rate tuned on the same grid; only the rows of tokens
are a language's instead of a text's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from bert.languages.composition import Composition
from bert.languages.hierarchy import Hierarchy
from bert.languages.language import Language
from bert.languages.task import LanguageTask
from bert.study.arms import StudyConfig
from bert.study.stock_language import StockLanguageTask
from bert.study.table_arms import (
    Arm,
    always_shared,
    baseline,
    coarse_units,
    equal_start,
    possible,
    swe_a,
    swe_f,
    swe_m,
)
from bert.study.table_study import TableStudy, chosen_arms
from evidence.cells import LANGUAGE_SEEDS
from swe.base.config import LATER, from_dict, require, require_between, to_dict
from swe.run.run_config import TrainConfig

S = TypeVar("S", bound="LanguageStudy")
TEXT_ONLY = ("vocabulary", "length", "objective", "whole_word", "documents", "pairs")
"""Fields of a study that speak of text; a language says its own vocabulary and length."""


@dataclass(frozen=True, kw_only=True)
class LanguageStudy(TableStudy):
    """A table's runs on a language. ConfigError also for a field that speaks of text."""

    language: Language = field(default_factory=Composition)
    """The language, by its ``kind``."""
    encoder: Literal["own", "transformers"] = field(default="own", metadata=LATER)
    """Whose encoder: ours, or the one of transformers with that placement, its layers adopted."""
    initial_scale: float = field(default=1.0, metadata=LATER)
    """What the initial weights' deviation is multiplied by."""
    taus: tuple[float, ...] = ()
    """SWE-F at these fractions too, beside ``tau``."""
    longer: tuple[float, ...] = ()
    """Baselines at these multiples of the budget too: when do they get there?"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for plain in fields(StudyConfig):
            if plain.name in TEXT_ONLY:
                value = getattr(self, plain.name)
                require(value == plain.default, plain.name, value, "left out: it is of text alone")
        require(
            self.encoder in ("own", "transformers"), "encoder", self.encoder, "own or transformers"
        )
        build_language_task(self)
        for budget in self.longer:
            require_between("longer", budget, 0, 1000, open_low=True)

    @property
    def judged_from(self) -> int:
        """As the ledger judges it."""
        return LANGUAGE_SEEDS

    def arms_of(self, table: str) -> tuple[Arm, ...]:
        """Return the main arms, and whatever other taus and longer baselines are asked for."""
        arms = [
            baseline(),
            *(baseline(budget) for budget in self.longer),
            equal_start(self),
            *(swe_f(self, tau) for tau in self.taus),
            swe_f(self),
            swe_a(self),
            swe_m(self),
            always_shared(self),
            *(swe_f(self, unit=unit) for unit in coarse_units(self)),
        ]
        return possible(table, self, tuple(arms))

    def arm_config(self, arm: Arm, rate: float, seed: int) -> TrainConfig:
        """As for a table, evaluated twice as often: what is learnt comes in steps."""
        config = super().arm_config(arm, rate, seed)
        return replace(config, eval_interval=max(1, config.steps // 20))


def build_language_task(study: LanguageStudy) -> LanguageTask:
    """Return the task of every run of a study. ConfigError for a shape that does not fit."""
    kind = LanguageTask if study.encoder == "own" else StockLanguageTask
    return kind(
        study.shape(study.language.vocabulary),
        study.language,
        study.rows,
        study.validation_rows,
        study.initial_scale,
    )


_SMOKE = LanguageStudy(
    size="4x32",
    rows=8,
    steps=20,
    seeds=2,
    check=0.1,
    validation_rows=32,
    tau=0.4,
    rates=(1e-3, 3e-3),
    language=Composition(symbols=4, hops=2),
)
_SMALL = LanguageStudy(
    size="8x64",
    rows=64,
    steps=1600,
    seeds=5,
    check=0.01,
    validation_rows=256,
    tau=0.4,
    rates=(1e-3, 2e-3, 3e-3),
)
_DEMO = replace(
    _SMALL,
    size="6x32",
    steps=1000,
    seeds=2,
    warmup=0.05,
    tau=0.6,
    rates=(4e-3,),
    only=("equal-start", "swe-f"),
    language=Composition(symbols=6, hops=5),
)
LANGUAGE_SCALES: dict[str, dict[str, LanguageStudy]] = {
    # Seconds: shows that every part runs; its numbers mean nothing.
    "smoke": {
        "composition": _SMOKE,
        "hierarchy": replace(_SMOKE, language=Hierarchy(symbols=6, rules=2, depth=3)),
    },
    # Seconds a run, one rate for all arms, too few seeds for a verdict. Composition: the smallest
    # cell found with SWE-F below both controls on the seeds of the search, 100 to 102.
    "demo": {
        "composition": _DEMO,
        "hierarchy": replace(
            _DEMO,
            rows=32,
            steps=800,
            language=Hierarchy(symbols=8, rules=2, depth=3, hidden=0.25),
        ),
    },
    # Composition: 1.6 M tokens a run, two minutes each on one core; SWE-F unties after the tied
    # layers have learnt to hop. Hierarchy: 0.8 M tokens a run, a minute.
    "small": {
        "composition": _SMALL,
        "hierarchy": replace(_SMALL, size="12x64", rows=32, steps=1500, language=Hierarchy()),
    },
}
"""Studies by scale and language. Where it has several rates, every arm's is tuned."""
LANGUAGES = tuple(sorted(Language.kinds))
"""All languages, by kind."""


def demonstration(kind: str, scale: str, seed: int) -> LanguageStudy:
    """Return what the default run shows of a language: the demonstration, or its smoke test.

    ``scale`` is the run's; there is one demonstration for all but "smoke".
    """
    shown = LANGUAGE_SCALES["demo"][kind]
    if scale == "smoke":
        smoke = LANGUAGE_SCALES["smoke"][kind]
        shown = replace(smoke, only=shown.only, rates=smoke.rates[-1:])
    return replace(shown, first_seed=seed)


def asked_language(kind: str, scale: str, seed: int, settings: Mapping[str, Any]) -> LanguageStudy:
    """Return the study of a language at a scale with other settings, as :func:`changed`.

    ConfigError also for a scale or a language that there is not.
    """
    return changed(of_scale(LANGUAGE_SCALES, kind, scale, seed), settings)


def of_scale(scales: Mapping[str, Mapping[str, S]], kind: str, scale: str, seed: int) -> S:
    """Return a language's study of a scale. ConfigError for one that there is not."""
    require(scale in scales, "scale", scale, f"one of {', '.join(scales)}")
    require(kind in LANGUAGES, "language", kind, f"one of {', '.join(LANGUAGES)}")
    return replace(scales[scale][kind], first_seed=seed)


def changed(study: S, settings: Mapping[str, Any]) -> S:
    """Return a study with other settings.

    A setting ``language.NAME`` changes a field of the language, any other one of the study.
    ConfigError for impossible values, and for an arm that does not fit.
    """
    inner, outer = to_dict(study.language), to_dict(study)
    for name, value in settings.items():
        room, dot, rest = name.partition(".")
        if dot and room == "language":
            inner[rest] = value
        else:
            outer[name] = value
    found = from_dict(type(study), outer | {"language": inner})
    chosen_arms(found.language.kind, found)
    return found
