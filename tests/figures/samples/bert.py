"""A sample BERT study: run folders, and the comparison of its arms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.figures.samples.files import compared, dump, dump_lines

STEPS = 40
ARMS = {"baseline": [], "equal-start": [], "swe-f": [4], "swe-a": [12], "swe-m": [8, 16]}


def write_run(folder: Path, seed: int, loss: float, untied: list[int]) -> None:
    tied_until = untied[0] if untied else 0
    rows: list[dict[str, Any]] = []
    for step in range(0, STEPS + 1, 4):
        rows.append(
            {
                "kind": "probe", "step": step, "alignment": 0.9 - step / 100,
                "correlations": [0.9 - step / 60, None if step == 8 else 0.8 - step / 80, 0.7],
                "gradient_norms": [1.0, 1.0, 1.0, 1.0],
                "weights": {"common": 9.0, "deviation": 1.0,
                            "dispersion": 0.0 if step <= tied_until else step / 1000},
            }
        )  # fmt: skip
        if step:
            decay = loss + 2 * math.exp(-step / 8)
            rows.append(
                {
                    "kind": "train",
                    "step": step,
                    "loss": decay,
                    "gradient_norm": 1.0,
                    "learning_rate": 1e-3,
                    "seconds": 0.1 * step,
                }
            )
        if step and step % 20 == 0:
            value = loss if step == STEPS else loss + 0.5
            rows.append({"kind": "valid", "step": step, "loss": value, "accuracy": 0.1})
    dump(folder / "config.json", {"train": {"seed": seed}, "task": {}})
    dump(
        folder / "environment.json",
        {
            "command": "python paper_repro.py bert",
            "commit": "0123456789abcdef",
            "cuda": None,
            "device": "Some Processor",
            "dirty": True,
            "machine": "Linux x86_64",
            "numpy": "2.4.6",
            "python": "3.11.7",
            "threads": 1,
            "torch": "2.13.0",
        },
    )
    dump_lines(folder / "metrics.jsonl", rows)
    if untied:
        dump_lines(folder / "events.jsonl", [{"kind": "unshare", "step": step} for step in untied])
    dump(
        folder / "summary.json",
        {
            "steps": STEPS,
            "tokens": 10240,
            "flops": 1.234e12,
            "seconds": 7.0,
            "probes": 11,
            "parameters_at_start": 603584,
            "parameters_at_end": 603584,
            "layout_at_end": "4x1",
            "valid": {"loss": loss, "accuracy": 0.1},
            "weights": {"common": 9.0, "deviation": 1.0, "dispersion": 0.1},
        },
    )


def write_bert(out: Path, seeds: int = 3) -> None:
    folder = out / "bert" / "smoke-abc"
    losses = {
        arm: [6.0 + 0.01 * s + 0.05 * k * (-1) ** k + 0.002 * s * k for s in range(seeds)]
        for k, arm in enumerate(ARMS)
    }
    arms = compared(losses, "baseline")
    for arm, untied in ARMS.items():
        for seed in range(seeds):
            write_run(folder / f"{arm}-s{seed}", seed, losses[arm][seed], untied)
        arms[arm] |= {
            "accuracy": {str(s): 0.1 for s in range(seeds)},
            "seconds": {str(s): 7.0 for s in range(seeds)},
            "untied_at": {str(s): untied for s in range(seeds)},
            "steps": STEPS,
            "tokens": 10240,
            "flops": 1.234e12,
            "parameters_at_start": 353664 if untied else 603584,
            "parameters_at_end": 603584,
        }
    dump(
        folder / "comparison.json",
        {
            "study": {"size": "4x32", "rho": 0.5, "peak_lr": 0.002, "arms": list(ARMS)},
            "reference": "baseline",
            "environment": {},
            "arms": dict(sorted(arms.items())),
        },
    )
    dump(out / "bert" / "current.json", {"folder": "smoke-abc"})
