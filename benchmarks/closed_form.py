"""How much faster are the closed forms than integrating the scalar ODEs one by one?

For L = 1..4096 and 1000 times each: process time of one vectorised call, beside scipy's solve_ivp
on a random sample of depths, extrapolated to all depths. The two are interleaved, repeated, and
summed up by their medians. Solvers run at two tolerances each; the one to beat is the fastest that
comes within NEAR of the closed form on every sampled depth, since a curve of fewer digits is not
the same work (the closed form itself is good to 1e-10, tested against mpmath). Two grids: one
log-spaced grid of times common to all depths, and per depth a linear grid that ends where 99.99 %
of the way is done, so that no point is saturated. ZAS is integrated as the flow's pair (zas) and in
the one variable that our analysis leaves (zas-1, the harder opponent). Writes a JSON record.

    python benchmarks/closed_form.py --out records/closed_form.json
"""

import json
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from swe.base.options import Parser
from theory.linear import shared_flow, zas_flow

Array = NDArray[np.float64]
DEPTHS = np.arange(1, 4097)
POINTS = 1000
METHODS: tuple[Literal["LSODA", "DOP853"], ...] = ("LSODA", "DOP853")
SOLVERS = [(method, rtol) for method in METHODS for rtol in (1e-11, 1e-13)]
ATOL = 1e-13
NEAR = 1e-9


def shared_field(
    depth: int, phi: float
) -> tuple[Callable[[float, Array], list[float]], list[float]]:
    power = 2.0 - 2.0 / depth
    return lambda _, y: [depth * y[0] ** power * (phi - y[0])], [1.0]


def zas_field(
    depth: int, sigma: float
) -> tuple[Callable[[float, Array], list[float]], list[float]]:
    """The pair (a, b) of the flow itself; that a^2 - b^2 = 1 makes one variable of it is ours."""
    top = math.exp(300.0 / depth)  # trial steps of the integrator may overflow

    def field(_: float, y: Array) -> list[float]:
        a, b = (min(max(float(value), -top), top) for value in y)
        inner = a ** (depth - 2)
        pull = inner * (sigma - inner * a * b)
        return [pull * b, pull * a]

    return field, [1.0, 0.0]


def reduced_field(
    depth: int, sigma: float
) -> tuple[Callable[[float, Array], list[float]], list[float]]:
    """The same flow in theta alone, a = cosh, b = sinh: the cheaper ODE that our analysis gives."""
    top = 300.0 / depth if depth > 60 else 5.0

    def field(_: float, y: Array) -> list[float]:
        theta = min(max(float(y[0]), -top), top)
        cosh = math.cosh(theta)
        return [cosh ** (depth - 2) * (sigma - math.sinh(theta) * cosh ** (depth - 1))]

    return field, [0.0]


FLOWS: dict[str, tuple[Any, Any, Any, float]] = {
    "shared": (shared_flow.eigenvalue, shared_flow.time_to, shared_field, 1.0),
    "zas": (zas_flow.singular_value, zas_flow.time_to, zas_field, 0.0),
    "zas-1": (zas_flow.singular_value, zas_flow.time_to, reduced_field, 0.0),
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
    names = [f"{method} rtol {rtol:g}" for method, rtol in SOLVERS]
    ode: dict[str, list[float]] = {name: [] for name in names}
    errors = dict.fromkeys(names, 0.0)
    for _ in range(repeats):
        begin = time.process_time()
        values = evaluate(argument, target, depth)
        closed.append(time.process_time() - begin)
        rows = rng.choice(DEPTHS.size, sample, replace=False)
        for name, (method, rtol) in zip(names, SOLVERS, strict=True):
            spent = 0.0
            for row in rows:
                right, y0 = field(int(DEPTHS[row]), target)
                span = (0.0, float(times[row, -1]))
                begin = time.process_time()
                result = solve_ivp(
                    right, span, y0, method=method, t_eval=times[row], rtol=rtol, atol=ATOL
                )
                spent += time.process_time() - begin
                y = result.y[0]
                if flow == "zas-1":
                    y = np.sinh(y) * np.exp((int(DEPTHS[row]) - 1) * np.log(np.cosh(y)))
                elif flow == "zas":
                    y = y ** (int(DEPTHS[row]) - 1) * result.y[1]
                error = float(np.max(np.abs(y - values[row]))) / max(abs(target), 1.0)
                errors[name] = max(errors[name], error)
            ode[name].append(spent / sample * DEPTHS.size)
    ours = statistics.median(closed)
    by_solver = {name: statistics.median(seconds) for name, seconds in ode.items()}
    near = [name for name in names if errors[name] <= NEAR]
    # Where none is near enough the most accurate stands in: it would need still more time.
    best = min(near, key=by_solver.__getitem__) if near else min(errors, key=errors.__getitem__)
    return {
        "flow": flow,
        "target": target,
        "grid": grid,
        "points": values.size,
        "closed_form_seconds": ours,
        "closed_form_spread": [min(closed), max(closed)],
        "closed_form_first_call_seconds": first_call,
        "nanoseconds_per_point": ours / values.size * 1e9,
        "ode_seconds_extrapolated": by_solver,
        "ode_depths_sampled": sample * repeats,
        "ode_largest_difference": errors,
        "ode_to_beat": best,
        "ode_to_beat_is_near": bool(near),
        "ratio": by_solver[best] / ours,
    }


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
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
                    f"point), {row['ode_to_beat']} "
                    f"{row['ode_seconds_extrapolated'][row['ode_to_beat']]:.1f} s (extrapolated "
                    f"from {row['ode_depths_sampled']} of {DEPTHS.size} depths, within "
                    f"{row['ode_largest_difference'][row['ode_to_beat']]:.0e}), ratio "
                    f"{row['ratio']:.0f}",
                    flush=True,
                )
    record = {
        "what": "closed forms beside solve_ivp, process time; ODE times extrapolated from a sample",
        "near": NEAR,
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
