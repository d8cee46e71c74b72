"""What a study would take, before it is paid for: runs, tokens, FLOP, hours, memory, bytes sent.

The verb ``plan`` of ``paper_repro.py``. Speed comes from a throughput record or from the user,
everything else from the study's own settings and ``bert.study.plan_model``. Every run is on all
GPUs, one after another, whole weights on each (DistributedDataParallel).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bert.data.masking import masked_per_row
from bert.model.config import BertConfig
from bert.study.arms import StudyConfig
from bert.study.asked import shared_settings, study_of, table_of
from bert.study.plan_model import (
    Bounds,
    Phases,
    gradient_bytes,
    memory,
    ring_seconds,
    update_seconds,
)
from bert.study.plan_speed import Speed, given_speed, recorded_speed, runs_on_record
from bert.study.table_arms import TABLES
from bert.study.table_study import chosen_arms
from swe.base.config import require
from swe.base.files import json_digest
from swe.sharing.layout import Layout
from swe.sharing.schedule import Schedule, SweFixed

VERBS = ("bert", *TABLES)
"""What can be planned."""


@dataclass(frozen=True)
class Machine:
    """On what to plan: as the command line has it."""

    on: str | None
    """Part of a device's name on record; None with ``tokens_per_second``."""
    tokens_per_second: float | None
    """Of one GPU; None with ``on``."""
    gpus: int
    """GPUs of a run."""
    bandwidths: tuple[float, ...]
    """GB/s that each GPU sends while gradients are averaged, each planned with."""


@dataclass(frozen=True)
class Group:
    """Runs of one arm: equal schedules and updates."""

    name: str
    """Equal for equal runs of several verbs."""
    schedule: Schedule
    steps: int
    """Updates of a run."""
    runs: int


@dataclass(frozen=True)
class Planned:
    """A verb's study with its runs, on a machine."""

    verb: str
    study: StudyConfig
    groups: tuple[Group, ...]
    speed: Speed
    gpus: int
    trained: tuple[dict[str, Any], ...] = ()
    """Whole runs of the model on the device that are on record."""

    def __post_init__(self) -> None:
        rows = self.study.rows
        require(
            rows % self.gpus == 0,
            "--gpus",
            self.gpus,
            f"a divisor of rows = {rows} of {self.verb}; --set rows= and accumulation= change it",
        )

    @property
    def config(self) -> BertConfig:
        """The model's shape."""
        return self.study.shape(self.study.vocabulary)

    @property
    def tokens(self) -> int:
        """Of an update."""
        return self.study.rows * self.study.length * self.study.accumulation

    @cached_property
    def flops(self) -> float:
        """Of an update."""
        study = self.study
        row = self.config.flops_per_row(study.length, masked_per_row(study.length))
        return study.rows * study.accumulation * row

    @property
    def compute(self) -> float:
        """Seconds that an update computes for on all GPUs."""
        return self.flops / self.speed.flops / self.gpus

    @property
    def updates(self) -> int:
        """Of all runs."""
        return sum(group.runs * group.steps for group in self.groups)

    def update(self, layout: Layout, bandwidth: float) -> Bounds:
        """Seconds of an update in a layout; ``bandwidth`` in bytes/s."""
        payload = gradient_bytes(self.config, layout)
        reduce = ring_seconds(payload, self.gpus, bandwidth)
        tied = not layout.is_untied
        return update_seconds(self.compute, self.study.accumulation, reduce, tied=tied)

    def run(self, schedule: Schedule, steps: int, bandwidth: float) -> Bounds:
        """Seconds of a run of that schedule."""
        depth = self.config.layers
        start = self.update(schedule.start(depth).layout, bandwidth)
        untied = self.update(Layout.untied(depth), bandwidth)
        return Phases.of(schedule, depth, steps).seconds(start, untied)

    def seconds(self, bandwidth: float) -> Bounds:
        """Seconds of all runs, one after another."""
        total = Bounds(0.0, 0.0)
        for group in self.groups:
            total += self.run(group.schedule, group.steps, bandwidth).times(group.runs)
        return total

    def without(self, names: set[str]) -> Planned:
        """The same without runs of those names."""
        left = tuple(group for group in self.groups if group.name not in names)
        return replace(self, groups=left)


def planned(
    verb: str,
    scale: str,
    seed: int,
    settings: Mapping[str, Any],
    machine: Machine,
    records: Path,
) -> Planned:
    """Return the plan of a verb. ConfigError for settings, devices or GPUs that cannot be meant."""
    if verb == "bert":
        study = study_of(scale, seed, settings)
        groups = tuple(
            Group(f"bert {arm}", study.schedule(arm), study.steps, study.seeds)
            for arm in study.arms
        )
    else:
        table = table_of(verb, scale, seed, settings)
        study, key = table, json_digest(shared_settings(table))
        each = table.trials + table.seeds
        groups = tuple(
            Group(f"{key} {arm.name}", arm.schedule, arm.steps(table), each)
            for arm in chosen_arms(verb, table)
        )
    if machine.tokens_per_second is not None:
        config, masked = study.shape(study.vocabulary), masked_per_row(study.length)
        speed = given_speed(machine.tokens_per_second, study, config, masked)
    else:
        speed = recorded_speed(records, machine.on or "", study)
    trained = () if speed.device is None else runs_on_record(records, speed.device, study)
    return Planned(verb, study, groups, speed, machine.gpus, tuple(trained))


def plan(plans: Sequence[Planned], bandwidths: Sequence[float]) -> dict[str, Any]:
    """Return all that is printed, raw, JSON-able; ``bandwidths`` in GB/s, none for one GPU.

    ``together``: all verbs, the runs that they share counted once.
    """
    rows = [_row(one, bandwidths) for one in plans]
    seen: set[str] = set()
    parts = []
    for one in plans:
        parts.append(_row(one.without(seen), bandwidths))
        seen |= {group.name for group in one.groups}
    counted = ("runs", "updates", "tokens", "flops", "compute_gpu_hours")
    together = {name: sum(part[name] for part in parts) for name in counted}
    together["hours"] = [
        [sum(part["hours"][i][end] for part in parts) for end in (0, 1)]
        for i in range(len(bandwidths))
    ]
    return {"bandwidths": list(bandwidths), "verbs": rows, "together": together}


def _row(one: Planned, bandwidths: Sequence[float]) -> dict[str, Any]:
    study, config = one.study, one.config
    depth = config.layers
    held = None
    if one.speed.activation is not None:
        held = asdict(memory(config, study.rows * study.length / one.gpus, one.speed.activation))
    return {
        "verb": one.verb,
        "model": {
            name: getattr(study, name)
            for name in ("size", "placement", "vocabulary", "length", "rows", "accumulation")
        },
        "parameters": config.parameters,
        "speed": asdict(one.speed),
        "tokens_per_second": one.speed.flops * one.tokens / one.flops,
        "trained": list(one.trained),
        "gpus": one.gpus,
        "runs": sum(group.runs for group in one.groups),
        "updates": one.updates,
        "tokens": one.updates * one.tokens,
        "flops": one.updates * one.flops,
        "compute_gpu_hours": one.updates * one.compute * one.gpus / 3600,
        "memory": held,
        "hours": [_hours(one.seconds(1e9 * b)) for b in bandwidths],
        "swe_f": [_swe_f(one, 1e9 * b) for b in bandwidths],
        "reduced_bytes": {
            "tied": gradient_bytes(config, Layout.tied(depth, study.unit)),
            "untied": gradient_bytes(config, Layout.untied(depth)),
        },
    }


def _hours(seconds: Bounds) -> list[float]:
    return [seconds.low / 3600, seconds.high / 3600]


def _swe_f(one: Planned, bandwidth: float) -> dict[str, Any]:
    """A run of the study's SWE-F beside one that is never tied, at one bandwidth.

    ``saved``: share of the latter's time, [all hidden that can be, nothing hidden]; negative where
    the tied phase, of which nothing can be hidden, waits longer.
    """
    study, depth = one.study, one.config.layers
    steps = study.steps
    tied = one.update(Layout.tied(depth, study.unit), bandwidth)
    never = one.update(Layout.untied(depth), bandwidth).times(steps)
    fixed = one.run(SweFixed(unit=study.unit, until=study.tau), steps, bandwidth)
    return {
        "tau": study.tau,
        "compute_seconds": one.compute,
        "tied_update": [tied.low, tied.high],
        "untied_update": [never.low / steps, never.high / steps],
        "saved": [1 - fixed.low / never.low, 1 - fixed.high / never.high],
    }
