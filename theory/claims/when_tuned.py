"""Ledger records of when sharing helps: noise, tuned rates, stages, depth.

Statements and proofs are in `theory.models.noise_and_deviations`, `.general_schedule` and
`.branch_scale`; as in `theory.claims.when` a formula under test is an argument.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.claims.when import SECTION
from theory.models import branch_scale, interlacing
from theory.models import noise_and_deviations as noisy
from theory.models.quadratic import linear_steps
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies import when as study


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
