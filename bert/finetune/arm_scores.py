"""What fine-tuning says of a pre-training table's arms: scores, and differences to the baseline.

A pre-training seed's score is the mean of its fine-tunes at the arm's rate. That rate is the one of
the common grid with the best mean development score of the arm, over all its pre-training seeds or
the first few; arms are then compared seed by seed, as their losses are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from evidence.comparison import Interval

Rows = Sequence[Mapping[str, Any]]
"""Score records of the fine-tunes of one model (see bert.finetune.learning.run)."""
Verdict = Literal["better", "no difference", "worse", "one seed: no interval", "all degenerate"]
AX_METRIC = {"ax": "matthews", "ax-full": "matthews"}
"""Further parts that are not judged by their task's first metric (GLUE's diagnostic set)."""


def value_of(row: Mapping[str, Any]) -> float:
    """Return a fine-tune's development score; 0 for one without (its loss was not finite)."""
    return 0.0 if row["value"] is None else float(row["value"])


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return math.fsum(values) / len(values)


def select_rate(rates: Sequence[float], models: Sequence[Rows]) -> float:
    """Return the rate with the best mean score, every model counting alike; the lower at a tie."""
    means = {
        rate: mean(
            [mean([value_of(row) for row in rows if row["rate"] == rate]) for rows in models]
        )
        for rate in rates
    }
    return max(sorted(means), key=lambda rate: means[rate])


def higher_is_better(difference: Interval) -> Verdict:
    """Read the interval of a score difference (arm minus reference)."""
    if difference.low is None or difference.high is None:
        return "one seed: no interval"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no difference"


def contrast(
    scores: Mapping[str, Mapping[int, float]], reference: str
) -> dict[str, dict[str, Any]]:
    """Summarise {arm: {pre-training seed: score}}: values, interval, paired difference, verdict."""
    out: dict[str, dict[str, Any]] = {}
    base = scores[reference]
    for arm, values in scores.items():
        entry: dict[str, Any] = {
            "values": {str(seed): values[seed] for seed in sorted(values)},
            "score": asdict(Interval.of([values[seed] for seed in sorted(values)])),
        }
        if arm != reference:
            gap = Interval.of([values[seed] - base[seed] for seed in sorted(values)])
            entry |= {"difference": asdict(gap), "verdict": higher_is_better(gap)}
        out[arm] = entry
    return out


def task_scores(
    fine_tunes: Mapping[str, Mapping[int, Rows]],
    rates: Mapping[str, float],
    grid: Sequence[float],
    reference: str,
) -> dict[str, dict[str, Any]]:
    """Return the lines of one task: the development part's and those of other labelled parts.

    ``fine_tunes``: {arm: {pre-training seed: rows}}, the same seeds for every arm; ``rates``: the
    selected ones; ``grid``: all that were tried. A line is {"metric", "baseline" (the best constant
    answer), "arms": {arm: contrast and counts}}; its key is the part, "dev" first.
    """
    chosen = {
        arm: {
            seed: [row for row in rows if row["rate"] == rates[arm]] for seed, rows in seeds.items()
        }
        for arm, seeds in fine_tunes.items()
    }
    every = [row for seeds in chosen.values() for rows in seeds.values() for row in rows]
    sound = [row for row in every if row["value"] is not None]
    counted = {
        arm: {
            "rate": rates[arm],
            "rate_at_edge": len(grid) > 1 and rates[arm] in (min(grid), max(grid)),
            "fine_tunes": sum(len(rows) for rows in seeds.values()),
            "degenerate": sum(bool(row["degenerate"]) for rows in seeds.values() for row in rows),
            "every_value": {
                str(seed): [value_of(row) for row in rows] for seed, rows in seeds.items()
            },
            "by_rate": {
                f"{rate:g}": [
                    value_of(row)
                    for rows in fine_tunes[arm].values()
                    for row in rows
                    if row["rate"] == rate
                ]
                for rate in grid
            },
        }
        for arm, seeds in chosen.items()
    }
    lines: dict[str, dict[str, Any]] = {}
    metric = str(sound[0]["metric"]) if sound else None
    means = {
        a: {s: mean([value_of(row) for row in rows]) for s, rows in seeds.items()}
        for a, seeds in chosen.items()
    }
    arms = _joined(contrast(means, reference), counted)
    empty = {arm for arm, entry in arms.items() if entry["degenerate"] == entry["fine_tunes"]}
    for arm, entry in arms.items():
        # Whatever the interval: between constant answers there is nothing to tell apart.
        if "verdict" in entry and {arm, reference} <= empty:
            entry["verdict"] = "all degenerate"
    lines["dev"] = {
        "metric": metric,
        "baseline": sound[0]["baseline"] if sound else None,
        "arms": arms,
    }
    for part in sound[0].get("other_parts", {}) if len(sound) == len(every) else ():
        named = AX_METRIC.get(part, metric)
        means = {
            a: {
                s: mean([row["other_parts"][part][named] for row in rows])
                for s, rows in seeds.items()
            }
            for a, seeds in chosen.items()
        }
        kept = {
            arm: {name: entry[name] for name in ("rate", "rate_at_edge", "fine_tunes")}
            for arm, entry in counted.items()
        }
        lines[part] = {
            "metric": named,
            "baseline": sound[0]["other_baselines"][part][named],
            "arms": _joined(contrast(means, reference), kept),
        }
    return lines


def _joined(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    return {arm: {**entry, **other[arm]} for arm, entry in one.items()}


def named(lines: Mapping[str, dict[str, Any]], task: str) -> dict[str, dict[str, Any]]:
    """Name a task's lines as a table of many tasks does: "mnli", "mnli dev-mm"."""
    return {task if part == "dev" else f"{task} {part}": line for part, line in lines.items()}
