"""Ledger records of sign-like updates: SIGN-GAIN, ADAM-GAIN and ADAM-TAU.

Statements are in `theory.models.sign_descent`. The formula under test is an argument, so that a
wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim
from theory.claims.theorems import Finding
from theory.models import sign_descent
from theory.numerics.domain import Array
from theory.studies import sign_descent as sign_descent_study
from theory.studies.flows import check_scale

SCORES = 4.5
"""Largest |z| allowed among at most a hundred: by chance in one of 1500 runs."""

ROOM = 0.06
"""Relative error granted to the reduction of AdamW to SGD."""

Gain = Callable[[list[float], int], Array]


def sign_gain(snr: list[float], depth: int) -> Array:
    """The sign rule's gain."""
    return sign_descent.gain_from_snr(snr, depth, "sign")


def adam_gain(snr: list[float], depth: int) -> Array:
    """The predictor for AdamW."""
    return sign_descent.gain_from_snr(snr, depth, "adam")


def check_sign(seed: int, scale: str, formula: Gain = sign_gain) -> Finding:
    """Closed form within its limits on a grid, and against sampled signs."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 50])
    grid = np.geomspace(1e-6, 1e3, 400).tolist()
    outside = -np.inf
    for depth in (2, 4, 16, 64, 4096):
        gain = formula(grid, depth)
        outside = max(outside, float(np.max(1.0 - gain)), float(np.max(gain / depth**0.5 - 1.0)))
    samples = [50_000, 200_000, 1_000_000][size]
    snr, scores = [0.1, 0.3, 1.0, 2.0], []
    for depth in (4, 16):
        sampled = sign_descent_study.sampled_gain(rng, snr, depth, samples)
        gap = np.array(sampled["gain"]) - formula(snr, depth)
        scores += (gap / np.array(sampled["standard_error"])).tolist()
    largest = float(np.max(np.abs(scores)))
    still = sign_descent_study.floors(rng, 16, 0.02, [100, 400, 1000][size])["arms"]
    same = still["tied"]["floor"] / still["unshared, sqrt(L) eta"]["floor"]
    return Finding(
        "shown" if outside < 1e-12 and largest < SCORES else "differs",
        f"L = 2 to 4096, signal-to-noise 1e-6 to 1e3: outside [1, sqrt(L)] by {outside:.1e} at "
        f"most; sampled speeds ({samples} steps, L = 4 and 16, signal-to-noise 0.1 to 2): largest "
        f"|z| {largest:.2f}. At equal steps tying costs: the noise floor of the mean is "
        f"{still['tied']['floor'] / still['unshared']['floor']:.2f} times as high (L = 16), "
        f"and {same:.2f} times that of no sharing with steps sqrt(L) times larger",
        "proof in theory.models.sign_descent (erf is increasing and concave); sampling",
    )


def check_adam(seed: int, scale: str, formula: Gain = adam_gain) -> Finding:
    """AdamW's gain of speed against the predictor, and what a tuned learning rate leaves of it."""
    from theory.toys import adam_quadratic as toy

    size = check_scale(scale)
    replicas = [32, 256, 1024][size]
    found = toy.speed_gain(seed, [0.1, 0.3, 1.0, 3.0], 16, replicas, [2000, 4000, 8000][size])
    gain, error = np.array(found["gain"]), np.array(found["standard_error"])
    predicted = formula(found["snr"], 16)
    apart = np.abs(gain / predicted - 1.0)
    # Second moments forget over 1000 steps: noise in them biases 1 / sqrt(v) by some 0.1 %.
    excess = float(np.max((apart - 2e-3) / (error / gain)))
    sign_gap = float(np.max(np.abs(gain / sign_gain(found["snr"], 16) - 1.0)))
    rows = toy.tuned(seed + 1, [0.1], 16, replicas, [250, 1000, 1000][size])["rows"]
    tuned, tuned_error = rows[0]["best_gain"], rows[0]["standard_error"]
    left = "a gain remains" if tuned - 1.0 > SCORES * tuned_error else "no gain remains"
    return Finding(
        "shown" if excess < SCORES else "differs",
        "AdamW (0.9, 0.999), L = 16, constant gradient: gain "
        + ", ".join(
            f"{g:.3f} +- {e:.3f} (predicted {p:.3f}) at signal-to-noise {r:g}"
            for g, e, p, r in zip(gain, error, predicted, found["snr"], strict=True)
        )
        + f"; largest gap {np.max(apart):.1e}, of the sign rule {sign_gap:.1e}. With each method "
        f"at its own best learning rate (linear decay, quadratic, signal-to-noise 0.1 at the "
        f"start) the common mode's loss without sharing is {tuned:.2f} +- {tuned_error:.2f} times "
        f"that with: {left}",
        f"heuristic formula (first over root of second moment), {replicas} replicas of AdamW",
    )


def check_unshare(seed: int, scale: str, formula: Callable[..., float] | None = None) -> Finding:
    """AdamW on the whole quadratic against SGD with other steps; each arm tuned."""
    from theory.toys import adam_unshare as toy

    size = check_scale(scale)
    replicas, steps = [200, 300, 2000][size], [200, 300, 1000][size]
    peaks = np.array([8.0, 16.0, 32.0]) / steps
    problem = toy.problem_of(toy.BIASES[1])
    predicted = formula or toy.predicted
    worst, scores, copied = 0.0, [], 0.0
    for tau in (0, steps // 3, 2 * steps // 3, steps):
        losses = toy.train(problem, peaks, tau, steps, replicas, seed, rescale=True)
        error = losses.std(axis=1, ddof=1) / replicas**0.5
        exact = np.array([predicted(problem, float(peak), tau, steps) for peak in peaks])
        worst = max(worst, float(np.max(np.abs(losses.mean(axis=1) / exact - 1.0))))
        # Momentum, start of the averages and signal in the second moment: a few per cent.
        excess = np.maximum(np.abs(losses.mean(axis=1) - exact) - ROOM * exact, 0.0)
        scores.append(float(np.max(excess / error)))
        if 0 < tau < steps:
            plain = toy.train(problem, peaks, tau, steps, replicas, seed).mean(axis=1)
            copied = max(copied, float(np.max(plain / losses.mean(axis=1))))
    found = toy.compare_tau(seed, [0.0, 0.3, 0.7, 1.0], toy.BIASES, replicas, steps)["settings"]
    tuned = "; ".join(
        f"{s['gain']['rescale']:.2f} +- {s['gain_error']['rescale']:.2f} (predicted "
        f"{s['predicted_gain']:.2f}) at bias {s['bias']:g}"
        for s in found
    )
    least = found[0]  # the smallest bias
    pays = least["gain"]["rescale"] - 1.0 > SCORES * least["gain_error"]["rescale"]
    return Finding(
        "shown" if max(scores) < SCORES and pays else "differs",
        f"AdamW, L = {toy.DEPTH}, signal-to-noise 0.1 at the start, {len(peaks)} rates, four tau, "
        f"{replicas} replicas: loss off the prediction by {100 * worst:.1f} % at most. Each arm at "
        f"its own best rate, the equal start's loss over the best sharing arm's: {tuned}. Copied "
        f"instead of rescaled second moments raise the loss by a factor {copied:.2f} at most",
        f"heuristic reduction to SGD, {replicas} replicas of AdamW, room {100 * ROOM:.0f} %",
    )


CLAIMS = (
    Claim(
        "SIGN-GAIN",
        "Noisy sign descent at equal steps: tying L layers speeds the common mode by "
        "erf(r sqrt(L/2)) / erf(r / sqrt 2), between 1 and sqrt(L), r the signal-to-noise ratio",
        "ours (theory.models.sign_descent)",
        "sign_descent",
        check_sign,
    ),
    Claim(
        "ADAM-GAIN",
        "AdamW at equal steps: tying L layers speeds the common mode by "
        "sqrt(L (1 + r^2) / (1 + L r^2)), r the signal-to-noise ratio",
        "ours (theory.models.sign_descent)",
        "adam_quadratic",
        check_adam,
    ),
    Claim(
        "ADAM-TAU",
        "Where noise dominates, AdamW on the exchangeable quadratic is SGD with steps "
        "sqrt(L) eta / sigma while shared and eta / sigma after (second moments times L at the "
        "untie); tuned, sharing still pays where the bias is small",
        "ours (theory.toys.adam_unshare)",
        "adam_unshare",
        check_unshare,
    ),
)
