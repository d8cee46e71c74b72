"""Configurations fail by name and range, and survive JSON unchanged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pytest

from swe.base.config import Tagged, from_dict, to_dict
from swe.base.errors import ConfigError
from swe.run.optimizer import OptimizerConfig
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import SweMultistage


def test_round_trip_through_json() -> None:
    config = TrainConfig(
        steps=100,
        seed=3,
        schedule=SweMultistage(rho=0.3, interval=10),
        optimizer=OptimizerConfig(peak_lr=1e-3, warmup=5, clip_norm=None),
    )
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"steps": 10, "stepz": 3}, r"stepz = 3: must be absent; known: \["),
        ({}, r"steps = None: must be given"),
        ({"steps": 0}, r"steps = 0: must be an integer, at least 1"),
        ({"steps": "10"}, r"steps = '10': must be of type int"),
        ({"steps": True}, r"steps = True: must be of type int"),
        ({"steps": 10, "seed": -1}, r"seed = -1: must be an integer, at least 0"),
        ({"steps": 10, "moments": "keep"}, r"moments = 'keep': must be one of copy, reset"),
        ({"steps": 10, "schedule": {"kind": "swe-x"}}, r"schedule.kind = 'swe-x': must be one of"),
        ({"steps": 10, "schedule": {"kind": "swe-f", "tau": 3}}, r"schedule.tau = 3: must be abs"),
        ({"steps": 10, "optimizer": {"peak_lr": 0.0}}, r"peak_lr = 0.0: must be in \(0, 10\]"),
        ({"steps": 10, "optimizer": {"beta2": 1.0}}, r"beta2 = 1.0: must be in \[0, 1\)"),
        ({"steps": 10, "optimizer": {"warmup": 10}}, r"warmup = 10: must be shorter than the run"),
        ({"steps": 10, "optimizer": {"clip_norm": float("nan")}}, r"clip_norm = nan"),
    ],
)
def test_bad_values_are_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(TrainConfig, data)


def test_learning_rate_written_out() -> None:
    """Ten updates, two of warm-up: up by halves, then down by eighths of the peak."""
    config = OptimizerConfig(peak_lr=1.0, warmup=2)
    rates = [config.learning_rate(step, 10) for step in range(10)]
    assert rates == [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]


class Shape(Tagged):
    """A union."""


class Round(Shape):
    """No kind of its own."""


@dataclass(frozen=True, kw_only=True)
class Disc(Round):
    kind: ClassVar[str] = "disc"
    radius: float = 1.0


class Colour(Tagged):
    """Another union."""


def test_kinds_are_of_their_own_union_alone() -> None:
    assert Shape.kinds == {"disc": Disc}
    assert Colour.kinds == {}
    assert not hasattr(Tagged, "kinds")


def test_subclass_without_kind_of_its_own_is_none() -> None:
    class Wide(Disc):
        """Inherits its kind's name, which stays the other's."""

    assert (Wide.kind, Shape.kinds) == ("disc", {"disc": Disc})
    assert from_dict(cast(Any, Shape), {"kind": "disc", "radius": 2}) == Disc(radius=2.0)
    with pytest.raises(ConfigError, match=r"kind = 'square': must be one of disc"):
        from_dict(cast(Any, Shape), {"kind": "square"})
