"""A small, hand-made results folder in the formats that the other packages write."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from figures.report import build

STEPS = 40
ARMS = {"baseline": [], "equal-start": [], "swe-f": [4], "swe-a": [12], "swe-m": [8, 16]}
T_2 = 4.302652729911275  # two-sided 95 % of Student's t with 2 degrees of freedom


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def dump_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def record(data: Any) -> dict[str, Any]:
    return {"key": "0", "config": {"seed": 0, "scale": "smoke"}, "seconds": 1.0, "data": data}


def flow_curves() -> dict[str, Any]:
    curves = []
    for depth in (2, 8):
        for method, rate in (("shared", 2.0 * depth), ("zas", 2.0)):
            time = [0.0, 1 / depth, 2 / depth, 4 / depth]
            loss = [math.exp(-1.5 * rate * t) for t in time]
            curves.append(
                {
                    "depth": depth, "method": method, "time": time, "loss": loss,
                    "bound": [math.exp(-rate * t) for t in time], "descent_time": time,
                    "descent_loss": loss, "eta": 0.01, "largest_descent_difference": 0.00321,
                }
            )  # fmt: skip
    return {
        "figure": "flow_curves", "target_eigenvalues": [0.5, 1.25], "curves": curves,
        "caption_numbers": {
            "least_eigenvalue": 0.5, "steps": 200, "largest_descent_difference": 0.00321,
            "time_to_1e-6": {"shared L=2": 7.11, "zas L=2": 4.22, "shared L=8": 3.33,
                             "zas L=8": 2.44},
        },
    }  # fmt: skip


def theorem_bounds() -> dict[str, Any]:
    rows, speedups = [], []
    for target, values in (("all above one", [1.5, 2.0]), ("one small", [0.1, 2.0])):
        for depth in (2, 16):
            for method in ("shared", "zas"):
                rows.append(
                    {
                        "target": target, "eigenvalues": values, "method": method, "depth": depth,
                        "ratios": [0.1, 1e-3, 1e-6], "times": [0.1, 0.3, 0.6],
                        "log_bound_over_true": [0.1, 0.2, 0.3], "initial_rate": 2.0,
                        "asymptotic_rate": 3.0 + depth, "bound_rate": 2.0,
                    }
                )  # fmt: skip
            speedups.append(
                {"target": target, "depth": depth, "zas_over_shared": [1.0, 1.5, depth / 4]}
            )
    return {
        "figure": "theorem_bounds", "depths": [2, 16], "rows": rows, "speedups": speedups,
        "caption_numbers": {
            "deepest": 16,
            "asymptotic_over_bound_rate": {
                "shared, all above one": 2.25, "zas, all above one": 83.5,
                "shared, one small": 1.01, "zas, one small": 6.54,
            },
            "time_zas_over_shared_1e-6": {"all above one": 4.56, "one small": 1.23},
        },
    }  # fmt: skip


def descent_bounds() -> dict[str, Any]:
    rows = [
        {
            "method": method, "depth": depth, "eta": 1e-3 / depth, "steps": 500,
            "step": [1, 500], "log_loss": [-0.01, -5.0], "log_bound": [-0.005, -2.5],
            "bound_rate_per_step": 0.005 / depth, "true_rate_per_step": 0.01 / depth,
            "holds": True,
        }
        for method in ("shared", "zas")
        for depth in (2, 8)
    ]  # fmt: skip
    slopes = [
        {"method": method, "depth": 2, "eta": [4e-3, 2e-3], "error": [8e-4, 4e-4], "slope": 1.0}
        for method in ("shared", "zas")
    ]
    return {
        "figure": "descent_bounds", "target_eigenvalues": [0.7, 1.3], "rows": rows,
        "slopes": slopes,
        "caption_numbers": {
            "all_hold": True, "least_slope": 0.987, "largest_slope": 1.012,
            "true_over_bound_rate": {"shared L=2": 1.31, "shared L=8": 1.62, "zas L=2": 4.13,
                                     "zas L=8": 4.04},
        },
    }  # fmt: skip


FAMILIES = ("symmetric", "rotation", "near-symmetric", "triangular")


def controls() -> dict[str, Any]:
    rows = [
        {
            "family": family, "depth": 16, "kick": kick, "least_alignment": 0.9, "n": 10,
            "arrived": 10, "tying helps": 1, "tying hurts": 2,
            "total": {"mean": 1.0, "error": 0.1}, "start": {"mean": 0.9 - k / 9, "error": 0.1},
            "averaging": {"mean": kick, "error": 0.05}, "tying": {"mean": -0.2, "error": 0.02},
        }
        for k, family in enumerate(FAMILIES)
        for kick in (0.0, 0.3)
    ]  # fmt: skip
    return {
        "figure": "controls", "eps": 1e-4, "depths": [16], "kicks": [0.0, 0.3], "rows": rows,
        "caption_numbers": {
            "targets": 10, "deepest": 16, "largest_difference_normal": 3.3e-16,
            "least_difference_not_normal": 0.0123, "largest_kick": 0.3, "runs": 80,
            "tying_helps": 8, "tying_hurts": 16, "arrived": 80,
            "start": dict(zip(FAMILIES, (0.9, 0.8, 0.7, 0.6), strict=True)),
            "tying": dict(zip(FAMILIES, (0.0, 1e-15, -0.0321, -0.2), strict=True)),
        },
    }  # fmt: skip


def alignment() -> dict[str, Any]:
    flows = ("shared", "identity", "perturbed", "zas")
    return {
        "figure": "alignment", "depth": 8, "levels": [0.9, 0.01, 1e-4],
        "flows": [
            {"family": family, "flow": flow, "alignment": [1.0, 0.9 - k / 5, 0.8 - k / 5],
             "moving": [8.0, 7.0, 6.0], "rate": [8.0, 6.0, 5.0], "least_alignment": 0.8 - k / 5}
            for family in FAMILIES
            for k, flow in enumerate(flows)
        ],
        "drift": [
            {"depth": depth, "least_alignment": 0.5, "least_cosine": 1 - 1 / depth,
             "targets_untied": 0, "targets": 8}
            for depth in (4, 8, 16)
        ],
        "cases": [
            {"case": "kept in vain", "alignment": 0.0, "median_cosine": 0.96, "unties": False},
            {"case": "untied in vain", "alignment": 0.8, "median_cosine": 0.49, "unties": True},
        ],
        "range": {"cosine": [-1.0, 1.0], "lower": [0.0, 1.0], "upper": [0.8, 1.0]},
        "caption_numbers": {
            "least_alignment": {"shared, triangular": 0.812, "zas, triangular": 0.212},
            "overtaken": {"symmetric": 0.05, "rotation": None},
            "case_alignment": {"kept in vain": 0.0, "untied in vain": 0.801}, "deepest": 16,
            "deepest_least_alignment": 0.503, "deepest_least_cosine": 0.937, "untied": 0,
            "rule_depth": 24, "untie_bound": 0.871,
        },
    }  # fmt: skip


def common_component() -> dict[str, Any]:
    times = {"swe": [1.11, 0.55], "certified_time": [4.44, 2.22], "equal start": [1.12, 0.56],
             "zas": [1.5, 1.25], "tau": [0.5, 0.25], "shared": [None, None],
             "identity": [None, None]}  # fmt: skip
    curve = [1.0, 1e-3, 1e-7]
    rows = [
        {
            "depth": depth,
            "tau": 0.5,
            "time": [0.0, 1.0, 2.0],
            "swe_time": [0.5, 1.5, 2.5],
            "swe_loss": curve,
            "zas": 1.5,
            "equal start": 1.12,
            "losses": {"shared": [1.0, 1e-3, 1e-3], "equal start": curve, "zas": curve},
        }
        for depth in (4, 8)
    ]
    energy = [
        {"family": family, "flow": flow, "apart": [0.1, part], "reached": True}
        for family in FAMILIES
        for flow, part in (("shared", 0.0), ("identity", 0.01), ("perturbed", 0.5), ("zas", 0.4))
    ]
    return {
        "figure": "common_component", "depths": [4, 8], "beyond": rows, "energy": energy,
        "caption_numbers": {"gap": 0.04, "goal": 1e-6, "times": times, "sharing_arrived": 0,
                            "guaranteed": {"gap": 0.01, "swe_slope": -1.01, "zas_slope": -0.71,
                                           "deepest": 256, "swe": 0.023, "zas": 0.101}},
    }  # fmt: skip


def odd_targets() -> dict[str, Any]:
    fit = {"slope": 0.561, "low": 0.52, "high": 0.6}
    starts = ("unshared", "one draw", "mean of draws")
    return {
        "figure": "odd_targets",
        "rotations": [
            {"depth": depth, "angle_over_pi": [0.25, 0.99], "identity": [0.5, 9.0], "zas": 0.6}
            for depth in (4, 16)
        ],
        "nets": [
            {"start": start, "depth": depth, "quartiles": [0.1 * depth, 0.2 * depth, 0.4 * depth],
             "never": 0.0, "mean": None}
            for start in starts
            for depth in (4, 8)
        ],
        "caption_numbers": {
            "draws": 200, "slopes": dict.fromkeys(starts, fit), "predicted_unshared": 0.635,
            "predicted_one_draw": 0.394, "deepest": 16, "largest_angle": 0.99,
            "identity_over_zas": 11.37,
        },
    }  # fmt: skip


def compared(runs: dict[str, list[float]], reference: str) -> dict[str, Any]:
    """The layout of training.comparison.compare, for three seeds or one."""

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


def toy() -> dict[str, Any]:
    curve = {"time": [0.0, 0.2, 0.4], "flow": [1.0, 0.1, 0.01], "core": [1.0, 0.11, 0.012]}
    arms = ("equal-start", "always-shared", "swe-f 5 %", "swe-f 20 %", "swe-f 50 %")
    settings = []
    for eps in (0.0, 0.3):
        final = {arm: [-4 + k / 5 + s / 50 + s * k / 90 for s in range(3)]
                 for k, arm in enumerate(arms)}  # fmt: skip
        settings.append(
            {
                "eps": eps, "step_size": 0.01,
                "curves": {arm: [0.0, -2.0, values[0]] for arm, values in final.items()},
                "arms": compared(final, "equal-start"),
            }
        )  # fmt: skip
    return {
        "core_against_flow": {
            "depth": 8, "size": 4, "step_sizes": [1e-2, 5e-3, 2.5e-3, 1.25e-3],
            "errors": [0.016, 0.008, 0.004, 0.00234], "slope": 1.017, "curve": curve,
        },
        "distinct_modules": {
            "depth": 6, "size": 4, "steps": 300, "seeds": 3, "curve_every": 150,
            "settings": settings,
        },
    }  # fmt: skip


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
            rows.append({"kind": "train", "step": step, "loss": decay, "gradient_norm": 1.0,
                         "learning_rate": 1e-3, "seconds": 0.1 * step})  # fmt: skip
        if step and step % 20 == 0:
            value = loss if step == STEPS else loss + 0.5
            rows.append({"kind": "valid", "step": step, "loss": value, "accuracy": 0.1})
    dump(folder / "config.json", {"train": {"seed": seed}, "task": {}})
    dump(
        folder / "environment.json",
        {
            "command": "python paper_repro.py bert", "commit": "0123456789abcdef", "cuda": None,
            "device": "Some Processor", "dirty": True, "machine": "Linux x86_64",
            "numpy": "2.4.6", "python": "3.11.7", "threads": 1, "torch": "2.13.0",
        },
    )  # fmt: skip
    dump_lines(folder / "metrics.jsonl", rows)
    if untied:
        dump_lines(folder / "events.jsonl", [{"kind": "unshare", "step": step} for step in untied])
    dump(
        folder / "summary.json",
        {
            "steps": STEPS, "tokens": 10240, "flops": 1.234e12, "seconds": 7.0, "probes": 11,
            "parameters_at_start": 603584, "parameters_at_end": 603584, "layout_at_end": "4x1",
            "valid": {"loss": loss, "accuracy": 0.1},
            "weights": {"common": 9.0, "deviation": 1.0, "dispersion": 0.1},
        },
    )  # fmt: skip


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
            "steps": STEPS, "tokens": 10240, "flops": 1.234e12,
            "parameters_at_start": 353664 if untied else 603584, "parameters_at_end": 603584,
        }  # fmt: skip
    dump(
        folder / "comparison.json",
        {
            "study": {"size": "4x32", "rho": 0.5, "peak_lr": 0.002, "arms": list(ARMS)},
            "reference": "baseline", "environment": {}, "arms": dict(sorted(arms.items())),
        },
    )  # fmt: skip
    dump(out / "bert" / "current.json", {"folder": "smoke-abc"})


CLAIMS = [
    {"id": "THM1", "statement": "R(t) <= exp(-2t) R(0) | any target", "source": "Theorem 1",
     "verdict": "true as a bound, loose by 3.2",
     "evidence": "8 targets <script>alert(1)</script>",
     "rigour": "closed form", "figure": "theorem_bounds",
     "command": "python paper_repro.py theory"},
    {"id": "TAB2", "statement": "1M updates", "source": "Table 2", "verdict": "not attempted",
     "evidence": "not run", "rigour": "", "figure": "", "command": "python paper_repro.py bert"},
]  # fmt: skip


def write_results(out: Path) -> None:
    dump(out / "theory" / "flow_curves.json", record(flow_curves()))
    dump(out / "theory" / "theorem_bounds.json", record(theorem_bounds()))
    dump(out / "theory" / "descent_bounds.json", record(descent_bounds()))
    for study in (controls, alignment, common_component, odd_targets):
        dump(out / "theory" / f"{study.__name__}.json", record(study()))
    dump(out / "toy" / "deep_linear.json", record(toy()))
    dump(out / "claims.json", CLAIMS)
    write_bert(out)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Result files, nothing drawn yet."""
    out = tmp_path / "results"
    write_results(out)
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Result files with everything drawn; read only."""
    out = tmp_path_factory.mktemp("built") / "results"
    write_results(out)
    build(out)
    yield out
    shutil.rmtree(out)


@pytest.fixture
def edit() -> Callable[[Path, Callable[[Any], None]], None]:
    """Change a JSON file in place."""

    def change(path: Path, how: Callable[[Any], None]) -> None:
        value = json.loads(path.read_text(encoding="utf-8"))
        how(value)
        dump(path, value)

    return change


@pytest.fixture
def one_seed(tmp_path: Path) -> Path:
    """A BERT study with a single seed: no intervals anywhere."""
    out = tmp_path / "results"
    write_bert(out, seeds=1)
    return out
