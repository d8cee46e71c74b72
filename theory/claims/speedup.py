"""Claims on speed: the paper's ACC, decided, and the limits of the exact ratio.

As in `theory.claims.theorems`, the formula under test is an argument, so that a wrong one can be
shown to fail. What is proved is so in the docstring that the grounds name.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.linear import shared_flow, zas_flow
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies.speedup import LIMIT_DEPTH, SCALARS, speedup_study, steps_study
from theory.theorems.speedup import deep_ratio, final_ratio, flow_time, time_ratio

PER_CENT = 5e-3
"""A formula for the ratio counts as right within half a per cent: it is exact or it is not."""


def depth_factor(target: float, depth: Array, eps: float) -> Array:
    """ACC's flow half: sharing is L times faster, whatever the target and eps."""
    return np.asarray(depth, dtype=np.float64)


def check_acc(
    seed: int, scale: str, formula: Callable[[float, Array, float], Array] = depth_factor
) -> Finding:
    """Exact time ratios against `formula`(target, depths, eps), and where sharing is slower."""
    data = speedup_study(seed, scale)
    L = np.array(data["depths"], dtype=np.float64)
    numbers = data["caption_numbers"]
    shares = np.concatenate(
        [np.array(row["ratio"]) / formula(row["target"], L, row["eps"]) for row in data["scalars"]]
    )
    worst = float(np.max(np.abs(shares - 1.0)))
    where = []
    for target in data["targets"]:
        rows = [r for r in data["scalars"] if r["target"] == target and r["slower_at"]]
        ends = ", ".join(f"{row['slower_at'][-1]} at {row['eps']:.0e}" for row in rows)
        where += [f"target {target:g} up to L = {ends}"] if rows else []
    return Finding(
        Verdict.whether(worst < PER_CENT),
        f"Exact times, {numbers['cases']} scalar cases (targets {SCALARS[0]} to {SCALARS[-1]}, eps "
        f"1e-2 to 1e-12, L up to {numbers['deepest']}): time without sharing over time with "
        f"sharing is {numbers['least_ratio']:.3g} to {numbers['largest_ratio']:.3g}, "
        f"{shares.min():.2g} to {shares.max():.3g} times the factor claimed; its exponent of L, "
        f"fitted on L = "
        f"{numbers['window'][0]} to {numbers['window'][1]}, is {numbers['least_slope']:.2f} to "
        f"{numbers['largest_slope']:.2f} (local slopes {numbers['least_exponent']:.2f} to "
        f"{numbers['largest_exponent']:.2f}) and 1/2 in the limit. L is the factor at t = 0 only. "
        f"Sharing is the slower one in {numbers['slower']} cases (" + "; ".join(where) + ")",
        Rigour.SAMPLED,
        "exact closed forms; the exponents' intervals are ranges of local slopes",
    )


def check_limits(
    seed: int,
    scale: str,
    deep: Callable[..., Array] = deep_ratio,
    final: Callable[..., Array] = final_ratio,
) -> Finding:
    """Both limits of the time ratio against the exact ratio far out."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 11])
    count = [20, 400, 4000][size]
    phi = np.exp(rng.uniform(np.log(0.05), np.log(20.0), count))
    L = np.exp(rng.uniform(np.log(2.0), np.log(4096.0), count)).astype(int)
    eps = 10.0 ** rng.uniform(-12.0, -0.5, count)
    far = float(LIMIT_DEPTH)
    exact = np.array([time_ratio(p, far, e) for p, e in zip(phi, eps, strict=True)])
    off = float(np.max(np.abs(deep(phi, far, eps) / exact - 1.0)))
    # The time from eps = 1e-11 to 1e-12, in which log R is linear up to 1e-5.
    late = np.array(
        [
            _late_ratio(p, n) / float(final(p, n)) - 1.0
            for p, n in zip(phi, L.astype(float), strict=True)
        ]
    )
    late_off = float(np.max(np.abs(late)))
    largest = float(np.max(final(phi, L)))
    # An eigenvalue 1 costs sharing nothing, and ZAS its slowest rate: the side condition matters.
    with_one = float(time_ratio([1.0, 4.0], 2, 1e-60))
    limit = float(shared_flow.rate(4.0, 4.0, 2) / zas_flow.rate(1.0, 2))
    holds = off < 1e-3 and late_off < 1e-3 and largest < 1.0 < with_one < limit
    return Finding(
        Verdict.whether(holds),
        f"{count} random cases: at L = 2^40 the exact ratio is the limit formula's to {off:.1e} "
        f"(tolerance 1e-3: the order left out is 1 / (sqrt(L) log L)); the time from 1e-11 to "
        f"1e-12 has the final ratio to {late_off:.1e}, and that ratio is at most {largest:.4f}: "
        "sharing ends slower. With an eigenvalue 1 it need not: [1, 4] at L = 2 has the ratio "
        f"{with_one:.3f} at eps = 1e-60, on its way to {limit:.3f}",
        Rigour.PROVED,
        "proof in theory/theorems/speedup.py (weighted means); Laplace's method for L -> infinity, "
        "sampled",
    )


def _late_ratio(target: float, depth: float) -> float:
    spans = [
        np.diff(flow_time(method, target, depth, [1e-11, 1e-12]))[0] for method in ("zas", "shared")
    ]
    return float(spans[0] / spans[1])


def check_acc_steps(seed: int, scale: str, claimed: float = 2.0) -> Finding:
    """Is ZAS over sharing of order L^claimed in steps, at any of the three rules for eta?"""
    data = steps_study(seed, scale)
    numbers = data["caption_numbers"]
    found = numbers["exponents"]

    def span(key: str) -> str:
        ends = (round(found[key][end], 2) + 0.0 for end in ("slope_low", "slope_high"))
        return " to ".join(f"{end:.2f}" for end in ends)  # + 0.0: no minus before a zero

    quotient = found["quotient theorem"]
    best = numbers["best_deepest"]
    ends = "; ".join(
        f"{name} {best['shared, ' + name]:.0f} with and {best['zas, ' + name]:.0f} without"
        for name in ("all above one", "across one", "all below one")
    )
    return Finding(
        Verdict.whether(quotient["low"] <= claimed <= quotient["high"]),
        f"Steps to {data['eps']:.0e}, exponents of L fitted on L = {numbers['window'][0]} to "
        f"{numbers['window'][1]}. At each theorem's own eta: {span('shared theorem')} with sharing "
        f"(1 in the limit, the paper's O(L)), {span('zas theorem')} from ZAS (5/2 in the limit, "
        f"not the paper's 3), quotient {span('quotient theorem')} (local slopes "
        f"{quotient['low']:.2f} to {quotient['high']:.2f}). At the steps proved here: "
        f"{span('shared proved')}, {span('zas proved')}. At the best eta known to 1 %: "
        f"{span('shared best')}, {span('zas best')}; at L = {numbers['deepest']} {ends} sharing. "
        f"At eta = 1 ZAS descent needs {numbers['one_step'][-1]:.0f} step at any depth",
        Rigour.SAMPLED,
        "exact scalar reduction, counted; above 20 000 steps exact flow time / eta",
    )


CLAIMS = (
    Claim(
        "ACC",
        "Sharing is L times faster in flow (and L^2 times in steps, see ACC-STEPS)",
        "after Theorems 2 and 4",
        "speedup",
        "docs/theory.md#1-is-sharing-l-times-faster-in-flow",
        check_acc,
    ),
    Claim(
        "ACC-STEPS",
        "O(L log 1/eps) steps with sharing against O(L^3 log 1/eps) from ZAS: L^2 times fewer",
        "after Theorems 3 and 4",
        "steps",
        "docs/theory.md#2-is-it-l-times-faster-in-steps",
        check_acc_steps,
    ),
    Claim(
        "ACC-LIMITS",
        "Time ratio: sqrt(pi L / 2) / (phi C(phi, eps)) as L -> infinity; below 1 as eps -> 0 for "
        "L >= 2 and every target without an eigenvalue 1 (where sharing starts)",
        "ours",
        "speedup",
        "docs/theory.md#1-is-sharing-l-times-faster-in-flow",
        check_limits,
    ),
)
