"""Configuration of the paper's tables at every scale: the study, the grid of rates, the arms.

Every arm's rate is tuned on the same grid, with seeds that the headline does not use; a grid of one
rate (scale ``full``: the paper gives one) leaves the tuning out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert.study.arms import StudyConfig
from bert.study.beginning import Beginning, beginning
from bert.study.stream import log_reach
from bert.study.table_arms import REFERENCE, Arm, depth, is_baseline, table_arms
from swe.base.config import require, require_between, require_count
from swe.base.errors import ConfigError
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig

FIRST_TUNING_SEED = 1_000_000
"""Tuning seeds count from here, far from any headline's."""


@dataclass(frozen=True, kw_only=True)
class TableStudy(StudyConfig):
    """A table's runs. ``steps`` is the budget of the arms (the paper's 500k, "50 % of the time");
    ``arms`` and ``peak_lr`` of the plain study are not used."""

    rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    """Peak learning rates tried for every arm, ascending."""
    tuning_seeds: int = 1
    """Runs per arm and rate that choose the rate."""
    finalists: int = 0
    """Rates that the second and later tuning seeds try, an arm's best with the first; 0: all."""
    only: tuple[str, ...] = ()
    """Arms to run of those that the table has, besides the baseline; () for all."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.rates) > 0, "rates", self.rates, "at least one rate")
        for rate in self.rates:
            require_between("rates", rate, 0, 10, open_low=True)
        require(list(self.rates) == sorted(set(self.rates)), "rates", self.rates, "ascending")
        require_count("tuning_seeds", self.tuning_seeds)
        require_between("finalists", self.finalists, 0, len(self.rates))
        require(
            self.first_seed + self.seeds < FIRST_TUNING_SEED,
            "first_seed",
            self.first_seed,
            f"so that all seeds are below {FIRST_TUNING_SEED}",
        )

    @property
    def headline_seeds(self) -> range:
        """Seeds of the table itself, paired over arms."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def tuning(self) -> range:
        """Seeds that choose the rates; empty when there is nothing to choose."""
        count = self.tuning_seeds if len(self.rates) > 1 else 0
        first = FIRST_TUNING_SEED + self.first_seed
        return range(first, first + count)

    @property
    def trials(self) -> int:
        """Tuning runs of every arm: as many for each."""
        later = self.finalists or len(self.rates)
        return len(self.rates) + later * (len(self.tuning) - 1) if self.tuning else 0

    @property
    def judged_from(self) -> int:
        """Paired seeds below which the table is a demonstration without verdicts."""
        return 1

    def arms_of(self, table: str) -> tuple[Arm, ...]:
        """Return the arms of a table, the reference first."""
        return table_arms(table, self)

    def keeps(self, arm: Arm) -> bool:
        """Whether an arm of the table is to be run, by ``only``."""
        return not self.only or arm.name in (REFERENCE, *self.only)

    def has_speedup(self, table: str) -> bool:
        """Whether the table says which budget of the baseline ends at an arm's loss."""
        return table == "speedup"

    def beginning(self, arm: Arm) -> Beginning:
        """Return how an arm begins, so that ``bert.study.leaving`` foretells when it leaves a
        plateau."""
        found = beginning(arm.schedule, depth(self), arm.steps(self), scale=self.branch_scale)
        return replace(found, reach=self.reach(arm))

    def reach(self, arm: Arm) -> float | None:
        """Return what ``Beginning.reach`` is of an arm that begins with the study's own model."""
        shape = self.shape(self.vocabulary)
        return log_reach(shape, arm.schedule, self.headline_seeds, self.length)

    def beside(
        self, arms: Sequence[Arm], rows: Mapping[str, dict[str, Any]], out: Path
    ) -> dict[str, Any]:
        """Return what a table of the study's kind holds beside its arms, whose ``rows`` it may add
        to; its runs are in ``out``."""
        return {}

    def arm_config(self, arm: Arm, rate: float, seed: int) -> TrainConfig:
        """Return the training configuration of one run of an arm."""
        steps = arm.steps(self)
        plain = self.train_config("baseline", seed)
        return replace(
            plain,
            steps=steps,
            schedule=arm.schedule,
            convention=arm.convention,
            moments=arm.moments,
            optimizer=OptimizerConfig(peak_lr=rate, warmup=self.warmup),
            log_interval=max(1, steps // 100),
            eval_interval=max(1, steps // 10),
            probe_interval=max(1, steps // 20),
            split_probes=True,
        )


def chosen_arms(table: str, study: TableStudy) -> tuple[Arm, ...]:
    """Return the table's arms, or those of them that ``study.only`` names and the reference, of
    the table that reads budgets off it at all of its budgets.

    Raises ConfigError for a name that the table does not have.
    """
    arms = study.arms_of(table)
    names = [arm.name for arm in arms]
    for name in study.only:
        require(name in names, "only", name, f"of {table}'s {', '.join(names)}")
    budgets = study.has_speedup(table)
    return tuple(arm for arm in arms if study.keeps(arm) or (budgets and is_baseline(arm.name)))


def best_rates(losses: dict[float, float]) -> list[float]:
    """Return the rates from the least loss up, of equals the smaller rate first."""
    return sorted(sorted(losses), key=lambda rate: losses[rate])


def best_rate(losses: dict[float, list[float]]) -> tuple[float, bool]:
    """Return the rate with the least mean loss, and whether it lies at an end of a real grid.

    ``losses``: {rate: final loss of each tuning run, inf where it diverged}; only rates with the
    most runs are chosen from. Raises ConfigError when every one of them diverged.
    """
    most = max(len(values) for values in losses.values())
    means = {
        rate: math.fsum(values) / most for rate, values in losses.items() if len(values) == most
    }
    rate = best_rates(means)[0]
    if not math.isfinite(means[rate]):
        raise ConfigError(f"rates = {sorted(means)}: must hold one at which no tuning run diverges")
    return rate, len(losses) > 1 and rate in (min(losses), max(losses))


_GPU = TableStudy(
    size="24x256",
    dropout=0.0,
    vocabulary=30522,
    length=128,
    rows=256,
    steps=6000,
    seeds=3,
    rates=(5e-4, 1e-3, 2e-3),
    check=0.01,
    validation_rows=4096,
    precision="bfloat16",
)
_FULL = TableStudy(
    size="large",
    dropout=0.1,
    vocabulary=30522,
    length=512,
    rows=32,
    accumulation=16,
    steps=500_000,
    seeds=1,
    rates=(3e-4,),
    warmup=0.02,
    tau=0.1,
    check=0.002,
    validation_rows=2048,
    precision="bfloat16",
)
SCALES: dict[str, TableStudy] = {
    # Two minutes: shows that every part runs; its numbers mean nothing.
    "smoke": TableStudy(
        size="4x32",
        vocabulary=512,
        length=32,
        rows=4,
        steps=20,
        seeds=2,
        check=0.1,
        validation_rows=32,
        rates=(2e-3, 4e-3),
    ),
    # An evening of two cores: 12 layers of width 64 on 1.5 M tokens an arm, five paired seeds.
    "small": TableStudy(
        size="12x64",
        vocabulary=4096,
        length=64,
        rows=8,
        steps=3000,
        seeds=5,
        rates=(1e-3, 2e-3, 4e-3, 8e-3),
        validation_rows=512,
    ),
    # One large GPU, minutes a run: 27 M parameters on 0.2 G tokens an arm.
    "gpu": _GPU,
    # The paper's own setting (section 5): Wikipedia + BookCorpus, Pre-LN, 512 x 512 tokens.
    "full": _FULL,
}
"""Studies by scale; ``table_study`` adapts them to the table."""


def table_study(table: str, scale: str) -> TableStudy:
    """Return the study of a table at a scale. Table 2 is Post-LN, whole words (full: 1M, 1e-4)."""
    require(scale in SCALES, "scale", scale, f"one of {', '.join(SCALES)}")
    study = SCALES[scale]
    if table == "table2":
        study = replace(study, placement="post", whole_word=True)
        if scale == "full":
            study = replace(study, steps=1_000_000, rates=(1e-4,), warmup=0.01, tau=0.05)
    table_arms(table, study)
    return study
