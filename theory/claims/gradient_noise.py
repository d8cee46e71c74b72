"""Ledger records of the gradient-noise control: NOISE-FLOOR and NOISE-TYING.

Statements are in `theory.theorems.gradient_noise`. The formula under test is an argument, so that
a wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.numerics.scales import check_scale
from theory.studies import gradient_noise as gradient_noise_study
from theory.studies.gradient_noise import DEPTH, GAINS, WIDTH
from theory.theorems import controls, gradient_noise

SCORES = 4.5
"""Largest |z| allowed among a few: by chance in one of ten thousand runs."""

WORTH = 0.05
"""A tuned gain within this of 1 is none: a twentieth of the loss, at any sigma measured."""

WALK = 0.2
"""Relative room for the floor, in units of the square length of the walk along the valley."""


def check_floor(
    seed: int, scale: str, formula: Callable[..., float] = gradient_noise.noise_floor
) -> Finding:
    """Simulated stationary losses against the closed form; the first order for all methods."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 90])
    target = controls.draw_target(rng, "symmetric", WIDTH)
    replicas, steps = [(128, 400), (256, 1200), (2000, 3000)][size]
    top = 1.6 / (DEPTH * max(1.0, float(np.linalg.norm(target, 2))) ** (2.0 - 2.0 / DEPTH))
    rows = gradient_noise_study.floors(seed, target, [top / 16.0, top / 4.0], 0.03, replicas, steps)
    scores = []
    for row in rows:
        start, tied = gradient_noise_study.ARMS[row["arm"]]
        end = gradient_noise_study.minimum(target, start, DEPTH)
        predicted = formula(end, row["eta"], 0.03, tied=tied)
        # The linearisation leaves out the walk along the valley: measured at L = 8, a walk of
        # square length `apart` raises the floor by some apart / 10 of it.
        room = WALK * row["apart_predicted"] * predicted
        scores.append(max(0.0, abs(row["floor"] - predicted) - room) / row["standard_error"])
    largest, walked = max(scores), WALK * max(row["apart_predicted"] for row in rows)
    worst = 0.0
    for _ in range([10, 50, 200][size]):
        depth, d = int(rng.integers(1, 13)), int(rng.integers(1, 4))
        phi = controls.draw_target(rng, "symmetric", d) if d > 1 else np.array([[1.5]])
        for start in ("identity", "zas") if depth > 1 else ("identity",):
            end = gradient_noise_study.minimum(phi, start, depth)
            for tied in (True, False) if start == "identity" else (False,):
                ends = [formula(end, eta, 1.0, tied=tied) / eta for eta in (1e-7, 2e-7)]
                worst = max(worst, abs((2.0 * ends[0] - ends[1]) / (d**2 / 4.0) - 1.0))
    holds = largest < SCORES and worst < 1e-6
    return Finding(
        Verdict.whether(holds),
        f"Sharing, identity and ZAS at two step sizes, sigma 0.03, L = {DEPTH}, d = {WIDTH}, "
        f"{replicas} replicas: largest |z| {largest:.2f} (room for the walk along the valley of "
        f"minima up to {walked:.1e} of the floor). As eta -> 0 "
        f"the floor is d^2 eta sigma^2 / 4 to {worst:.1e} for every method, L up to 12, random "
        "targets: tying averages L noises, but what is left enters through all L layers",
        Rigour.PROVED,
        "proof in theory/theorems/gradient_noise.py (linearised, discrete Lyapunov equation); "
        "simulated on full matrices",
    )


def check_tying(seed: int, scale: str) -> Finding:
    """Is there a gain of tying under noise when both arms' step sizes are tuned?"""
    data = gradient_noise_study.study(seed, scale)
    rows = data["tuned"]

    def said(name: str) -> str:
        return ", ".join(
            f"{r['gains'][name]['gain']:.3f} +- {r['gains'][name]['standard_error']:.3f}"
            for r in rows
        )

    names = [name for name in GAINS if name.startswith("tying")]
    # None when no sigma shows a gain that is both significant and worth anything.
    found = [r["gains"][name] for r in rows for name in names]
    worth = any(g["gain"] - SCORES * g["standard_error"] > 1.0 + WORTH for g in found)
    near = all(abs(g["gain"] - 1.0) < WORTH + SCORES * g["standard_error"] for g in found)
    refuted = near and not worth
    fixed = rows[-1]["fixed"][-1]
    return Finding(
        Verdict.REFUTED if refuted else Verdict.OPEN,
        f"Loss after {data['steps']} steps without tying over with, each at its best of "
        f"{len(data['etas'])} constant step sizes, sigma = "
        f"{', '.join(format(r['sigma'], 'g') for r in rows)}: from the identity {said('tying')}; "
        f"from the mean of perturbed starts {said('tying, perturbed')}; averaging those starts "
        f"{said('averaging, perturbed')}; the identity start over ZAS {said('start')}. At the "
        f"largest step size and sigma {rows[-1]['sigma']:g} the loss without tying is "
        + (f"{fixed:.3g} times as large" if fixed is not None else "beyond all bounds (diverged)")
        + ": tying keeps the weights from walking along the valley, which a tuned step size does "
        f"not need. A gain below {WORTH:.0%} counts as none",
        Rigour.SAMPLED,
        f"simulated on full matrices, n = {data['replicas'] // 2} paired replicas +- SE, step size "
        "chosen on others; one symmetric target",
        "equal start, tuned steps" if refuted else "",
    )


CLAIMS = (
    Claim(
        "NOISE-FLOOR",
        "Gradient noise sigma in every layer: R settles at sum_i eta sigma^2 / (2 (2 - eta "
        "kappa_i)) = d^2 eta sigma^2 / 4 + O(eta^2), tied or not",
        "ours",
        "gradient_noise",
        "docs/theory.md#5-tying-or-its-start",
        check_floor,
    ),
    Claim(
        "NOISE-TYING",
        "Tying gains under gradient noise because it averages L noises",
        "ours, a control",
        "gradient_noise",
        "docs/theory.md#5-tying-or-its-start",
        check_tying,
    ),
)
