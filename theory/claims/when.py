"""Ledger records of when sharing helps: the WHEN family.

Statements and proofs are in `theory.models.switching`, `.horizon`, `.interlacing` and
`.noise_and_deviations`; here they are confronted with retraining, exhaustive search and runs. A
formula under test is an argument, so that a wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import expm

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import branch_scale, horizon, interlacing, switching
from theory.models import noise_and_deviations as noisy
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


def check_noise(
    seed: int,
    scale: str,
    formula: Callable[[float, float, float, float], float] = noisy.noise_horizon,
) -> Finding:
    """Where the tuned gain ends, over the prediction; where one rate's gain turns."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 66])
    count, peaks = [2, 6, 30][size], [30, 40, 120][size]
    ends = []
    for _ in range(count):
        v = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
        s2 = float(np.exp(rng.uniform(np.log(0.2), np.log(2.0))))
        L = int(rng.integers(2, 17))
        predicted = formula(1.0, 1.0, v, s2)
        shares = np.geomspace(0.2, 5.0, 11)
        gains = [
            noisy.tuned(np.ones(L), max(1, round(x * predicted)), 1.0, v, s2, peaks)["gain"]
            for x in shares
        ]
        with_gain = np.flatnonzero(np.array(gains) >= study.FLOOR)
        ends.append(float(shares[with_gain[-1]]) if with_gain.size else 0.0)
    tops = [
        study.one_rate_curve(
            study.one_stiff(stiff, 1.0), 1.0 / stiff, v, s2, np.geomspace(1.0 / 32.0, 4.0, 15)
        )["top"]
        for stiff, v, s2 in ((8.0, 0.001, 0.01), (8.0, 0.01, 1.0), (3.0, 0.001, 0.01))
    ]
    factor = max(max(x, 1.0 / x) if x > 0.0 else np.inf for x in [*ends, *tops])
    return Finding(
        Verdict.LIMITS if factor <= 3.0 else Verdict.FAILS,
        f"tuned rates, {count} exchangeable problems (L 2 to 16): the gain passes "
        f"{study.FLOOR:g} decades at {min(ends):.2f} to {max(ends):.2f} times N_0 = "
        "(c / 2)(1 + sigma^2 / (a^2 v)). One rate, one stiff layer: the gain's top lies at "
        + ", ".join(f"{top:.2f}" for top in tops)
        + " times the budget at which the untied run has as much noise as start left",
        Rigour.HEURISTIC,
        "two formulas beside exact losses of SGD; no proof that no larger rate suits sharing",
        f"within a factor {factor:.2g}",
    )


def check_stiff(
    seed: int,
    scale: str,
    formula: Callable[[float], tuple[float, float]] = noisy.stiff_rates,
) -> Finding:
    """The threshold of the theorem, and rates of finite runs with narrow bands of curvature."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 67])
    count = [10, 40, 200][size]
    ratios = np.exp(rng.uniform(np.log(0.1), np.log(100.0), count))
    wrong = 0
    for ratio in ratios:
        untied, tied = formula(float(ratio))
        wrong += (tied > untied * (1.0 + 1e-9)) != (ratio > 2.0)
    rows = []
    band = np.linspace(0.9512, 1.0013, 20)
    for ratio in (1.5, 6.0, 30.0):
        logs = []
        for N in (201, 401):
            best = np.full(2, np.inf)
            for peak in np.geomspace(0.3, 4.0 * max(3.0, ratio**0.5), [100, 200, 400][size]):
                eta = linear_steps(float(peak), N)[:, None]
                slow = float(np.max(np.sum(np.log(np.abs(1.0 - eta * band / ratio)), axis=0)))
                each = np.log(np.abs(1.0 - eta * band))
                left = np.concatenate([np.cumsum(each[::-1], axis=0)[::-1], np.zeros((1, 20))])
                worst = np.max(left, axis=1)
                best = np.minimum(best, [max(slow, worst[0]), max(slow, worst.min())])
            logs.append(best)
        rows.append((ratio, (logs[0] - logs[1]) / 200.0, np.array(formula(ratio))))
    apart = max(float(np.max(np.abs(found / rates - 1.0))) for _, found, rates in rows)
    return Finding(
        Verdict.whether(wrong == 0 and apart < 0.1),
        f"{count} ratios from 0.1 to 100: SWE's rate is the larger one iff a > 2 c ({wrong} "
        "exceptions). Log of the worse mode's shrinkage an update, equal start and SWE, runs of "
        "201 and 401 updates at their own best peaks: "
        + "; ".join(
            f"a / c = {ratio:g}: {found[0]:.3f} and {found[1]:.3f} (predicted {rates[0]:.3f} and "
            f"{rates[1]:.3f})"
            for ratio, found, rates in rows
        )
        + f"; largest gap {100.0 * apart:.1f} %",
        Rigour.PROVED,
        "proof in theory.models.noise_and_deviations (limit of many updates, almost every peak); "
        "finite runs",
    )


def check_stages(
    seed: int, scale: str, counts: tuple[int, int, int] = (6, 40, 200), within: float = 0.1
) -> Finding:
    """SWE-M's and SWE-A's rules beside the best chain and the best tau, and sigma's sign."""
    found = study.stages(seed, counts[check_scale(scale)], 60, 9)
    short = found["swe-m"] - found["stages"]
    alone = found["swe-a"] - found["single"]
    more = found["single"] - found["stages"]
    near = float(np.mean(short <= within))
    agree = float(np.mean(found["low"] == found["hurts"]))

    def told(values: Array) -> str:
        low, middle, high = np.percentile(values, [10, 50, 90])
        return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"

    return Finding(
        Verdict.whether(near > 0.5),
        f"{short.size} random problems of 4 layers x 2, 60 updates, log10 final losses, median "
        f"and middle 80 %: SWE-M minus the best of 729 chains {told(short)}, within {within:g} in "
        f"{100.0 * near:.0f} %; SWE-A minus the best tau {told(alone)}; the best tau minus the "
        f"best chain {told(more)}; the equal start minus the best tau "
        f"{told(found['equal'] - found['single'])}, minus SWE-M "
        f"{told(found['equal'] - found['swe-m'])}. At {found['low'].size} checks of the tied "
        f"runs SWE-A's rule and the sign of sigma agree in {100.0 * agree:.0f} %; to say untie "
        f"always agrees in {100.0 * float(np.mean(found['hurts'])):.0f} %",
        Rigour.SAMPLED,
        f"{short.size} random quadratics, all chains on a grid of 9 times a boundary",
    )


def residual_hessian(weight: Array, depth: int, beta: float) -> Array:
    """Gauss-Newton Hessian (L, d^2, L, d^2) of prod (I + beta W) at equal layers, by Jacobians."""
    d = weight.shape[0]
    step = np.eye(d) + beta * weight
    powers = [np.linalg.matrix_power(step, n) for n in range(depth)]
    J = np.array([beta * np.kron(powers[depth - 1 - n], powers[n].T) for n in range(depth)])
    return np.asarray(np.einsum("lai,maj->limj", J, J))


def check_depth(
    seed: int,
    scale: str,
    formula: Callable[[float, Array], Array] = branch_scale.curvature_ratio,
) -> Finding:
    """The closed form against Hessians of whole stacks; exponents of L for three scales."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 69])
    worst, count = 0.0, [5, 20, 60][size]
    for _ in range(count):
        d, L = int(rng.integers(2, 4)), int(rng.integers(2, 17))
        half = rng.normal(size=(d, d))
        W = (half + half.T) / (4.0 * d**0.5)
        beta = float(L ** -rng.choice([0.0, 0.5, 1.0])) * 0.5
        omega = np.linalg.eigvalsh(W)
        out, into = (1.0 + beta * omega)[:, None, None], (1.0 + beta * omega)[None, :, None]
        chain = beta * out ** np.arange(L)[::-1] * into ** np.arange(L)
        blocks = np.sum(chain**2, axis=-1)
        g = branch_scale.growth(omega[:, None], omega[None, :], beta)
        _, tied = interlacing.spectra(residual_hessian(W, L, beta))
        predicted = np.sort((blocks / formula(L, g)).reshape(-1))
        worst = max(worst, float(np.max(np.abs(predicted - tied)) / tied[-1]))
    depths = 4.0 ** np.arange(4, 7)
    slopes, ends = [], []
    for power in (1.0, 0.5, 0.0):
        ratios = np.array(
            [float(formula(L, branch_scale.growth(-0.3, 0.7, L**-power))) for L in depths]
        )
        slopes.append(float(np.log(ratios[-1] / ratios[0]) / np.log(depths[-1] / depths[0])))
        ends.append(float(ratios[-1]))
    fits = bool(np.all(np.abs(np.subtract(slopes, [0.0, 0.5, 1.0])) < 0.02))
    return Finding(
        Verdict.whether(worst < 1e-10 and fits),
        f"{count} random stacks of 2 to 16 layers: eigenvalues of C of the whole Hessian against "
        f"the closed form, largest gap {worst:.0e} of the largest. Eigenvalues -0.3 and 0.7: "
        "lmax(H) / lmax(C) of the mixed block at L = 4096 and its exponent of L (256 to 4096): "
        + ", ".join(
            f"{end:.3g} and {slope:.3f} for {name}"
            for name, end, slope in zip(("1 / L", "1 / sqrt(L)", "1"), ends, slopes, strict=True)
        ),
        Rigour.PROVED,
        f"geometric sums in theory.models.branch_scale; {count} random stacks",
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
    Claim(
        "WHEN-NOISE",
        "Exchangeable layers, noise sigma^2, deviations v, tuned rates: the gain ends about "
        "N_0 = (c / 2)(1 + sigma^2 / (a^2 v)) updates; at one rate the curvature's gain turns "
        "where noise overtakes what is left of the start",
        "ours (theory.models.noise_and_deviations)",
        "when",
        SECTION,
        check_noise,
    ),
    Claim(
        "WHEN-STIFF",
        "Exchangeable, no noise, linear decay, each arm at its own best rate: sharing raises the "
        "rate of convergence iff the differences' curvature exceeds twice the mean's",
        "ours (theory.models.noise_and_deviations)",
        "",
        SECTION,
        check_stiff,
    ),
    Claim(
        "WHEN-STAGES",
        "Coupled layers of different curvature, SGD with linear decay: SWE-M's cosine rule ends "
        "within a tenth of a decade of the best untying in stages",
        "ours (theory.models.general_schedule)",
        "",
        SECTION,
        check_stages,
    ),
    Claim(
        "WHEN-DEPTH",
        "Linear residual stack at equal symmetric layers, branches times beta: a block's lmax(H) / "
        "lmax(C) is L tanh(g/2) / tanh(L g/2), bounded in L for beta = 1/L, of order sqrt(L) for "
        "1/sqrt(L) and L for 1",
        "ours (theory.models.branch_scale)",
        "",
        SECTION,
        check_depth,
    ),
)
