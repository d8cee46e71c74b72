"""Ledger records of when sharing helps, at one rate: slopes, budgets, patterns, curvatures.

Statements and proofs are in `theory.models.switching`, `.horizon` and `.interlacing`; here they are
confronted with retraining, exhaustive search and runs. A formula under test is an argument, so that
a wrong one can be shown to fail. `theory.claims.when_tuned` goes on with noise and tuned rates.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import expm

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import horizon, interlacing, switching
from theory.models.quadratic import linear_steps
from theory.models.switching import Model
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies import when as study

SECTION = "docs/theory.md#when-does-tying-pay"


def random_hessian(rng: np.random.Generator, layers: int, width: int) -> Array:
    """H > 0 (L, k, L, k), a Wishart matrix with its least eigenvalues raised by 0.05."""
    n = layers * width
    half = rng.normal(size=(n, n))
    flat = half @ half.T / n + 0.05 * np.eye(n)
    return np.asarray(flat.reshape(layers, width, layers, width))


def product_model(target: float) -> Model:
    """A one-dimensional deep linear net: F = (w_L .. w_1 - target)^2 / 2, w (L, 1)."""

    def slopes(w: Array) -> tuple[float, Array]:
        return float(np.prod(w)), np.asarray(np.prod(w) / w[:, 0])

    def gradient(_: int, w: Array) -> Array:
        value, first = slopes(w)
        return np.asarray((value - target) * first)[:, None]

    def product(_: int, w: Array, v: Array) -> Array:
        value, first = slopes(w)
        second = value / np.outer(w[:, 0], w[:, 0])
        np.fill_diagonal(second, 0.0)
        flat = v[:, 0]
        return np.asarray(first * (first @ flat) + (value - target) * (second @ flat))[:, None]

    return Model(gradient, product)


def check_switch(
    seed: int,
    scale: str,
    formula: Callable[[Model, Array, Array, Array], Array] = switching.tie_derivatives,
) -> Finding:
    """Derivatives in every tie weight against retraining; sigma against one more tied update."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 61])
    count, N = [5, 20, 200][size], 12
    worst, left, target = 0.0, [], 2.0
    model = product_model(target)

    def final(start: Array, weights: Array, eta: Array) -> float:
        end = switching.trajectory(model, start, eta, weights)[-1]
        return 0.5 * (float(np.prod(end)) - target) ** 2

    for _ in range(count):
        start = rng.uniform(0.7, 1.3, (int(rng.integers(2, 7)), 1))
        ties, steps = rng.uniform(0.1, 0.9, N), linear_steps(0.05, N)
        found = formula(model, start, steps, ties)
        slopes = [
            (final(start, ties + shift, steps) - final(start, ties - shift, steps)) / 2e-3
            for shift in 1e-3 * np.eye(N)
        ]
        worst = max(worst, float(np.max(np.abs(found - slopes)) / np.max(np.abs(slopes))))
        for eta in (0.002, 0.001):
            small = linear_steps(eta, N)
            change = np.diff(
                [final(start, np.repeat([1.0, 0.0], [tau, N - tau]), small) for tau in range(N + 1)]
            )
            left.append(float(np.max(np.abs(change - switching.switching(model, start, small)))))
    order = float(np.median(np.log2(np.divide(left[::2], left[1::2]))))
    return Finding(
        Verdict.whether(worst < 1e-5 and abs(order - 2.0) < 0.1),
        f"{count} deep linear nets of 2 to 6 layers, {N} updates, random tie weights: largest gap "
        f"to central differences of full retraining {worst:.1e} of the largest derivative "
        f"(tolerance 1e-5: theirs); tying one update more changes the final "
        f"loss by sigma up to order {order:.2f} of the rate",
        Rigour.PROVED,
        f"chain rule in theory.models.switching; {count} random nets by retraining",
    )


def check_commute(
    seed: int, scale: str, formula: Callable[[Array, float], Array] = switching.helping_optimum
) -> Finding:
    """Exchangeable: no slope below 0. Others: an optimum that gains at every budget tried."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 62])
    count, L, k = [5, 30, 300][size], 4, 2
    least, gains, budgets = np.inf, [], (0.01, 1.0, 20.0)
    mean = np.kron(np.full((L, L), 1.0 / L), np.eye(k))
    for _ in range(count):
        own, common = (random_hessian(rng, 1, k)[0, :, 0] for _ in range(2))
        equal = np.einsum("lm,ij->limj", np.eye(L), own) + common[None, :, None] / L
        for T in budgets:
            g = rng.normal(size=(L, k))
            least = min(least, switching.flow_switching(equal, g, T) / float(np.sum(g**2)))
        H = random_hessian(rng, L, k)
        flat = H.reshape(L * k, L * k)
        for T in budgets:
            e = -formula(H, T).reshape(-1)
            ends = [
                expm(-flat * (T - tau)) @ expm(-mean @ flat * tau) @ e
                for tau in T * np.array([0.0, 1e-4, 1e-3, 1e-2, 1e-1])
            ]
            losses = [float(end @ flat @ end) for end in ends]
            gains.append(1.0 - min(losses[1:]) / losses[0])
    return Finding(
        Verdict.whether(least > -1e-14 and min(gains) > 0.0),
        f"{count} exchangeable Hessians, budgets {', '.join(f'{T:g}' for T in budgets)}: least "
        f"slope in tau {least:.1e} of |g|^2 (0 up to rounding); {count} others: the constructed "
        f"optimum loses by {min(gains):.1e} to {max(gains):.1e} of its loss less when tied first, "
        "in every case and at every budget",
        Rigour.PROVED,
        f"proof in theory.models.switching; {count} random Hessians by matrix exponentials",
    )


def check_horizon(
    seed: int,
    scale: str,
    formula: Callable[[Array, float], float] = horizon.best_untie_time,
) -> Finding:
    """Best tau by brute force over a grid, budgets on both sides of T_c; random optima told."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 63])
    count = [40, 300, 3000][size]
    apart, inside = 0.0, 0
    for _ in range(count):
        h = np.exp(rng.uniform(np.log(0.01), 0.0, int(rng.integers(2, 13))))
        T = horizon.critical_horizon(h) * float(np.exp(rng.uniform(np.log(0.2), np.log(5.0))))
        grid = np.linspace(0.0, T, 1001)
        best = float(grid[int(np.argmin(horizon.log_loss(h, T, grid)))])
        inside += best > 0.0
        apart = max(apart, abs(best - formula(h, T)) / T)
    scaled = [horizon.critical_horizon(study.one_stiff(64.0, rest)) * 64.0 for rest in (1.0, 0.1)]
    rows = study.random_optima(seed, study.one_stiff(64.0, 1.0), [1.0, 3.0], 1000)
    return Finding(
        Verdict.whether(apart <= 1.01e-3 and 0 < inside < count),
        f"{count} random spectra of 2 to 12 layers, budgets 0.2 to 5 T_c, {inside} beyond T_c: "
        f"best tau of 1001 within {apart:.1e} T of max(0, T - T_c) (the grid is 1e-3). T_c times "
        f"the largest curvature: {scaled[0]:.3f} for (64, 1 x 7), {scaled[1]:.3f} for "
        "(64, 0.1 x 7). With independent N(0, 1) optima instead of one, some tau helps for "
        + " and ".join(f"{100 * r['helped']:.0f} % at {r['budget']:g} T_c" for r in rows),
        Rigour.PROVED,
        f"proof in theory.models.horizon; {count} random spectra by search over tau",
    )


def check_pattern(seed: int, scale: str) -> Finding:
    """All 2^N tie patterns: does any beat tied, then untied?"""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 64])
    count, N = [20, 100, 400][size], [8, 12, 14][size]
    beaten, inside, worst = 0, 0, 0.0
    for case in range(count):
        h = np.exp(rng.uniform(np.log(0.02), 0.0, int(rng.integers(2, 7))))
        peak = float(rng.uniform(0.1, 1.0))
        steps = np.full(N, peak) if case % 2 else linear_steps(peak, N)
        every, prefixes = horizon.all_schedules(h, steps)
        excess = float(prefixes.min() / every.min()) - 1.0
        worst = max(worst, excess)
        beaten += excess > 1e-12
        inside += 0 < int(prefixes.argmin()) < N
    return Finding(
        Verdict.CONJECTURE if beaten == 0 else Verdict.FAILS,
        f"all {2**N} patterns of {N} updates, {count} random problems of 2 to 6 layers (steps "
        f"times curvature up to 1, constant and decaying), best tau inside in {inside}: {beaten} "
        f"have a better pattern (excess at most {worst:.0e}). To first order none helps: the "
        "schedule satisfies Pontryagin's conditions, proved in theory.models.horizon",
        Rigour.SAMPLED,
        f"{count} random problems by exhaustive search; proof of the first-order conditions only",
    )


def check_interlace(
    seed: int, scale: str, formula: Callable[[Array], float] = interlacing.interlacing_gap
) -> Finding:
    """Random Hessians, indefinite too; conditioning and stable steps of the definite ones."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 65])
    count = [50, 500, 5000][size]
    least, steps, conditions = np.inf, [], []
    for _ in range(count):
        L, k = int(rng.integers(2, 9)), int(rng.integers(1, 5))
        H = random_hessian(rng, L, k)
        shifted = H - rng.uniform(0.0, 1.0) * np.eye(L * k).reshape(H.shape)
        scale_of = float(np.max(np.abs(interlacing.spectra(shifted)[0])))
        least = min(least, formula(shifted) / scale_of)
        untied, tied = interlacing.stable_steps(H)
        steps.append(tied / untied)
        untied, tied = interlacing.conditions(H)
        conditions.append(untied / tied)
    return Finding(
        Verdict.whether(least > -1e-12 and min(steps) >= 1.0 and min(conditions) >= 1.0),
        f"{count} random Hessians of 2 to 8 layers, 1 to 4 parameters each: least room in "
        f"lambda_i(H) <= lambda_i(C) <= lambda_(n-k+i)(H) {least:.1e} of |H| (>= 0 up to "
        f"rounding); the tied largest stable step is {min(steps):.2f} to {max(steps):.2f} times "
        f"the untied one, the condition number {min(conditions):.2f} to {max(conditions):.1f} "
        "times smaller",
        Rigour.PROVED,
        f"Cauchy's interlacing, in theory.models.interlacing; {count} random cases",
    )


CLAIMS = (
    Claim(
        "WHEN-SWITCH",
        "Tying update t instead of not tying it changes the final loss of SGD by eta_t "
        "<lambda_(t+1), Q g_t>, to first order in the weight of the tie: exact derivative, any "
        "twice differentiable loss",
        "ours (theory.models.switching)",
        "",
        SECTION,
        check_switch,
    ),
    Claim(
        "WHEN-COMMUTE",
        "Quadratic, flow, one rate, no noise: tying never helps if [H, Q] = 0; otherwise (H > 0) "
        "at every budget there is an optimum for which tying first helps",
        "ours (theory.models.switching)",
        "",
        SECTION,
        check_commute,
    ),
    Claim(
        "WHEN-HORIZON",
        "Layers of curvatures h_l, one start and one optimum, flow: tying first helps iff T > T_c, "
        "T_c the root of sum_l exp(-2 h_l T) h_l (h_l - mean h); the best tau is max(0, T - T_c)",
        "ours (theory.models.horizon)",
        "when",
        SECTION,
        check_horizon,
    ),
    Claim(
        "WHEN-PATTERN",
        "In the horizon's setting no pattern of tied and untied updates beats tied first, then "
        "untied",
        "ours (theory.models.horizon)",
        "",
        SECTION,
        check_pattern,
    ),
    Claim(
        "WHEN-INTERLACE",
        "Tying never raises sharpness and, for H > 0, never worsens conditioning: C = (1/L) "
        "sum_lm H_lm is a compression of H",
        "ours (theory.models.interlacing)",
        "",
        SECTION,
        check_interlace,
    ),
)
