"""Results "speedup", "steps" and "admissible": the paper's comparison, measured across depth.

Each is a function of (seed, scale) that returns a JSON-able dict with "caption_numbers"; all are
deterministic, `seed` is recorded only. Exponents of L come with the range of local slopes, see
`theory.numerics.exponents`. Scales as in `theory.studies.flows`.
"""

from typing import Any

import numpy as np

from theory.linear.targets import TARGETS
from theory.numerics.exponents import WINDOW, depth_exponent
from theory.numerics.scales import check_scale
from theory.theorems import admissible, steps
from theory.theorems.speedup import deep_ratio, even_log10, final_ratio, flow_time, time_ratio

SCALARS = [0.1, 0.2, 0.5, 0.9, 1.5, 2.0, 5.0, 10.0]
"""Scalar targets of the table. Both sides of 1, where sharing starts."""

EPS = [1e-2, 1e-4, 1e-8, 1e-12]

LIMIT_DEPTH = 2**40
"""Deep enough for the limit to be seen: the next order is log(L) / sqrt(L) = 3e-5 there."""


def depths(scale: str) -> list[int]:
    """Powers of two to 4096; four of them to 256 at "smoke"."""
    return [2, 8, 64, 256] if check_scale(scale) == 0 else [2**k for k in range(1, 13)]


def speedup_study(seed: int, scale: str = "small") -> dict[str, Any]:
    """T_zas / T_shared over depth, scalar targets and spectra, eps; where sharing is slower.

    "scalars": per target and eps the ratio per depth, its exponent with interval, the slope at
    L = 2^40 and the limit formula's error there. "spectra": the same for three-value spectra.
    "final": the limit eps -> 0; "even_log10": -log10 of the eps beyond which sharing is slower.
    """
    L = np.array(depths(scale), dtype=np.float64)
    phi, eps = np.array(SCALARS), np.array(EPS)
    grid = phi[:, None, None], L, eps[:, None]  # results (targets, eps, depths)
    ratios = flow_time("zas", *grid) / flow_time("shared", *grid)
    far = float(LIMIT_DEPTH)
    scalars = []
    for i, target in enumerate(SCALARS):
        for j, level in enumerate(EPS):
            pair = time_ratio(target, [far, 2.0 * far], level)
            scalars.append(
                {
                    "target": target,
                    "eps": level,
                    "ratio": ratios[i, j].tolist(),
                    "exponent": depth_exponent(L, ratios[i, j]),
                    "limit_slope": float(np.log2(pair[1] / pair[0])),
                    "limit_error": float(deep_ratio(target, far, level) / pair[0] - 1.0),
                    "slower_at": [int(n) for n in L[ratios[i, j] < 1.0]],
                }
            )
    spectra = []
    for name, values in TARGETS.items():
        for level in EPS[::3] if scale == "smoke" else EPS:
            found = [float(time_ratio(values, int(n), level)) for n in L]
            spectra.append(
                {
                    "target": name,
                    "eigenvalues": values,
                    "eps": level,
                    "ratio": found,
                    "exponent": depth_exponent(L, found),
                    "slower_at": [int(n) for n, r in zip(L, found, strict=True) if r < 1.0],
                }
            )
    even = even_log10(phi[:, None], L)
    final = final_ratio(phi[:, None], L)
    slopes = [row["exponent"] for row in scalars]
    return {
        "figure": "speedup",
        "seed": seed,
        "scale": scale,
        "depths": [int(n) for n in L],
        "targets": SCALARS,
        "eps": EPS,
        "scalars": scalars,
        "spectra": spectra,
        "final": final.tolist(),
        "even_log10": even.tolist(),
        "caption_numbers": {
            "deepest": int(L[-1]),
            "window": slopes[0]["window"],
            "least_exponent": min(s["low"] for s in slopes),
            "largest_exponent": max(s["high"] for s in slopes),
            "least_slope": min(s["slope"] for s in slopes),
            "largest_slope": max(s["slope"] for s in slopes),
            "limit_depth": LIMIT_DEPTH,
            "limit_slope_low": min(row["limit_slope"] for row in scalars),
            "limit_slope_high": max(row["limit_slope"] for row in scalars),
            "limit_error": max(abs(row["limit_error"]) for row in scalars),
            "least_ratio": float(np.min(ratios)),
            "largest_ratio": float(np.max(ratios)),
            "ratio_over_depth_deepest": float(np.max(ratios[:, :, -1]) / L[-1]),
            "slower": int(np.count_nonzero(ratios < 1.0)),
            "cases": int(ratios.size),
            "slower_from": float(np.max(phi[np.any(ratios < 1.0, axis=(1, 2))])),
            "final_low": float(np.min(final)),
            "final_high": float(np.max(final)),
        },
    }


def steps_study(seed: int, scale: str = "small") -> dict[str, Any]:
    """Steps to 1e-6 of R(0) over depth: theorem's step, proved step, best step; both methods.

    "rows": per target, method and rule the steps, the step sizes and the exponent with interval;
    "quotients": ZAS over sharing, which ACC claims to grow as L^2.
    """
    L, eps = depths(scale), 1e-6
    rules = {
        "theorem": steps.theorem_steps,
        "proved": steps.proved_steps,
        "best": steps.best_steps,
    }
    rows: list[dict[str, Any]] = []
    quotients: list[dict[str, Any]] = []
    for name in ("all above one", "across one", "all below one"):
        for rule, count in rules.items():
            found = {}
            for method in ("shared", "zas"):
                counts = [count(method, TARGETS[name], n, eps) for n in L]
                found[method] = [c.steps for c in counts]
                rows.append(
                    {
                        "target": name,
                        "eigenvalues": TARGETS[name],
                        "method": method,
                        "rule": rule,
                        "steps": found[method],
                        "eta": [c.eta for c in counts],
                        "routes": [c.route for c in counts],
                        "exponent": depth_exponent(L, found[method]),
                    }
                )
            quotient = [z / s for z, s in zip(found["zas"], found["shared"], strict=True)]
            quotients.append(
                {
                    "target": name,
                    "rule": rule,
                    "zas_over_shared": quotient,
                    "exponent": depth_exponent(L, quotient),
                }
            )
    one = [
        steps.best_steps("zas", TARGETS["across one"], n, eps, robust=False).steps
        for n in (L[0], L[-1])
    ]
    exponents = {
        f"{kind} {rule}": _hull([row["exponent"] for row in table if row["rule"] == rule])
        for rule in rules
        for kind, table in (
            ("shared", [row for row in rows if row["method"] == "shared"]),
            ("zas", [row for row in rows if row["method"] == "zas"]),
            ("quotient", quotients),
        )
    }
    return {
        "figure": "steps",
        "seed": seed,
        "scale": scale,
        "depths": L,
        "eps": eps,
        "rows": rows,
        "quotients": quotients,
        "caption_numbers": {
            "deepest": L[-1],
            "window": rows[0]["exponent"]["window"],
            "exponents": exponents,
            "one_step": one,
            "best_deepest": {
                f"{row['method']}, {row['target']}": row["steps"][-1]
                for row in rows
                if row["rule"] == "best"
            },
            "quotient_deepest": {
                f"{q['rule']}, {q['target']}": q["zas_over_shared"][-1] for q in quotients
            },
        },
    }


def admissible_study(seed: int, scale: str = "small") -> dict[str, Any]:
    """The largest step of THM3 and THM4: the paper's, the proved one, and where it really ends.

    "rows": per theorem and target, per depth. The exponent of true over paper tells what power of
    L the paper's step loses. THM3's true step takes runs of 100 / eta steps, so its depths end at
    32, 128 or 1024 by scale, and its exponents are fitted from 16 on.
    """
    size = check_scale(scale)
    all_depths = depths(scale)
    few = [2, 16, 32] if size == 0 else [2**k for k in range(1, [8, 11][size - 1])]
    rows: list[dict[str, Any]] = []
    for theorem in admissible.THEOREMS:
        L, first = (all_depths, WINDOW) if theorem == "theorem4" else (few, 16)
        for name, values in TARGETS.items():
            paper = [admissible.theorem_step(theorem, values, n) for n in L]
            proved = [admissible.proved_step(theorem, values, n) for n in L]
            true = [admissible.largest_step(theorem, values, n) for n in L]
            rows.append(
                {
                    "theorem": theorem,
                    "target": name,
                    "eigenvalues": values,
                    "depths": L,
                    "paper": paper,
                    "proved": proved,
                    "true": true,
                    "true_exponent": depth_exponent(L, true, first),
                    "loose_exponent": depth_exponent(L, np.divide(true, paper), first),
                }
            )
    numbers: dict[str, Any] = {}
    for theorem in admissible.THEOREMS:
        mine = [row for row in rows if row["theorem"] == theorem]
        over = np.array([np.divide(row["true"], row["proved"]) for row in mine])
        loose = np.array([np.divide(row["true"], row["paper"]) for row in mine])
        numbers[theorem] = {
            "deepest": mine[0]["depths"][-1],
            "window": mine[0]["true_exponent"]["window"],
            "true_over_proved_low": float(np.min(over)),
            "true_over_proved_high": float(np.max(over)),
            "true_over_paper_shallow": float(np.min(loose[:, 0])),
            "true_over_paper_deep_low": float(np.min(loose[:, -1])),
            "true_over_paper_deep_high": float(np.max(loose[:, -1])),
            "true_exponent": _hull([row["true_exponent"] for row in mine]),
            "loose_exponent": _hull([row["loose_exponent"] for row in mine]),
        }
    return {
        "figure": "admissible",
        "seed": seed,
        "scale": scale,
        "rows": rows,
        "caption_numbers": numbers,
    }


def _hull(found: list[dict[str, Any]]) -> dict[str, float]:
    """Range of the fitted slopes, and of the local ones, over several targets."""
    return {
        "slope_low": min(f["slope"] for f in found),
        "slope_high": max(f["slope"] for f in found),
        "low": min(f["low"] for f in found),
        "high": max(f["high"] for f in found),
    }
