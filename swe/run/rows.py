"""What a run tells of its events and of the machine, as JSON-able data."""

from __future__ import annotations

from typing import Any

from swe.base.config import to_dict
from swe.run.engine import Engine
from swe.run.record import environment
from swe.run.saved_state import Outgrown
from swe.sharing.event import Event
from swe.sharing.statistics import finite_or_none
from swe.sharing.unshare import Moments
from swe.transforms.stage import Stage


def event_row(event: Event, moments: Moments) -> dict[str, Any]:
    """An untie, or a sham one."""
    return {
        "kind": "sham" if event.after == event.before else "unshare",
        "step": event.step,
        "before": str(event.before),
        "after": str(event.after),
        "groups": list(event.after.groups),
        "held_loss": event.loss,
        "moments": moments,
        "correlations": None
        if event.correlations is None
        else [finite_or_none(c) for c in event.correlations],
    }


def stage_row(
    step: int, stage: Stage, before: Outgrown, held: float, engine: Engine
) -> dict[str, Any]:
    """The end of ``stage``; ``engine`` has the next one's model, ``held`` is its loss."""
    return {
        "kind": "grow",
        "step": step,
        "growth": to_dict(stage.growth),
        "carry": stage.carry,
        "why_not": before.why_not,
        "held_loss_before": before.held_loss,
        "held_loss": held,
        "depth": engine.task.depth,
        "parameters": engine.parameters,
        **({"flops": before.flops} if before.flops else {}),
    }


def environment_of(engine: Engine) -> dict[str, Any]:
    """Where and how a run computes."""
    spread = {
        "parallel": engine.parallel.mode,
        "ranks": engine.world.size,
        "device_type": engine.device.type,
    }
    speed = to_dict(engine.speed) | {
        "attention": engine.attention,
        "attention_milliseconds": engine.attention_times,
    }
    del speed["measured_in"]
    return environment(engine.device) | spread | {"speed": speed}
