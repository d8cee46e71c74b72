"""What each method of the comparison does to a run: fields of TrainConfig, by the method's name.

Who says what of it is in ``evidence.rivals``, under the same names; a new method is an entry there
and one here. A method's small models are stages of its own run (swe.transforms.stage), trained for
a share of its updates: a quarter to a third as progressive stacking does on BERT-base (12.5 and
30 %), a tenth where the source says "early". Where a method grows layers the small model has half
of them, where it grows units half the width, with heads as wide as the large one's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bert.model.config import BertConfig
from bert.study.arms import StudyConfig
from bert.study.table_arms import units
from swe.base.config import require
from swe.sharing.dropping import LayerDrop, ProgressiveLayerDrop
from swe.sharing.schedule import (
    AlwaysShared,
    CycleReversed,
    EqualStart,
    NeverShared,
    SequenceShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.submodels import SubmodelTraining
from swe.transforms.fitted import Fitted
from swe.transforms.growth import METHODS as GROWTHS
from swe.transforms.layerwise import layerwise_stages
from swe.transforms.same import MultiplyOut
from swe.transforms.stage import Stage

UNTIL = (0.125, 0.3)
"""Share of the updates after which small models have grown: of two stages, of the only one."""
EARLY = 0.1
"""The same for one early growth."""
MOST = 4
"""Times that G_stack multiplies the layers, at most (arXiv 2405.15319: 2 to 4)."""
LAYERWISE, JOINT = 3, 0.4
"""Stages in which MSLT builds the stack, and the share of the updates that then trains it all."""
SUBMODELS, SUBMODEL_SHARE = 4, 0.125
"""Sub-models that bert2BERT draws from, at most, and the share of the updates after the growth that
train them: three layers of twelve, for 5 of 40 epochs, as descriptions of arXiv 2110.07143 have its
best for BERT-base."""
FIT = 0.05
"""Updates of a fit, as a share of the run's: both papers fit for a hundred of some thousands."""
STRENGTH = 0.1
"""Of the similarity penalty; not tuned."""
Changes = dict[str, Any]


@dataclass(frozen=True)
class Room:
    """What a method has to fit: the large model, and the study's settings of schedules."""

    model: BertConfig
    study: StudyConfig
    steps: int
    """Updates of a baseline with the arm's budget, for intervals that are shares of a run."""


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


def _two_stages(room: Room) -> Changes:
    """AKI, then sub-models, then all."""
    depth = room.model.layers
    parts = [parts for parts in range(2, SUBMODELS + 1) if depth % parts == 0]
    require(bool(parts), "layers", depth, f"a multiple of 2 to {SUBMODELS}, to train sub-models")
    grown = UNTIL[-1]
    until = round(grown + SUBMODEL_SHARE * (1 - grown), 6)
    sampler = SubmodelTraining(layers=depth // parts[-1], begin=grown, until=until)
    return _wider("aki")(room) | {"dropping": sampler}


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


def _cycle_reversed(room: Room) -> Changes:
    """As many distinct layers as the cycle has, the last turn backwards."""
    return {"schedule": CycleReversed(unit=_cycle(room)["schedule"].unit)}


def _sequence(room: Room) -> Changes:
    """As many distinct layers as the cycle has."""
    return {"schedule": SequenceShared(distinct=_cycle(room)["schedule"].unit)}


def _layerwise(room: Room) -> Changes:
    most = min(LAYERWISE, room.model.layers)
    joint = max(1, round(JOINT * room.steps))
    stages = layerwise_stages(room.model.layers, most, room.steps, joint)
    return {"stages": tuple(replace(s, until=s.until / room.steps) for s in stages)}


def _factored(room: Room) -> Changes:
    """Products that cost half of what the layers' square matrices do."""
    model = room.model
    require(model.hidden % 4 == 0, "hidden", model.hidden, "a multiple of 4, to be factored")
    rank, growth = model.hidden // 4, MultiplyOut()
    return {"stages": (Stage(until=UNTIL[-1], depth=model.layers, rank=rank, growth=growth),)}


def _fitted(method: str) -> Callable[[Room], Changes]:
    def changes(room: Room) -> Changes:
        growth = Fitted(method=method, steps=max(1, round(FIT * room.steps)))
        small = _half_width(room.model)
        [depth] = _halves(room)
        return {"stages": (Stage(until=UNTIL[-1], depth=depth, widths=small, growth=growth),)}

    return changes


METHODS: dict[str, Callable[[Room], Changes]] = {
    "baseline": lambda room: {"schedule": NeverShared()},
    "equal-start": lambda room: {"schedule": EqualStart(unit=room.study.unit)},
    "swe-f": lambda room: {"schedule": SweFixed(unit=room.study.unit, until=room.study.tau)},
    "swe-a": lambda room: _adaptive(room, SweAdaptive),
    "swe-m": lambda room: _adaptive(room, SweMultistage),
    "always-shared": lambda room: {"schedule": AlwaysShared(unit=room.study.unit)},
    "cycle": _cycle,
    "cycle-rev": _cycle_reversed,
    "sequence": _sequence,
    "similarity": lambda room: {"similarity": LayerSimilarity(strength=STRENGTH)},
    "layer-drop": lambda room: {"dropping": LayerDrop()},
    "progressive-drop": lambda room: {"dropping": ProgressiveLayerDrop()},
    "stacking": _deeper("stacking", most=2),
    "g-stack": _stacked_early,
    "interpolation": _deeper("interpolation"),
    "mslt": _layerwise,
    "identity": _deeper("identity"),
    "net2net": _wider("net2net"),
    "fpi": _wider("fpi"),
    "aki": _wider("aki"),
    "aki-two-stage": _two_stages,
    "lemon": _wider("lemon", deeper=True),
    "ligo": _fitted("ligo"),
    "mango": _fitted("mango"),
    "core": _factored,
    "grow-share": _grow_share,
}
"""From the room to fields of TrainConfig, by name, the reference first; ConfigError where a method
has no room. Net2Net, FPI and AKI grow the width alone, as their papers' own tests of BERT do; LEMON
grows both, as its does, and so do LiGO and Mango. "aki" is the initialisation alone,
"aki-two-stage" has the sub-models that bert2BERT trains behind it, too."""
OF_ONE_MODEL = ("mslt", "core")
"""Methods whose stages are the method itself: no smaller model that might be there already."""
