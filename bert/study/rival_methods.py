"""What each method of the comparison does to a run: fields of TrainConfig, by the method's name.

Who says what of it is in ``evidence.rivals``, under the same names; a new method is an entry there
and one here. A method's small models are stages of its own run (swe.transforms.stage), trained for
a share of its updates: a quarter to a third as progressive stacking does on BERT-base (12.5 and
30 %), a tenth where the source says "early". Where a method grows layers the small model has half
of them, where it grows units half the width, with heads as wide as the large one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bert.languages.task import LanguageTask
from bert.model.config import BertConfig
from bert.study.arms import StudyConfig
from bert.study.table_arms import units
from swe.base.config import require
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.transforms.growth import METHODS as GROWTHS
from swe.transforms.stage import Stage, ends_of

UNTIL = (0.125, 0.3)
"""Share of the updates after which small models have grown: of two stages, of the only one."""
EARLY = 0.1
"""The same for one early growth."""
MOST = 4
"""Times that G_stack multiplies the layers, at most (arXiv 2405.15319: 2 to 4)."""
Changes = dict[str, Any]


@dataclass(frozen=True)
class Room:
    """What a method has to fit: the large model, and the study's settings of schedules."""

    model: BertConfig
    study: StudyConfig
    steps: int
    """Updates of a baseline with the arm's budget, for intervals that are shares of a run."""


def costs(config: TrainConfig, task: LanguageTask) -> list[float]:
    """Return the FLOPs of each phase of a run, its own model's last, as the run's ledger counts.

    Probes of a schedule that looks at correlations are those of one that never unties: the most.
    """
    ends = [0, *ends_of(config.stages, config.steps), config.steps]
    tasks = [*(task.resized(stage.depth, stage.widths) for stage in config.stages), task]
    schedules = [*(stage.schedule for stage in config.stages), config.schedule]
    found = []
    for (first, end), one, schedule in zip(pairwise(ends), tasks, schedules, strict=True):
        state = schedule.start(one.depth)
        probes = sum(schedule.wants_correlations(state, step) for step in range(first, end))
        found.append(((end - first) * config.accumulation + probes) * one.flops_per_batch)
    return found


Costs = Callable[[TrainConfig, LanguageTask], list[float]]


@dataclass(frozen=True)
class Method:
    """``changes``: from the room to fields of TrainConfig. ConfigError where it has none.

    ``costs``: the FLOPs of each phase of its run; another function where more is to be charged
    (the updates of a fit) or less (layers that are dropped).
    """

    changes: Callable[[Room], Changes]
    costs: Costs = costs


def halvings(depth: int, most: int = 2) -> list[int]:
    """Return the depths that double up to ``depth``, ascending, ``most`` at most; [] when odd."""
    found: list[int] = []
    while len(found) < most and depth % 2 == 0 and depth > 1:
        depth //= 2
        found.insert(0, depth)
    return found


def _halves(room: Room, most: int = 1) -> list[int]:
    found = halvings(room.model.layers, most)
    require(bool(found), "layers", room.model.layers, "even, to be grown from half of them")
    return found


def _staged(method: str, depths: list[int], widths: dict[str, int], ends: list[float]) -> Changes:
    stages = tuple(
        Stage(until=end, depth=depth, widths=widths, growth=GROWTHS[method])
        for depth, end in zip(depths, ends, strict=True)
    )
    return {"stages": stages}


def _deeper(method: str, most: int = 1) -> Callable[[Room], Changes]:
    def changes(room: Room) -> Changes:
        depths = _halves(room, most)
        return _staged(method, depths, {}, list(UNTIL[-len(depths) :]))

    return changes


def _half_width(model: BertConfig) -> dict[str, int]:
    require(model.heads % 2 == 0, "heads", model.heads, "even, to be grown from half the width")
    return {
        "hidden": model.hidden // 2,
        "inner": model.intermediate // 2,
        "heads": model.heads // 2,
    }


def _wider(method: str, *, deeper: bool = False) -> Callable[[Room], Changes]:
    def changes(room: Room) -> Changes:
        depths = _halves(room) if deeper else [room.model.layers]
        return _staged(method, depths, _half_width(room.model), [UNTIL[-1]])

    return changes


def _stacked_early(room: Room) -> Changes:
    depth = room.model.layers
    times = [times for times in range(2, MOST + 1) if depth % times == 0]
    require(bool(times), "layers", depth, f"a multiple of 2 to {MOST}, to be stacked")
    return _staged("stacking", [depth // times[-1]], {}, [EARLY])


def _grow_share(room: Room) -> Changes:
    """One unit, stacked to full depth: its copies are alike, so that tying them changes nothing.

    It is untied where SWE-F is.
    """
    study = room.study
    schedule = SweFixed(unit=study.unit, until=study.tau)
    return _staged("stacking", [study.unit], {}, [EARLY]) | {"schedule": schedule}


def _adaptive(room: Room, kind: type[SweAdaptive] | type[SweMultistage]) -> Changes:
    study = room.study
    interval = max(1, round(study.check * room.steps))
    return {"schedule": kind(unit=study.unit, rho=study.rho, interval=interval)}


def _cycle(room: Room) -> Changes:
    found = [unit for unit in units(room.model.layers) if unit > 1]
    require(bool(found), "layers", room.model.layers, "a multiple, to be shared in a cycle")
    return {"schedule": AlwaysShared(unit=found[0])}


METHODS: dict[str, Method] = {
    "baseline": Method(lambda room: {"schedule": NeverShared()}),
    "equal-start": Method(lambda room: {"schedule": EqualStart(unit=room.study.unit)}),
    "swe-f": Method(
        lambda room: {"schedule": SweFixed(unit=room.study.unit, until=room.study.tau)}
    ),
    "swe-a": Method(lambda room: _adaptive(room, SweAdaptive)),
    "swe-m": Method(lambda room: _adaptive(room, SweMultistage)),
    "always-shared": Method(lambda room: {"schedule": AlwaysShared(unit=room.study.unit)}),
    "cycle": Method(_cycle),
    "stacking": Method(_deeper("stacking", most=2)),
    "g-stack": Method(_stacked_early),
    "interpolation": Method(_deeper("interpolation")),
    "identity": Method(_deeper("identity")),
    "net2net": Method(_wider("net2net")),
    "fpi": Method(_wider("fpi")),
    "aki": Method(_wider("aki")),
    "lemon": Method(_wider("lemon", deeper=True)),
    "grow-share": Method(_grow_share),
}
"""By name, the reference first. Net2Net, FPI and AKI grow the width alone, as their papers' own
tests of BERT do; LEMON grows both, as its does."""
