"""What the runs of a comparison took: updates, FLOPs, and reference seconds.

Reference seconds are the seconds of an update of each phase, times its updates. A phase is told by
the size of its model and its distinct blocks. Its seconds are the first decile over the intervals
between logged rows of all runs of the study that had such a phase, whichever arm's, rate's and
seed's: what else a machine did only adds, and a study of hours runs beside much. Left out are a
run's first interval, those with a growth or an untie, and evaluations: saving and growing itself, a
fit too, are not charged. The seconds are those of a process with one thread, by the wall clock; the
table's environment names the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from swe.base.config import from_dict
from swe.base.files import read_json, read_lines
from swe.run.run_config import TrainConfig
from swe.transforms.stage import Stage


@dataclass(frozen=True)
class Phase:
    """Updates of one model with one number of distinct blocks."""

    first: int
    end: int
    model: str
    """"6x32, 1 block"."""

    @property
    def updates(self) -> int:
        """How many."""
        return self.end - self.first


def phases(folder: Path) -> list[Phase]:
    """Return the phases of a finished run of BERT, one after the other; updates for which a sampler
    draws are phases of their own."""
    config = read_json(folder / "config.json")
    train, model = from_dict(TrainConfig, config["train"]), config["task"]["model"]
    own = Stage(until=train.steps, depth=model["layers"], schedule=train.schedule)
    stages = [*train.stages, own]

    def name(stage: Stage, blocks: int) -> str:
        width = stage.widths.get("hidden", model["hidden"])
        size = f"{stage.depth}x{width}, {blocks} block{'' if blocks == 1 else 's'}"
        return f"{size}{_else(train, stage)}"

    marks, number = [(0, name(stages[0], _blocks(stages[0])))], 0
    for event in read_lines(folder / "events.jsonl"):
        if event["kind"] == "grow":
            number += 1
            marks.append((event["step"], name(stages[number], _blocks(stages[number]))))
        elif event["kind"] == "unshare":
            blocks = len(event["groups"]) * stages[number].schedule.unit
            marks.append((event["step"], name(stages[number], blocks)))
    ends = [*(step for step, _ in marks[1:]), train.steps]
    found = [Phase(first, end, model) for (first, model), end in zip(marks, ends, strict=True)]
    return [part for phase in found for part in _drawn(train, phase) if part.updates]


def _drawn(train: TrainConfig, phase: Phase) -> Iterator[Phase]:
    """Cut a phase where a sampler begins and ends, and name what lies between after it."""
    if train.dropping is None:
        yield phase
        return
    moments = train.dropping.during(train.steps)
    begin, end = (sorted((phase.first, at, phase.end))[1] for at in (moments.start, moments.stop))
    yield replace(phase, end=begin)
    yield Phase(begin, end, f"{phase.model}, {train.dropping.kind}")
    yield replace(phase, first=end)


def _blocks(stage: Stage) -> int:
    """Distinct blocks that a stage begins with."""
    return stage.schedule.start(stage.depth).layout.block_count


def _else(train: TrainConfig, stage: Stage) -> str:
    """Say what else an update's time depends on."""
    words = [
        f"{stage.trained} trained" if stage.trained is not None else "",
        f"rank {stage.rank}" if stage.rank is not None else "",
        "penalty" if train.similarity is not None else "",
    ]
    return "".join(f", {word}" for word in words if word)


def intervals(folder: Path) -> Iterator[tuple[str, float]]:
    """Yield (phase's model, seconds of an update) of the intervals between logged rows."""
    found = phases(folder)
    rows = [row for row in read_lines(folder / "metrics.jsonl") if row["kind"] != "probe"]
    for before, row in pairwise(rows):
        first, end = before["step"], row["step"]
        for phase in found:
            # A growth or an untie is made before the first update of its phase.
            begins = phase.first if phase.first == 0 else phase.first + 1
            if row["kind"] == "train" and first < end and begins <= first and end <= phase.end:
                yield phase.model, (row["seconds"] - before["seconds"]) / (end - first)


def undisturbed(seconds: Sequence[float]) -> float:
    """Return the first decile: of ten or fewer the least."""
    return sorted(seconds)[(len(seconds) - 1) // 10]


def ledger(rows: Mapping[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    """Add "phases" and "reference_seconds" to the rows of arms that have run; return the seconds.

    ``rows``: of a table in the study's folder ``out``. Both are means over its seeds; seconds are
    None where a phase was too short to be timed by any run.
    """
    folders = {
        arm: [out / "runs" / name for name in row["folders"].values()]
        for arm, row in rows.items()
        if "folders" in row
    }
    samples: dict[str, list[float]] = {}
    for summary in sorted((out / "runs").glob("*/summary.json")):
        for model, seconds in intervals(summary.parent):
            samples.setdefault(model, []).append(seconds)
    least = {model: undisturbed(values) for model, values in sorted(samples.items())}
    for arm, each in folders.items():
        updates: dict[str, float] = {}
        for folder in each:
            for phase in phases(folder):
                updates[phase.model] = updates.get(phase.model, 0) + phase.updates / len(each)
        rows[arm] |= {
            "phases": updates,
            "reference_seconds": math.fsum(least[m] * n for m, n in updates.items())
            if updates.keys() <= least.keys()
            else None,
        }
    counts = {model: len(values) for model, values in sorted(samples.items())}
    return {"update_seconds": least, "update_intervals": counts}
