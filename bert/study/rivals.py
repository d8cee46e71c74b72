"""The comparison of all methods: every one at the same compute, tuned by the same number of runs.

An arm is a method at a budget, in multiples of the baseline's FLOPs. Its updates are the most whose
FLOPs, by the ledger of its run (all stages, and the probes of schedules that look), do not exceed
the budget; what is left over is less than an update and the probes that a schedule did not make,
and the table states it. A method that trains a smaller model first has two arms: the source
charged, its FLOPs within the budget, and not charged, the same source before a large phase that
has the whole budget.

First all methods at one budget; then the best of them (:func:`best`) at several.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from bert.languages.task import LanguageTask
from bert.model.config import BertConfig
from bert.model.prediction import TokenPrediction
from bert.study.beginning import Beginning, beginning
from bert.study.language_study import (
    LANGUAGE_SCALES,
    LANGUAGES,
    LanguageStudy,
    build_language_task,
    changed,
    of_scale,
)
from bert.study.rival_costs import costs, planned
from bert.study.rival_ledger import ledger
from bert.study.rival_methods import METHODS, OF_ONE_MODEL, Room
from bert.study.table_arms import REFERENCE, Arm, depth, possible
from bert.study.table_study import TableStudy
from evidence.rivals import RIVALS
from swe.base.config import require, require_between, require_count
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import NeverShared
from swe.transforms.stage import Stage, ends_of

PREFIX = RIVALS[0].partition("-")[0] + "-"
"""Of a table's name, before the language's."""
UNCHARGED = "uncharged"
"""Last word of the name of an arm whose source is not charged."""
M = TypeVar("M", bound="MethodsStudy")
BEST = 6
"""Arms that are run at several budgets, the baseline and SWE-F among them."""
ALWAYS = (REFERENCE, "swe-f")


@dataclass(frozen=True, kw_only=True)
class RivalArm(Arm):
    """A method at a budget."""

    method: str
    charged: bool | None
    """Whether its source is within the budget; None without a source."""
    updates: int
    stages: tuple[Stage, ...] = field(default=(), hash=False)
    more: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Other fields of TrainConfig than schedule and stages."""

    def steps(self, study: Any) -> int:
        """Return the arm's updates."""
        return self.updates

    def worth(self, study: Any) -> float:
        """Return the updates of the large model that cost as much."""
        costs = study.costs_of(self)
        return float(sum(costs)) / float(study.update_flops)


@dataclass(frozen=True, kw_only=True)
class MethodsStudy(TableStudy, ABC):
    """All methods on one kind of task. ConfigError for a shape that a method does not fit."""

    heads: int = 2
    """Attention heads, even: a model of half the width has half of them, as wide."""
    budgets: tuple[float, ...] = (1.0,)
    """Multiples of ``steps`` baseline updates, in FLOPs, ascending, 1 among them: all methods run
    at 1, those of ``best`` at the others."""
    best: tuple[str, ...] = ()
    """Arms that run at budgets other than 1, besides the baseline."""

    def __post_init__(self) -> None:
        require_count("heads", self.heads)
        require(1.0 in self.budgets, "budgets", self.budgets, "a list with 1")
        ascending = list(self.budgets) == sorted(set(self.budgets))
        require(ascending, "budgets", self.budgets, "ascending")
        for budget in self.budgets:
            require_between("budgets", budget, 0, 1000, open_low=True)
        for name in self.only:
            require(name in METHODS, "only", name, f"of {', '.join(METHODS)}")
        super().__post_init__()

    @property
    @abstractmethod
    def subject(self) -> str:
        """What the methods are compared on: the end of the table's name."""

    @property
    @abstractmethod
    def task(self) -> TokenPrediction:
        """Task of the large model; it may lack the data, its costs are those of the runs."""

    def shape(self, vocabulary: int) -> BertConfig:
        """Return the large model's shape."""
        return replace(super().shape(vocabulary), heads=self.heads)

    @property
    def update_flops(self) -> float:
        """FLOPs of an update of the large model."""
        return self.accumulation * self.task.flops_per_batch

    def arms_of(self, table: str) -> tuple[Arm, ...]:
        """Return every method at budget 1, source charged and not, then the others' budgets."""
        return _arms_of(self, table)

    def changes(self, method: str, budget: float) -> dict[str, Any]:
        """Return what a method changes in a run of as many updates as the baseline has."""
        steps = max(1, round(budget * self.steps))
        room = Room(self.task.config, self, steps)
        return {"schedule": NeverShared()} | METHODS[method](room)

    def costs_of(self, arm: RivalArm) -> list[float]:
        """Return the FLOPs of each phase of an arm's run, at most, its own model's last."""
        config = self.arm_config(arm, self.rates[0], self.first_seed)
        return costs(config, self.task)

    def arm_config(self, arm: Arm, rate: float, seed: int) -> TrainConfig:
        """As for a table, without probes for show: they would cost FLOPs of the budget.

        Evaluated and saved less often: what is compared is the end, of runs of half a minute.
        """
        assert isinstance(arm, RivalArm)
        config = super().arm_config(arm, rate, seed)
        less = replace(
            config,
            probe_interval=0,
            split_probes=False,
            eval_interval=max(1, config.steps // 10),
            checkpoint_interval=max(1, config.steps // 2),
        )
        return replace(less, stages=arm.stages, **arm.more)

    def keeps(self, arm: Arm) -> bool:
        """As for a table, by the methods' names: whether its source is charged or not, and at every
        budget."""
        assert isinstance(arm, RivalArm)
        return not self.only or arm.method in (REFERENCE, *self.only)

    def has_speedup(self, table: str) -> bool:
        """Always: the baselines' budgets are what it is read off."""
        return True

    def beginning(self, arm: Arm) -> Beginning:
        """As for a table, at what the phases cost; nothing is foretold of a method that does more
        than grow and tie."""
        assert isinstance(arm, RivalArm)
        ends = [0, *ends_of(arm.stages, arm.updates), arm.updates]
        prices = tuple(
            flops / (end - first) / self.update_flops
            for flops, (first, end) in zip(self.costs_of(arm), pairwise(ends), strict=True)
        )
        found = beginning(
            arm.schedule, depth(self), arm.updates, arm.stages, prices, self.branch_scale
        )
        if arm.more:
            return replace(found, drawn=None)
        return found if arm.stages else replace(found, reach=self.reach(arm))

    def beside(
        self, arms: Sequence[Arm], rows: Mapping[str, dict[str, Any]], out: Path
    ) -> dict[str, Any]:
        """Add to every arm's row what it is and cost; return the seconds of an update."""
        flops = self.steps * self.update_flops
        for arm in arms:
            assert isinstance(arm, RivalArm)
            rows[arm.name] |= {
                "method": arm.method,
                "charged": arm.charged,
                "updates": arm.updates,
                "phase_flops": self.costs_of(arm),
                "budget_flops": arm.budget * flops,
            }
        return ledger(rows, out)


@dataclass(frozen=True, kw_only=True)
class RivalsStudy(MethodsStudy, LanguageStudy):
    """All methods on a language. ConfigError as of a language's study, too."""

    def __post_init__(self) -> None:
        require(self.encoder == "own", "encoder", self.encoder, "own: no other comes in two sizes")
        for name in ("taus", "longer"):
            require(not getattr(self, name), name, getattr(self, name), "left out; see budgets")
        super().__post_init__()

    @property
    def subject(self) -> str:
        """The language."""
        return self.language.kind

    @property
    def task(self) -> LanguageTask:
        """Task of the large model."""
        return build_language_task(self)


@lru_cache(maxsize=8)
def _arms_of(study: MethodsStudy, table: str) -> tuple[Arm, ...]:
    wanted = [name for name in METHODS if not study.only or name in (REFERENCE, *study.only)]
    one = [arm for name in wanted for arm in _both(study, name, 1.0)]
    for name in study.best:
        require(name in METHODS, "best", name, f"of {', '.join(METHODS)}")
    more = [
        replace(_both(study, name, budget)[0], name=f"{name} x{budget:g}")
        for name in dict.fromkeys((REFERENCE, *study.best))
        for budget in study.budgets
        if budget != 1
    ]
    return possible(table, study, (*one, *more))


def _both(study: MethodsStudy, method: str, budget: float) -> list[RivalArm]:
    """Return a method's arm at a budget, and where it has a source the one not charged with it."""
    flops, changes = budget * study.steps * study.update_flops, study.changes(method, budget)
    own = study.train_config(REFERENCE, study.first_seed)
    # Intervals of what is logged play no part.
    config = replace(own, steps=max(1, round(budget * study.steps)), probe_interval=0, **changes)
    task = study.task

    def updates(config: TrainConfig, of: Callable[[list[float]], float]) -> int:
        spent = planned(config, task)
        what = f"{method} at budget {budget:g}"
        return most(lambda steps: of(spent(steps)), flops, config.steps, what)

    charged = updates(config, sum)
    stages = () if method in OF_ONE_MODEL else config.stages
    arm = RivalArm(
        name=method,
        schedule=changes.pop("schedule"),
        budget=budget,
        method=method,
        charged=True if stages else None,
        updates=charged,
        stages=changes.pop("stages", ()),
        more=changes,
    )
    if not stages:
        return [arm]
    # The same source, to the update; the large phase alone has the budget.
    fixed = zip(stages, ends_of(stages, charged), strict=True)
    stages = tuple(replace(stage, until=end) for stage, end in fixed)
    if config.dropping is not None:  # likewise: what it does follows the source
        changes = changes | {"dropping": config.dropping.pinned(charged)}
    large = replace(config, steps=charged, stages=stages, dropping=changes.get("dropping"))
    free = updates(large, lambda parts: parts[-1])
    name = f"{method} {UNCHARGED}"
    return [arm, replace(arm, name=name, charged=False, updates=free, stages=stages, more=changes)]


def most(spent: Callable[[int], float], flops: float, steps: int, what: str) -> int:
    """Return the most updates whose cost, which grows with them, is within ``flops``.

    ``steps``: where to begin. ConfigError where half as many cost more, as there is no room.
    """
    within = flops * (1 + 1e-12)  # a sum of phases rounds otherwise than their product
    low = max(1, (steps + 1) // 2)
    room = spent(low) <= within
    require(room, "steps", steps, f"more: {what} has no room for half of its updates")
    high = 2 * low
    while spent(high) <= within:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if spent(middle) <= within else (low, middle)
    return low


def build_rivals_task(study: RivalsStudy) -> LanguageTask:
    """Return the task of every run of a study: the large model's."""
    return build_language_task(study)


def best(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arms that go on to other budgets: BEST of those that have run at budget 1.

    The baseline and SWE-F, then those of least mean final loss, of equals the first. Fixed before
    any run: controls and arms whose source is not charged are not among them, since neither is a
    way to spend a budget; where an arm was left out, fewer go on.
    """
    arms = table["arms"]
    able = [
        name
        for name in table["order"]
        if "loss" in arms[name]
        and arms[name]["budget"] == 1
        and arms[name]["charged"] is not False
        and name not in (*ALWAYS, "equal-start")
    ]
    able.sort(key=lambda name: arms[name]["loss"]["mean"])
    there = [name for name in ALWAYS if name in table["order"]]
    return (*there, *able[: BEST - len(ALWAYS)])


def in_cell(kind: type[M], study: TableStudy, **changes: Any) -> M:
    """Return the study of all methods, of a kind, in the cell of another study."""
    own = {one.name: getattr(study, one.name) for one in fields(study)}
    return kind(**(own | {"only": ()} | changes))


def _smoke(kind: str) -> RivalsStudy:
    cell = LANGUAGE_SCALES["smoke"][kind]
    return in_cell(RivalsStudy, cell, rates=(4e-3,), validation_rows=16)


def _small(kind: str) -> RivalsStudy:
    tuned: dict[str, Any] = {"rates": (2e-3, 4e-3, 8e-3), "tuning_seeds": 3, "finalists": 2}
    return in_cell(RivalsStudy, LANGUAGE_SCALES["demo"][kind], seeds=5, check=0.04, **tuned)


RIVAL_SCALES: dict[str, dict[str, RivalsStudy]] = {
    # Two minutes: shows that every part runs; its numbers mean nothing, and one rate is not tuned.
    "smoke": {kind: _smoke(kind) for kind in LANGUAGES},
    # The demonstration's cells but for two heads of 16 instead of one of 32, half a minute a run:
    # where sharing wins, and where it does not.
    "small": {kind: _small(kind) for kind in LANGUAGES},
}
"""Studies by scale and language."""


def asked_rivals(kind: str, scale: str, seed: int, settings: Mapping[str, Any]) -> RivalsStudy:
    """Return the study of a language at a scale with other settings. ConfigError as
    :func:`bert.study.language_study.asked_language`."""
    return changed(of_scale(RIVAL_SCALES, kind, scale, seed), settings)
