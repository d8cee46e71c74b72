"""What a table's runs logged along the way, as one small file that figures and records can use.

``<table>-curves.jsonl`` beside ``<table>.json`` has a line for every headline run:

    arm, seed, rate,
    train: {step, loss}, valid: {step, loss; of a language also accuracy_<group>},
    probe: {step, alignment, dispersion, correlations, signal_to_noise, descent_ratio},
    untied: updates at which layers were untied, dispersion: of the final weights.

Lists run over logged rows; ``correlations`` has a list over adjacent layers in each. Numbers are
rounded to DIGITS: a curve is to be looked at, the table holds what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swe.base.files import read_json, read_lines
from theory.models.predictions import Split

DIGITS = 5
"""Significant digits."""


def curves_file(table: str) -> str:
    """Return the name of a table's file of curves."""
    return f"{table}-curves.jsonl"


def table_curves(arms: Mapping[str, Any], order: list[str], out: Path) -> list[dict[str, Any]]:
    """Return the lines for the finished headline runs of a table's ``arms`` in study folder
    ``out``; arms as ``order`` has them, seeds ascending."""
    return [
        {"arm": arm, "seed": int(seed), "rate": arms[arm]["rate"]}
        | run_curves(out / "runs" / arms[arm]["folders"][seed])
        for arm in order
        for seed in sorted(arms[arm].get("folders", {}), key=int)
    ]


def run_curves(folder: Path) -> dict[str, Any]:
    """Return the curves of one finished run."""
    rows = read_lines(folder / "metrics.jsonl")
    kinds = {kind: [r for r in rows if r["kind"] == kind] for kind in ("train", "valid", "probe")}
    probes = kinds["probe"]
    found: dict[str, Any] = {
        kind: {
            "step": [r["step"] for r in kinds[kind]],
            "loss": [_rounded(r["loss"]) for r in kinds[kind]],
        }
        for kind in ("train", "valid")
    }
    found["valid"] |= {
        name: [_rounded(row[name]) for row in kinds["valid"]]
        for name in (kinds["valid"][0] if kinds["valid"] else {})
        if name.startswith("accuracy_")
    }
    found["probe"] = {
        "step": [row["step"] for row in probes],
        "alignment": [_rounded(row["alignment"]) for row in probes],
        "dispersion": [_rounded(row["weights"]["dispersion"]) for row in probes],
        "correlations": [[_rounded(c) for c in row["correlations"]] for row in probes],
        **_noise(probes),
    }
    events = read_lines(folder / "events.jsonl")
    found["untied"] = [event["step"] for event in events if event["kind"] == "unshare"]
    summary = read_json(folder / "summary.json")
    found["dispersion"] = _rounded(summary["weights"]["dispersion"])
    return found


def _noise(probes: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Return signal-to-noise (of energies summed over layers, as a root) and Adam's predicted
    descent of a tied over an untied step; None where no halves were probed or nothing is left."""
    found: dict[str, list[float | None]] = {"signal_to_noise": [], "descent_ratio": []}
    for row in probes:
        ratio, descent = None, None
        if "halves" in row and row["alignment"] is not None:
            split = Split.of(row["halves"][0], row["halves"][1], row)
            signal, noise = float(split.signal.sum()), float(split.noise.sum())
            if noise > 0:
                ratio = math.sqrt(signal / noise)
            if split.heard:
                descent = split.descent_ratio("adam")
        found["signal_to_noise"].append(_rounded(ratio))
        found["descent_ratio"].append(_rounded(descent))
    return found


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
