"""Ledger records on what sharing itself does: COR, the controls, odd targets, the second stage.

COR is the paper's; the others are ours. The statements are proved in the docstrings of
`theory.theorems.alignment`, `theory.theorems.one_step`, `theory.theorems.controls`,
`theory.theorems.odd_targets`,
`theory.theorems.common_component` and `theory.theorems.swe_time`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.linear import deep_linear, descent
from theory.models.horizon import critical_horizon
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies import alignment as alignment_study
from theory.studies import beyond_sharing
from theory.studies import controls as controls_study
from theory.studies import odd_targets as odd_targets_study
from theory.theorems import controls, one_step
from theory.theorems.alignment import alignment, descent_rates

STIFF_LAYER = np.array([64.0, *[1.0] * 7])
"""Curvatures of eight layers, all else equal, for which a rule that looks one step ahead errs."""
STARTS = {
    "unshared": "unshared",
    "one draw": "one draw in all layers, SWE's own start,",
    "mean of draws": "mean of draws",
}
SAME = 1e-12
"""A few hundred steps through products of at most 24 small matrices near the identity."""


def check_two_factors(
    seed: int, scale: str, formula: Callable[[Array], Array] = alignment
) -> Finding:
    """COR: -R' under the mean rule over -R' under own gradients, by finite differences of R.

    That is a statement about one step, so the run in which it misleads stands beside it.
    """
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 80])
    count = [20, 200, 2000][size]
    worst, largest = 0.0, 0.0
    for _ in range(count):
        depth, d = int(rng.integers(2, 13)), int(rng.integers(1, 5))
        weights = controls.perturbed_start(rng, depth, d, float(rng.uniform(0.0, 0.5)))
        target = rng.normal(size=(d, d))
        gradients = deep_linear.layer_gradients(weights, target)
        mean = np.broadcast_to(gradients.mean(axis=0), gradients.shape)
        h = 1e-5 / float(np.linalg.norm(gradients))
        own_, mean_ = (
            float(deep_linear.loss(weights + h * g, target))
            - float(deep_linear.loss(weights - h * g, target))
            for g in (gradients, mean)
        )
        worst = max(worst, abs(mean_ / own_ - float(formula(gradients))))
        largest = max(largest, mean_ / own_)
    draws = rng.normal(size=(1000, 16, 3, 3))
    aligned = alignment(draws)
    error = float(np.std(aligned)) / len(draws) ** 0.5
    start = deep_linear.layer_gradients(descent.zas_start(16, 3), rng.normal(size=(3, 3)))
    own, shared = descent_rates(start)
    tolerance = 1e-5  # the central difference: rounding 1e-16 / h and h^2 times third derivatives
    stiff = STIFF_LAYER
    first = float(alignment(stiff[:, None, None]))  # all layers from one place: g_l = h_l x
    turn = critical_horizon(stiff)
    end, tied = 2.0 * turn, turn  # the best tau of this end
    untied_end, tied_end = (float(one_step.final_loss(stiff, end, tau)) for tau in (0.0, tied))
    holds = worst < tolerance and largest <= 1.0 + tolerance
    holds = holds and first < 1.0 and tied_end < untied_end
    before, after = (float(one_step.slope(stiff, x * turn)) for x in (0.99, 1.01))
    holds = holds and after < 0.0 < before
    return Finding(
        Verdict.whether(holds),
        f"{count} random points, L up to 12: R' under the mean rule is A R' under own gradients to "
        f"{worst:.1e}, A <= 1 always (largest quotient {largest:.6f}). Independent gradients, "
        f"L = 16: A = {np.mean(aligned):.4f} +- {error:.4f} (1/L = {1 / 16:.4f}); at the ZAS start "
        f"averaging divides the rate by {float(own / shared):.6g}. So no single step gains by "
        "averaging; where the layers are decides how much they move. A run may gain by it: eight "
        f"layers on a quadratic of curvatures {stiff[0]:g} and 7 x {stiff[1]:g}, one start and one "
        f"optimum, no noise: A = {first:.3f} at the start, so a rule that looks one step ahead "
        f"unties at 0, yet tying first ends lower once T > {turn * stiff[0]:.2f} / max h (flow; at "
        f"twice that T {tied_end / untied_end:.3f} times the loss)",
        Rigour.PROVED,
        f"proved (Cauchy-Schwarz; the counter-example in theory.theorems.one_step); central "
        f"differences of R at {count} random points",
    )


def check_rule(seed: int, scale: str) -> Finding:
    """SWE-A's threshold judged by A."""
    data = alignment_study.study(seed, scale)
    kept, untied = data["cases"]
    first, last = data["drift"][0], data["drift"][-1]
    wrong = not kept["unties"] and kept["alignment"] < 1e-20 and untied["unties"]
    wrong = wrong and untied["alignment"] > 0.75
    return Finding(
        Verdict.whether(wrong),
        f"L = {kept['depth']}: gradients turning once round keep adjacent cosines at "
        f"{kept['median_cosine']:.3f} (never untied) with A = {kept['alignment']:.0e}; six odd "
        f"layers make the rule untie at A = {untied['alignment']:.3f} (equal norms: never above "
        f"{data['caption_numbers']['untie_bound']:.3f}). On the shared flow to "
        f"{last['targets']} non-normal targets the least adjacent cosine goes from "
        f"{first['least_cosine']:.3f} at L = {first['depth']} to {last['least_cosine']:.4f} at "
        f"L = {last['depth']} while A falls to {last['least_alignment']:.3f}: untied in "
        f"{data['caption_numbers']['untied']} runs",
        Rigour.SAMPLED,
        "explicit constructions; integrated flows, sampled",
    )


def check_same_descent(seed: int, scale: str, stretch: float = 1.0) -> Finding:
    """Identity start, normal target: shared and unshared descent, step by step.

    `stretch` lengthens the unshared step, to show that the check can fail.
    """
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 81])
    count, steps = [(6, 50), (30, 200), (200, 400)][size]
    worst = {"symmetric": 0.0, "rotation": 0.0, "near-symmetric": np.inf, "triangular": np.inf}
    for k in range(4 * count):
        family = controls.FAMILIES[k % 4]
        depth, d = int(rng.integers(2, 25)), int(rng.integers(2, 6))
        target = controls.draw_target(rng, family, d)
        eta = 0.2 / (depth * max(1.0, float(np.linalg.norm(target, 2))) ** 2)
        one = other = descent.identity_start(depth, d)
        apart = 0.0
        for _ in range(steps):
            one = descent.shared_step(one, target, eta)
            other = descent.unshared_step(other, target, stretch * eta)
            apart = max(apart, float(np.max(np.abs(one - other))))
        pick = max if k % 4 < 2 else min
        worst[family] = pick(worst[family], apart)
    normal = max(worst["symmetric"], worst["rotation"])
    other_ = min(worst["near-symmetric"], worst["triangular"])
    # One of the exceptional step sizes: I + N with N^2 = 0 is learnt in one step of 1 / L.
    shear = np.array([[1.0, 1.0], [0.0, 1.0]])
    kept, parted = (controls.largest_difference(shear, 8, eta, 20) for eta in (1 / 8, 0.12))
    return Finding(
        Verdict.whether(normal < SAME < other_ and kept < SAME < parted),
        f"{2 * count} normal targets, L up to 24, {steps} steps: largest difference of any weight "
        f"{normal:.1e} (tolerance {SAME:.0e}); {2 * count} that are not normal: at least "
        f"{other_:.1e}. One of the exceptional step sizes, [[1, 1], [0, 1]] at L = 8, eta = 1/8: "
        f"difference {kept:.1g}, and {parted:.1e} at eta = 0.12",
        Rigour.PROVED,
        f"proved by induction, the converse by a polynomial in eta; {4 * count} random cases on "
        "full matrices",
    )


def check_credit(seed: int, scale: str) -> Finding:
    """ACC under the control "identity start, no sharing"."""
    data = controls_study.study(seed, scale)
    deep = data["depths"][-1]

    def said(family: str, kick: float) -> str:
        row = next(
            r for r in data["rows"] if (r["family"], r["depth"], r["kick"]) == (family, deep, kick)
        )
        return ", ".join(
            f"{part} {row[part]['mean']:.3f} +- {row[part]['error']:.3f}".replace("-0.000", "0.000")
            for part in ("start", "averaging", "tying")
        )

    numbers = data["caption_numbers"]
    plain = [r for r in data["rows"] if r["kick"] == 0.0]
    normal = [r for r in plain if r["family"] in ("symmetric", "rotation")]
    nothing = all(abs(r["tying"]["mean"]) < 1e-9 for r in normal)
    kick = numbers["largest_kick"]
    return Finding(
        Verdict.REFUTED if nothing else Verdict.OPEN,
        f"log2 of the quotient of times to R = {data['eps']:g} R_ZAS(0), L = {deep}, "
        f"{numbers['targets']} targets a family, mean +- SE. Exact identity: symmetric "
        f"({said('symmetric', 0.0)}), near-symmetric ({said('near-symmetric', 0.0)}), triangular "
        f"({said('triangular', 0.0)}). From I + {kick:g} G: symmetric ({said('symmetric', kick)}), "
        f"near-symmetric ({said('near-symmetric', kick)}). Against an equal start without tying, "
        f"tying was faster in {numbers['tying_helps']} and slower in {numbers['tying_hurts']} of "
        f"{numbers['runs']} runs",
        Rigour.PROVED,
        "normal targets: proved; others: integrated flows, sampled",
        "identity start without sharing" if nothing else "",
    )


def check_second_stage(seed: int, scale: str) -> Finding:
    """Stage two's theorem and the SWE time on a target beyond sharing."""
    data = beyond_sharing.study(seed, scale)
    rows, sure = data["beyond"], data["caption_numbers"]["guaranteed"]
    holds = all(
        row["tau"] is not None
        and row["shared"] is None
        and row["swe"] <= row["certified_time"]
        and row["moved"] <= row["radius"]
        and row["least_true_rate"] >= row["rate"]
        for row in rows
    )
    times = "; ".join(
        f"L = {r['depth']}: SWE {r['swe']:.3g} (certified {r['certified_time']:.3g}), equal start "
        f"without sharing {r['equal start']:.3g}, ZAS {r['zas']:.3g}"
        for r in rows
        if r["tau"] is not None
    )
    return Finding(
        Verdict.whether(holds),
        f"time to {data['caption_numbers']['goal']:g} R(0) on a target with two distinct negative "
        f"eigenvalues, tied rotated start: {times}; sharing alone never (R stays above "
        f"{min(r['shared_floor'] for r in rows):.2g}), the identity start never, tied or not. "
        f"Guaranteed before the run at gap {sure['gap']:g}, L = {sure['deepest']}, from a tied "
        f"start that carries the half turn: {sure['swe']:.3g}; exact time of ZAS "
        f"{sure['zas']:.3g}; over L they fall like L^{sure['swe_slope']:.2f} and "
        f"L^{sure['zas_slope']:.2f}",
        Rigour.PROVED,
        "proved (docstring); flows integrated on full matrices",
    )


def check_odd_targets(seed: int, scale: str) -> Finding:
    """Exponents of one-dimensional nets, and rotations near a half turn."""
    return judge_odd_targets(odd_targets_study.study(seed, scale))


def judge_odd_targets(data: dict[str, Any]) -> Finding:
    """All that the statement says: SWE's own start, one draw in all layers, is exponential too.

    It holds when every slope's interval is above zero and the rotation is slower; it is open when
    no slope is below zero but the intervals of some, for want of depths, contain it.
    """
    numbers = data["caption_numbers"]
    fits = numbers["slopes"]
    texts = "; ".join(
        f"{STARTS[name]} {fit['slope']:.3f} [{fit['low']:.3f}, {fit['high']:.3f}]"
        for name, fit in fits.items()
    )
    slower = numbers["identity_over_zas"] > 1.0
    verdict, qualifier = Verdict.whether(slower and all(f["low"] > 0.0 for f in fits.values())), ""
    if verdict == Verdict.FAILS and slower and all(f["high"] > 0.0 for f in fits.values()):
        verdict, qualifier = Verdict.OPEN, f"{numbers['depths']} depths do not decide"
    return Finding(
        verdict,
        f"median log time per layer of one-dimensional nets from N(0, 1), {numbers['draws']} draws "
        f"a depth, {numbers['depths']} depths, 95 % interval (Student's t, "
        f"{numbers['depths'] - 2} degrees of freedom): {texts}; large-L prediction "
        f"{numbers['predicted_unshared']:.3f} (unshared), {numbers['predicted_one_draw']:.3f} (one "
        f"draw). A rotation by {numbers['largest_angle']:.2f} pi takes the identity start "
        f"{numbers['identity_over_zas']:.3g} times as long as ZAS at L = {numbers['deepest']}; a "
        "negative eigenvalue is never learnt from it",
        Rigour.SAMPLED,
        "exact quadratures (checked against an integrator), sampled starts",
        qualifier,
    )


CLAIMS = (
    Claim(
        "COR",
        "Two factors set the rate: every layer moves enough, and each layer's move correlates "
        "with its own gradient; with uncorrelated gradients one step of averaging loses the "
        "factor L",
        "discussion after Theorem 4",
        "alignment",
        "docs/theory.md#7-alignment-when-averaging-costs-more-than-it-gives",
        check_two_factors,
    ),
    Claim(
        "OUR-RULE",
        "SWE-A's rule (untie when over half of the adjacent gradient cosines are below 0.5) errs "
        "both ways as a judge of what averaging costs, and is blind to drift in deep networks",
        "ours; on SWE-A",
        "alignment",
        "docs/theory.md#7-alignment-when-averaging-costs-more-than-it-gives",
        check_rule,
    ),
    Claim(
        "OUR-SAME",
        "Identity start, L >= 2: descent with and without sharing is the same sequence for every "
        "step size iff the target is normal (symmetric PD included); any other parts them at the "
        "second step, for all step sizes but at most L + d",
        "ours; on Theorems 2 and 4",
        "controls",
        "docs/theory.md#5-tying-or-its-start",
        check_same_descent,
    ),
    Claim(
        "OUR-CREDIT",
        "The gain of sharing over ZAS is due to tying",
        "ours; a reading of ACC",
        "controls",
        "docs/theory.md#5-tying-or-its-start",
        check_credit,
    ),
    Claim(
        "OUR-STAGE2",
        "From a tied point with ||W^L - Phi||_F < c^L / (e sqrt L) the unshared flow obeys "
        "R(t) <= R_0 exp(-2 e^-2 L c^(2(L-1)) t) for any target, so SWE reaches targets beyond "
        "sharing in time tau + log(R(tau) / (eps R(0))) / rate",
        "ours; on Algorithm 1",
        "common_component",
        "docs/theory.md#11-the-common-component-and-a-bound-for-both-stages",
        check_second_stage,
    ),
    Claim(
        "OUR-ODD",
        "Sharing does not remove the exponential time of one-dimensional nets (Shamir 2019), and "
        "rotations near a half turn are slower from the identity than from ZAS",
        "ours; on the standing assumptions",
        "odd_targets",
        "docs/theory.md#6-negative-eigenvalues-rotations-random-starts",
        check_odd_targets,
    ),
)
