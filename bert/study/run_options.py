"""What the command line asks of one pre-training run, read and checked before anything is made."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bert.data.options import reading_of
from bert.data.text import Reading
from bert.model.start import Start
from bert.study.arms import REFERENCE, STUDIES, StudyConfig
from bert.study.growing import grown
from bert.study.language_study import LanguageStudy, asked_language
from bert.study.options import device_of, rivals_of, speed_of
from bert.study.staged import MSLT, built_up, decomposed_first, factored_stages
from bert.study.starting import Source, open_source, tie_of
from evidence.begun import OtherCode
from evidence.commands import joined, require_apart, settings_of
from swe.base.config import from_dict, require, to_dict
from swe.base.errors import ConfigError
from swe.ranks.distributed import require_launched
from swe.run.compatible import require_compatible
from swe.run.speed import SpeedConfig
from swe.sharing.placement import Mode
from swe.transforms.fitted import LEARNED
from swe.transforms.stage import Stage

FITTED = " or ".join(LEARNED)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    study: StudyConfig
    arm: str
    seed: int
    out: Path
    text: tuple[Path, ...]
    vocab: Path | None
    reading: Reading
    valid: tuple[Path, ...]
    cased: bool
    device: str
    parallel: Mode
    speed: SpeedConfig
    minutes: float | None
    """Of --max-minutes."""
    jobs: int
    other_code: OtherCode = "refuse"
    """What to do with the run when other code left it half done."""
    extend: bool = False
    """Whether a run of fewer updates is to go on to those of the study."""
    source: Source | None = None
    """The model to start from."""
    start: Start | None = None
    """What of it the arm starts with."""
    rivals: dict[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig beside those of the study."""

    @property
    def said(self) -> list[str]:
        """What is done to the model of --start-from, a line each."""
        if self.source is None or self.start is None:
            return []
        drawn = "has no language head; it is drawn" if self.source.headless else ""
        lines = (drawn, self.source.note, self.start.said)
        return [f"{self.source.folder}: {line}" for line in lines if line]


def options_of(given: argparse.Namespace) -> Options:
    """Return what was parsed as options of a run; ConfigError for impossible values."""
    named = {"size": given.size, "steps": given.steps, "objective": given.objective}
    settings = joined(named, settings_of(given.set))
    for name, option in (("arms", "--arm"), ("first_seed", "--seed")):
        if name in settings:
            raise ConfigError(f"--set {name}={settings[name]}: is said by {option}; leave it out")
    source = _source_of(given, settings)
    settings |= {} if source is None else source.settings(settings)
    settings["arms"] = list(dict.fromkeys((REFERENCE, given.arm)))
    if given.language is None:
        fields = to_dict(STUDIES[given.scale]) | settings | {"first_seed": given.seed}
        study = from_dict(StudyConfig, fields)
    else:
        require(not given.text, "--text", given.text, "left out with --language")
        require(not given.valid, "--valid", given.valid, "left out with --language")
        study = asked_language(given.language, given.scale, given.seed, settings)
    require_apart(given.out, [*given.text, *given.valid])
    device = device_of(given)
    foreign = isinstance(study, LanguageStudy) and study.encoder != "own"
    require(
        not (foreign and given.parallel == "fsdp"),
        "--parallel",
        given.parallel,
        "none or ddp with encoder=transformers",
    )
    speed = speed_of(given, device, adopted=foreign)
    speed.validate(given.parallel)
    rivals = rivals_of(given)
    if stages := _stages_of(given, study, source):
        dropped = given.grow == MSLT and "dropping" in rivals
        alone = "without --layer-drop, --progressive-layer-drop and --sub-models"
        require(not dropped, "--grow", MSLT, alone)
        rivals["stages"] = stages
    if rivals:
        config = replace(study.train_config(given.arm, given.seed), **rivals)
        require_compatible(study.shape(6).layers, config, speed, given.parallel)
    require_launched(given.parallel)
    return Options(
        study=study,
        arm=given.arm,
        seed=given.seed,
        out=given.out,
        text=tuple(given.text),
        vocab=given.vocab,
        reading=reading_of(given),
        valid=tuple(given.valid),
        cased=given.cased,
        device=device,
        parallel=given.parallel,
        speed=speed,
        minutes=given.max_minutes,
        jobs=given.jobs,
        other_code=given.other_code,
        extend=given.extend,
        source=source,
        rivals=rivals,
        start=None
        if source is None
        else source.start(study, given.arm, tie_of(given.start_tie or "average")),
    )


def _source_of(given: argparse.Namespace, settings: dict[str, Any]) -> Source | None:
    """Open the model of --start-from, grown or decomposed as asked; ConfigError for an option of
    it that cannot be, or that is there without it."""
    grow, steps = given.grow, given.fit_steps
    require(steps is None or grow in LEARNED, "--fit-steps", steps, f"with --grow {FITTED}")
    if given.start_from is None:
        require(grow is None, "--grow", grow, "with --start-from")
        require(given.start_tie is None, "--start-tie", given.start_tie, "with --start-from")
        return None
    require(given.language is None, "--start-from", given.start_from, "without --language")
    source = open_source(given.start_from, given.vocab)
    size = settings.get("size")
    if grow == MSLT:
        source = built_up(source, size, given.seed)
    elif grow is not None:
        source = grown(source, size, grow, given.seed, fit=steps, device=device_of(given))
    return source if given.core is None else decomposed_first(source, given.core)


def _stages_of(
    given: argparse.Namespace, study: StudyConfig, source: Source | None
) -> tuple[Stage, ...]:
    """Return the stages of a run that is built up or decomposed, () for any other; ConfigError
    for an arm, or pairs, that do not go with them."""
    stages = () if source is None else source.stages
    if given.core is not None and source is None:
        stages = factored_stages(study.shape(6), given.core)
    if stages:
        option = "--core" if given.core is not None else f"--grow {MSLT}"
        require(given.arm == REFERENCE, "--arm", given.arm, f"{REFERENCE} with {option}")
        paired = given.grow == MSLT and study.pairs != "none"
        require(not paired, "--set pairs", study.pairs, f"none with {option}")
    return stages
