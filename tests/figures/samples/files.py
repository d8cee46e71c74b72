"""Parts that the samples of every area share: writing, records, comparisons, fitted exponents."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

T_2 = 4.302652729911275  # two-sided 95 % of Student's t with 2 degrees of freedom


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def dump_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def record(data: Any) -> dict[str, Any]:
    return {"key": "0", "config": {"seed": 0, "scale": "smoke"}, "seconds": 1.0, "data": data}


def compared(runs: dict[str, list[float]], reference: str) -> dict[str, Any]:
    """The layout of evidence.comparison.compare, for three seeds or one."""

    def interval(values: list[float]) -> dict[str, Any]:
        n, mean = len(values), sum(values) / len(values)
        if n == 1:
            return {"n": 1, "mean": mean, "low": None, "high": None}
        half = T_2 * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
        return {"n": n, "mean": mean, "low": mean - half, "high": mean + half}

    out: dict[str, Any] = {}
    for arm, values in runs.items():
        out[arm] = {"values": {str(s): v for s, v in enumerate(values)}, "loss": interval(values)}
        if arm != reference:
            gap = interval([a - b for a, b in zip(values, runs[reference], strict=True)])
            word = "no gain"
            if gap["low"] is None:
                word = "one seed: no interval"
            elif gap["high"] < 0 or gap["low"] > 0:
                word = "helps" if gap["high"] < 0 else "hurts"
            out[arm] |= {"difference": gap, "verdict": word}
    return out


def exponent(slope: float) -> dict[str, Any]:
    return {"slope": slope, "low": slope - 0.01, "high": slope + 0.01, "window": [2, 16]}
