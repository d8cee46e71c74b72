"""Ledger records of the staircase: STAIR-FLOW, STAIR-LATE, STAIR-NOISE and STAIR-TAU.

Statements are in `theory.models.staircase`, `staircase_steps` and `staircase_swe`. The formula
under test is an argument, so that a wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import staircase, staircase_steps
from theory.models.staircase_swe import Staircase
from theory.numerics.scales import check_scale
from theory.studies import staircase as staircase_study

SECTION = "docs/theory.md#skills-that-build-on-one-another"

Limit = Callable[[int, float, int], float]
Constants = Callable[[int], tuple[float, ...]]
Front = Callable[[int, float], float]


def check_flow(
    seed: int,
    scale: str,
    limit: Limit = staircase.limiting_ratio,
    constants: Constants | None = None,
) -> Finding:
    """The limit of the ratio at small starts, the hops' first order, and the ratios at large ones.

    Next to the limit the ratio's gap times A must stay bounded, by (K / 4) |c_k - K C| / (K^2 / 4)
    and the like: 3 is room for it, and a wrong limit leaves a gap that grows with A.
    """
    size = check_scale(scale)
    small = []
    for skills, share, depth in ((2, 0.3, 0), (4, 0.6, 0), (4, 0.01, 0), (4, 0.01, 8), (8, 0.2, 0)):
        for start in (1e-4, 1e-8, 1e-12):
            stairs = Staircase(skills, start, depth)
            ratio = stairs.time_to(share, start) / stairs.time_to(share, 1.0)
            small.append(abs(ratio - limit(skills, share, depth)) * -2.0 * float(np.log(start)))
    hop_constants = constants or staircase.hop_constants
    orders = []
    for skills in (2, 4, 8):
        log = -2.0 * float(np.log(1e-6))
        found = Staircase(skills, 1e-6).hops(1e-6)
        for k, time in enumerate(found, 1):
            orders.append(abs(time * 4.0 / skills - k * log - hop_constants(skills)[k - 1]))
    rows = staircase_study.flow_rows([[2, 4], [2, 4, 8, 16, 32], [2, 4, 8, 16, 32, 64]][size])
    ratios = {e: [row["ratio"][i] for row in rows] for i, e in enumerate(staircase_study.SHARES)}
    told = ", ".join(f"{e:g}: {min(r):.2f} to {max(r):.2f}" for e, r in ratios.items())
    deepest = max(row["skills"] for row in rows)
    return Finding(
        Verdict.whether(max(small) < 3.0 and max(orders) < 1e-3),
        f"untied over tied time to a share of the first loss, w_0 0.03 to 0.3, K = L = 2 to "
        f"{deepest}: {told}. w_0 = 1e-4 to 1e-12: gap to the limit n / L times log(1 / w_0^2) at "
        f"most {max(small):.2f}; hops at w_0 = 1e-6 to their first order within {max(orders):.1e} "
        "(of some 28 a hop)",
        Rigour.PROVED,
        "proof in theory.models.staircase; quadrature and an integrator beside it",
    )


def check_late(seed: int, scale: str, constants: Constants = staircase.hop_constants) -> Finding:
    """Hop 1 tied over untied, and the last hop untied over tied, against their first order."""
    size = check_scale(scale)
    depths = [[2, 4], [2, 4, 8, 16], [2, 4, 8, 16, 32]][size]
    rows = staircase_study.flow_rows(depths)
    later = [row["first_hop"] for row in rows]
    sooner = [row["last_hop"] for row in rows]
    left = [constants(k)[-1] / k - staircase.tied_constant(0.5 ** (1.0 / k), k) for k in depths]
    order = []
    for k, gap in zip(depths, left, strict=True):
        hops = Staircase(k, 1e-6)
        log = -2.0 * float(np.log(1e-6))
        tied = log + staircase.tied_constant(0.5 ** (1.0 / k), k)
        order.append(abs(hops.hops(1e-6)[-1] / hops.hops(1.0)[-1] - 1.0 - gap / tied))
    return Finding(
        Verdict.whether(
            min(later) > 1.0 and min(sooner) > 1.0 and min(left) > 0.0 and max(order) < 1e-4
        ),
        f"w_0 0.03 to 0.3, K = L = 2 to {depths[-1]}: hop 1 comes {min(later):.1f} to "
        f"{max(later):.1f} times as late tied, the last hop {min(sooner):.2f} to {max(sooner):.2f} "
        f"times as early. What tying saves at the last hop does not grow as w_0 falls: "
        f"{left[0]:.2f} to {left[-1]:.2f} times K^2 / 4 (first order; right to {max(order):.0e} of "
        "the ratio at w_0 = 1e-6)",
        Rigour.SAMPLED,
        f"exact times at {len(rows)} settings, constants of the first order to 1e-7",
    )


def check_noise(seed: int, scale: str, front: Front = staircase_steps.front_gain) -> Finding:
    """Full noise against the root, the front at tiny starts, growth with K, and runs with noise."""
    size = check_scale(scale)
    depths = [[2, 4], [4, 8, 16], [4, 8, 16, 32]][size]
    waits = np.array([0.06, 0.1, 0.18])
    rows = staircase_study.noise_rows(depths, 0.03, waits)
    full = []
    for row in rows:
        noise = staircase_steps.noise_of_wait(300.0, 0.03, row["skills"])
        gain = staircase_steps.gain(0.03, row["skills"], noise, staircase_study.SHARE)
        full.append(abs(gain / row["full_noise"] - 1.0))
    gaps = []
    for skills in (4, 8):
        for wait in (0.1, 1.0):
            noise = staircase_steps.noise_of_wait(wait, 1e-8, skills)
            gain = staircase_steps.gain(1e-8, skills, noise, 0.25 / skills)
            gaps.append(gain / front(skills, wait) - 1.0)
    slope = float(np.polyfit(np.log(depths), np.log([row["best"] for row in rows]), 1)[0])
    rng = np.random.default_rng([seed, 61])
    starts = np.full(([8, 24, 128][size], 4), 0.1)
    run = staircase_study.mean_steps(rng, starts, "sign", 0.05, 0.003, 1.0)
    expected = staircase_steps.gain(0.1, 4, 0.05, staircase_study.SHARE)
    best = rows[-1]
    return Finding(
        Verdict.whether(max(full) < 1e-3 and slope > 0.55 and min(gaps) > -0.15 and max(gaps) < 0.02
                        and abs(run["gain"] / expected - 1.0) < 0.25),
        f"w_0 = 0.03, time to {staircase_study.SHARE:g} of the first loss by expected sign steps: "
        f"in full noise sqrt(K) times the flow's ratio to {max(full):.0e}; at its best noise "
        f"K = {best['skills']} gains {best['best']:.2f} ({best['best'] / best['flow']:.2f} times "
        f"the flow's), exponent of K {slope:.2f} over K = {depths[0]} to {depths[-1]}. The front "
        f"of w_0 -> 0 is {100 * -max(gaps):.0f} to {100 * -min(gaps):.0f} % above the exact gain "
        f"at w_0 = 1e-8; its best gain is {staircase_steps.best_front(32)[1]:.1f} at K = 32. Runs "
        f"of sign steps with noise (K = 4, n = {run['n']}): {run['gain']:.2f} +- "
        f"{run['gain_error']:.2f}, expected {expected:.2f}",
        Rigour.SAMPLED,
        "the limit of full noise is proved; the front is a limit without its proof, beside what "
        "it predicts",
    )  # fmt: skip


def check_tau(seed: int, scale: str, excess: float = 1.01) -> Finding:
    """Best tau on both sides of the critical budget; `excess` is where SWE must win already."""
    size = check_scale(scale)
    found = [
        staircase_study.tau_rows(k, start, [0.5, 0.8, 0.98, excess])
        for k, start in [[(3, 0.1)], [(3, 0.1), (4, 0.1), (4, 0.01)], [(3, 0.1), (4, 0.1),
                         (4, 0.01), (6, 0.1)]][size]
    ]  # fmt: skip
    noisy = staircase_study.noisy_untie(4, 0.1, 30.0)
    two = staircase_study.tau_rows(2, 0.1, [excess])["rows"][0]
    before = [row["fraction"] for one in found for row in one["rows"] if row["budget"] < 1.0]
    after = [one["rows"][-1] for one in found]
    wins = all(row["over_equal"] < 1.0 and row["over_tied"] < 1.0 for row in after)
    place = [one["over_tied_last_hop"] for one in found]
    return Finding(
        Verdict.whether(
            max(before) == 0.0
            and wins
            and min(row["fraction"] for row in after) > 0.5
            and noisy["over_tied"] == sorted(noisy["over_tied"], reverse=True)
            and noisy["over_tied"][-1] > 1.0
        ),
        f"K = L = 3 to {found[-1]['skills']}, {len(found)} settings: best tau 0 up to the critical "
        f"budget, which is {min(place):.2f} to {max(place):.2f} of the tied last hop's time; "
        f"{100 * (excess - 1):.0f} % beyond it "
        + ", ".join(
            f"{row['fraction']:.2f} T (loss {row['over_equal']:.2g} of the equal start's, "
            f"{row['over_tied']:.2g} of always-shared's)"
            for row in after
        )
        + f". K = 2 begins with {two['fraction']:.2f} T there. The optimum is a tied point, so "
        "far beyond tau is nearly all of T. Under sign steps in full noise letting go never paid: "
        f"K = 4, at w = {noisy['weights'][-1]:g} it took {noisy['over_tied'][-1]:.3f} times as "
        "long as staying tied, earlier longer",
        Rigour.SAMPLED,
        "grid and refinement, exact in the model; that always-shared is never best is proved in "
        "theory.models.staircase_swe",
    )


CLAIMS = (
    Claim(
        "STAIR-FLOW",
        "Skills that must be learnt one after the other, gradient flow: sharing has no factor L. "
        "As w_0 -> 0 the time to a share e of the loss, untied over tied, tends to "
        "ceil(K (1 - e)) / L",
        "ours (theory.models.staircase)",
        "staircase",
        SECTION,
        check_flow,
    ),
    Claim(
        "STAIR-LATE",
        "The staircase in flow: tied layers learn the first skill later, by up to L, and the last "
        "one earlier, by a time that does not grow as w_0 -> 0",
        "ours (theory.models.staircase)",
        "staircase",
        SECTION,
        check_late,
    ),
    Claim(
        "STAIR-NOISE",
        "The staircase under noisy sign steps: tying K layers gains sqrt(K) times the flow's ratio "
        "in full noise, and more where one layer at a time is above the noise: faster in K than "
        "sqrt(K)",
        "ours (theory.models.staircase_steps)",
        "staircase",
        SECTION,
        check_noise,
    ),
    Claim(
        "STAIR-TAU",
        "The staircase in flow, K >= 3: below a critical budget no tau beats the equal start, "
        "at it the best tau jumps to most of it, and SWE beats the equal start and always-shared",
        "ours (theory.models.staircase_swe)",
        "staircase",
        SECTION,
        check_tau,
    ),
)
