"""Cells of the made languages: which table speaks for one, and what all of them say together.

A cell is a placement of LayerNorm with the hops asked for, on one encoder. Of several studies of a
cell the one done with most care speaks. Whether an arm gets through within its budget is nearly all
or nothing, so the few seeds of one cell decide little; over the cells, each weighing the same, the
pairs of all of them do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from evidence.comparison import Interval, differences, paired
from evidence.results import Table, reading
from swe.base.errors import ConfigError

LANGUAGE_SEEDS = 5
"""Paired seeds from which a made language's table is judged: a run is minutes, so few are no
excuse."""
ARM = "swe-f"


def demonstration(seeds: int) -> str:
    """Return what stands for a verdict where there are too few seeds for one."""
    return f"demonstration, {seeds} seed{'' if seeds == 1 else 's'}"


def care(compared: Mapping[str, Any]) -> tuple[int, int]:
    """Return how carefully a study of one cell was done: a sort key.

    By the seeds that chose the rates, then by its arms.
    """
    return int(compared["study"].get("tuning_seeds", 0)), len(compared["arms"])


def is_stock(study: Mapping[str, Any]) -> bool:
    """Whether a language's study is on an encoder of transformers."""
    return bool(study.get("encoder", "own") != "own")


def cell_of(study: Mapping[str, Any]) -> str:
    """Return the cell that a language's study is of, whoever's the encoder: "Pre-LN, 4 hops".

    Cells are judged one by one, and shown one by one.
    """
    hops = study["language"].get("hops")
    return f"{study['placement'].capitalize()}-LN{'' if hops is None else f', {hops} hops'}"


def seeds_of(compared: Mapping[str, Any]) -> int:
    """Return how many paired seeds SWE-F and the baseline of a table have."""
    gap = paired(compared, ARM, compared["reference"])
    return 0 if gap is None else gap.n


def most_careful(tables: Sequence[Table]) -> list[Table]:
    """Return, of every language, encoder and cell, the table done with most care.

    Only those of LANGUAGE_SEEDS seeds. ResultError, naming the file, for a table without what its
    kind holds.
    """
    found: dict[tuple[str, bool, str], Table] = {}
    for table in sorted(tables, key=lambda table: care(table.data), reverse=True):
        with reading(table.path):
            study = table.data["study"]
            if seeds_of(table.data) >= LANGUAGE_SEEDS:
                found.setdefault((table.table, is_stock(study), cell_of(study)), table)
    return list(found.values())


def over_cells(
    tables: Sequence[Mapping[str, Any]], arm: str, other: str | None = None
) -> Interval | None:
    """Return the interval of an arm minus another (default: the reference) over several cells.

    None where a cell has not both arms with two seeds.
    """
    groups = [differences(data, arm, other or data["reference"]) for data in tables]
    return stratified(groups) if groups and all(len(group) > 1 for group in groups) else None


def stratified(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> Interval:
    """Return the interval of the mean of several groups' means, each weighing the same.

    Its variance is sum s_c^2 / n_c over the C groups, divided by C^2; Student's t at Welch's and
    Satterthwaite's degrees of freedom, (sum v_c)^2 / sum v_c^2 / (n_c - 1) with v_c = s_c^2 / n_c.
    n counts all values. Of the groups themselves, not of others that they might stand for: how far
    their means lie apart does not enter. ConfigError for a group of fewer than two.
    """
    if not groups or min(map(len, groups)) < 2:
        raise ConfigError("stratified: groups of two values at least")
    means = [math.fsum(group) / len(group) for group in groups]
    parts = [
        math.fsum((value - mean) ** 2 for value in group) / (len(group) - 1) / len(group)
        for group, mean in zip(groups, means, strict=True)
    ]
    mean, n = math.fsum(means) / len(groups), sum(map(len, groups))
    total = math.fsum(parts)
    if total == 0:
        return Interval(n, mean, mean, mean)
    weights = [part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True)]
    freedom = total**2 / math.fsum(weights)
    half = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(total) / len(groups)
    return Interval(n, mean, mean - half, mean + half)
