"""How fast and how large a model is on a device: from the throughput records, or as given.

A record holds the time of a micro-batch of one size and length (``benchmarks/throughput.py``).
Another size or length is taken to run at the same useful FLOP/s, which is said wherever it is used:
it is optimistic for smaller models and micro-batches.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert.model.config import BertConfig, named_config
from bert.study.arms import StudyConfig
from bert.study.plan_model import COPIES, FLOAT
from evidence.results import read_json, reading
from swe.base.config import require_between
from swe.base.errors import ConfigError

CONTESTANT = {"post": "a2", "pre": "a3"}
"""Ours, untied, by LayerNorm placement. A tied step is no faster: a4 of the same records."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one GPU does."""

    device: str | None
    """Its name on record; None where the speed was given."""
    source: str
    """The record's file name, or the option."""
    size: str
    """Of the model that was measured."""
    length: int
    """Tokens in a row there."""
    vocabulary: int
    """WordPieces there."""
    tokens: int
    """Tokens of a micro-batch there."""
    tokens_per_second: float
    """There."""
    flops: float
    """Useful FLOP/s; what other sizes and lengths are planned with."""
    activation: float | None
    """Bytes a token, layer and unit of width; None where the speed was given."""


def on_record(records: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file name, record) of every throughput record. ResultError for a damaged one."""
    for path in sorted(records.glob("throughput-*.json")):
        record = read_json(path)
        with reading(path):
            yield path.name, record


def speeds(records: Path, placement: str) -> list[Speed]:
    """Return the speeds on record for a placement of LayerNorm. ResultError for a damaged record.

    The activations of a token are the measured peak less what the model's state takes.
    """
    found = []
    for name, record in on_record(records):
        with reading(records / name):
            settings, wanted = record["settings"], CONTESTANT[placement]
            turns = [turn for turn in record["turns"] if turn["name"] == wanted]
            blocks = [block["seconds"] for turn in turns for block in turn["blocks"]]
            if not blocks:
                continue
            tokens = settings["rows"] * settings["length"]
            rate = tokens / statistics.median(second for block in blocks for second in block)
            shape = named_config(settings["size"])
            peak = max(turn["end"]["peak_memory_bytes"] for turn in turns)
            state = COPIES * FLOAT * turns[0]["warm"]["parameters"]
            found.append(
                Speed(
                    device=record["environment"]["device"],
                    source=name,
                    size=settings["size"],
                    length=settings["length"],
                    vocabulary=settings["vocabulary"],
                    tokens=tokens,
                    tokens_per_second=rate,
                    flops=rate * settings["flops_per_token"],
                    activation=(peak - state) / (tokens * shape.layers * shape.hidden),
                )
            )
    return found


def recorded_speed(records: Path, device: str, study: StudyConfig) -> Speed:
    """Return what is on record nearest to a study: its size first, then its length, then the
    fastest.

    ``device``: a part of the device's name, in any case. ConfigError lists those on record.
    """
    known = speeds(records, study.placement)
    matching = [speed for speed in known if device.lower() in str(speed.device).lower()]
    if not device or not matching:
        names = ", ".join(sorted({str(speed.device) for speed in known})) or "none"
        raise ConfigError(
            f"--on {device}: is on no throughput record (on record: {names}); name one of those, "
            "or give --tokens-per-second N of one GPU"
        )
    return min(
        matching,
        key=lambda one: (one.size != study.size, abs(one.length - study.length), -one.flops),
    )


def runs_on_record(records: Path, device: str | None, study: StudyConfig) -> list[dict[str, Any]]:
    """Return how fast a study's model trained in whole runs on that device: the check of a speed.

    By table: its file below ``records``, tokens/s of the median run, tokens of a micro-batch, runs
    at a time at most (``--jobs`` of its command), and so what the device did at most.
    """
    found = []
    for path in sorted(records.glob("studies/*/*.json")):
        record = read_json(path)
        with reading(path):
            told, here = record["study"], record["environment"] or {}
            same = (told["size"], told["length"]) == (study.size, study.length)
            if not same or here.get("device") != device:
                continue
            words = here["command"].split()
            jobs = int(words[words.index("--jobs") + 1]) if "--jobs" in words else 1
            rates = [
                arm["tokens"] / seconds
                for arm in record["arms"].values()
                for seconds in arm.get("seconds", {}).values()
            ]
            if rates:
                found.append(
                    {
                        "source": str(path.relative_to(records)),
                        "tokens": told["rows"] * told["length"],
                        "tokens_per_second": statistics.median(rates),
                        "jobs": jobs,
                        "at_most": jobs * statistics.median(rates),
                    }
                )
    return found


def given_speed(rate: float, study: StudyConfig, config: BertConfig, masked: int) -> Speed:
    """Return a speed of one's own, of the study's own model. ConfigError unless it is above 0."""
    require_between("--tokens-per-second", rate, 0, float("inf"), open_low=True, open_high=True)
    return Speed(
        device=None,
        source="--tokens-per-second",
        size=study.size,
        length=study.length,
        vocabulary=study.vocabulary,
        tokens=study.rows * study.length,
        tokens_per_second=rate,
        flops=rate * config.flops_per_row(study.length, masked) / study.length,
        activation=None,
    )
