"""How much faster are the closed forms than integrating the scalar ODEs one by one?

For L = 1..4096 and 1000 times each: process time of one vectorised call, beside scipy's solve_ivp
(DOP853, LSODA at rtol 1e-11) on a random sample of depths, extrapolated to all depths. The two
are interleaved, repeated, and summed up by their medians. Two grids: one log-spaced grid of times
common to all depths, and per depth a linear grid that ends where 99.99 % of the way is done, so
that no point is saturated. Writes a JSON record with the versions.

    python benchmarks/closed_form.py --out records/closed_form.json
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from theory import shared_flow, zas_flow

Array = NDArray[np.float64]
DEPTHS = np.arange(1, 4097)
POINTS = 1000
RTOL, ATOL = 1e-11, 1e-13


def shared_field(
    depth: int, phi: float
) -> tuple[Callable[[float, Array], list[float]], list[float]]:
    power = 2.0 - 2.0 / depth
    return lambda _, y: [depth * y[0] ** power * (phi - y[0])], [1.0]


def zas_field(
    depth: int, sigma: float
) -> tuple[Callable[[float, Array], list[float]], list[float]]:
    """theta' = cosh^(L-2)(theta) (sigma - sinh(theta) cosh^(L-1)(theta))."""

    top = 300.0 / depth if depth > 60 else 5.0

    def field(_: float, y: Array) -> list[float]:
        theta = min(max(float(y[0]), -top), top)  # trial steps of the integrator may overflow
        cosh = math.cosh(theta)
        return [cosh ** (depth - 2) * (sigma - math.sinh(theta) * cosh ** (depth - 1))]

    return field, [0.0]


FLOWS: dict[str, tuple[Any, Any, Any, float]] = {
    "shared": (shared_flow.eigenvalue, shared_flow.time_to, shared_field, 1.0),
    "zas": (zas_flow.singular_value, zas_flow.time_to, zas_field, 0.0),
}


def measure(
    flow: str, target: float, grid: str, sample: int, repeats: int, seed: int
) -> dict[str, Any]:
    evaluate, time_to, field, start = FLOWS[flow]
    depth = DEPTHS[:, None]
    end = time_to(start + 0.9999 * (target - start), target, depth)
    if grid == "log":
        times = np.broadcast_to(np.logspace(-6, 1, POINTS), (DEPTHS.size, POINTS))
        argument = times[0]
    else:
        times = end * np.linspace(0.0, 1.0, POINTS)
        argument = times
    begin = time.process_time()
    values = evaluate(argument, target, depth)
    first_call = time.process_time() - begin
    rng = np.random.default_rng(seed)
    closed: list[float] = []
    ode: dict[str, list[float]] = {"DOP853": [], "LSODA": []}
    worst = 0.0
    for _ in range(repeats):
        begin = time.process_time()
        values = evaluate(argument, target, depth)
        closed.append(time.process_time() - begin)
        for method, seconds in ode.items():
            spent = 0.0
            for row in rng.choice(DEPTHS.size, sample, replace=False):
                right, y0 = field(int(DEPTHS[row]), target)
                begin = time.process_time()
                result = solve_ivp(  # type: ignore[call-overload]
                    right,
                    (0.0, float(times[row, -1])),
                    y0,
                    method=method,
                    t_eval=times[row],
                    rtol=RTOL,
                    atol=ATOL,
                )
                spent += time.process_time() - begin
                y = result.y[0]
                if flow == "zas":
                    y = np.sinh(y) * np.exp((DEPTHS[row] - 1) * np.log(np.cosh(y)))
                scale = max(abs(target), 1.0)
                worst = max(worst, float(np.max(np.abs(y - values[row]))) / scale)
            seconds.append(spent / sample * DEPTHS.size)
    ours = statistics.median(closed)
    by_method = {name: statistics.median(seconds) for name, seconds in ode.items()}
    best = min(by_method, key=lambda name: by_method[name])
    return {
        "flow": flow,
        "target": target,
        "grid": grid,
        "points": values.size,
        "closed_form_seconds": ours,
        "closed_form_spread": [min(closed), max(closed)],
        "closed_form_first_call_seconds": first_call,
        "nanoseconds_per_point": ours / values.size * 1e9,
        "ode_seconds_extrapolated": by_method,
        "ode_depths_sampled": sample * repeats,
        "largest_difference": worst,
        "ratio_to_fastest_ode": by_method[best] / ours,
        "fastest_ode": best,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--sample", type=int, default=40, help="depths integrated per repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = []
    for flow in FLOWS:
        for target in (0.5, 2.0):
            for grid in ("log", "active"):
                row = measure(flow, target, grid, options.sample, options.repeats, options.seed)
                rows.append(row)
                print(
                    f"{flow:6s} target {target:g} grid {grid:6s}: closed form "
                    f"{row['closed_form_seconds']:.3f} s ({row['nanoseconds_per_point']:.0f} ns a "
                    f"point), {row['fastest_ode']} "
                    f"{row['ode_seconds_extrapolated'][row['fastest_ode']]:.1f} s (extrapolated "
                    f"from {row['ode_depths_sampled']} of {DEPTHS.size} depths), ratio "
                    f"{row['ratio_to_fastest_ode']:.0f}",
                    flush=True,
                )
    record = {
        "what": "closed forms beside solve_ivp, process time; ODE times extrapolated from a sample",
        "rtol": RTOL,
        "atol": ATOL,
        "seed": options.seed,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "processor": platform.processor() or platform.machine(),
        "rows": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
