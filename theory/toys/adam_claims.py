"""Ledger records ADAM-GAIN and ADAM-TAU: torch's own AdamW beside the formulas for it.

Statements are in `theory.models.sign_descent` and `theory.toys.adam_unshare`. The formula under
test is an argument, so that a wrong one can be shown to fail.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.claims.ledger import check_claims
from theory.claims.sign_descent import SCORES, Gain, sign_gain
from theory.models import sign_descent
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.toys import adam_quadratic, adam_unshare

ROOM = 0.06
"""Relative error granted to the reduction of AdamW to SGD."""


def adam_gain(snr: list[float], depth: int) -> Array:
    """The predictor for AdamW."""
    return sign_descent.gain_from_snr(snr, depth, "adam")


def check_adam(seed: int, scale: str, formula: Gain = adam_gain) -> Finding:
    """AdamW's gain of speed against the predictor, and what a tuned learning rate leaves of it."""

    size = check_scale(scale)
    replicas = [32, 256, 1024][size]
    found = adam_quadratic.speed_gain(
        seed, [0.1, 0.3, 1.0, 3.0], 16, replicas, [2000, 4000, 8000][size]
    )
    gain, error = np.array(found["gain"]), np.array(found["standard_error"])
    predicted = formula(found["snr"], 16)
    apart = np.abs(gain / predicted - 1.0)
    # Second moments forget over 1000 steps: noise in them biases 1 / sqrt(v) by some 0.1 %.
    excess = float(np.max((apart - 2e-3) / (error / gain)))
    sign_gap = float(np.max(np.abs(gain / sign_gain(found["snr"], 16) - 1.0)))
    rows = adam_quadratic.tuned(seed + 1, [0.1], 16, replicas, [250, 1000, 1000][size])["rows"]
    tuned, tuned_error = rows[0]["best_gain"], rows[0]["standard_error"]
    left = "a gain remains" if tuned - 1.0 > SCORES * tuned_error else "no gain remains"
    return Finding(
        Verdict.whether(excess < SCORES),
        "AdamW (0.9, 0.999), L = 16, constant gradient: gain "
        + ", ".join(
            f"{g:.3f} +- {e:.3f} (predicted {p:.3f}) at signal-to-noise {r:g}"
            for g, e, p, r in zip(gain, error, predicted, found["snr"], strict=True)
        )
        + f"; largest gap {np.max(apart):.1e}, of the sign rule {sign_gap:.1e}. With each method "
        f"at its own best learning rate (linear decay, quadratic, signal-to-noise 0.1 at the "
        f"start) the common mode's loss without sharing is {tuned:.2f} +- {tuned_error:.2f} times "
        f"that with: {left}",
        Rigour.HEURISTIC,
        f"heuristic formula (first over root of second moment), {replicas} replicas of AdamW",
    )


def check_unshare(seed: int, scale: str, formula: Callable[..., float] | None = None) -> Finding:
    """AdamW on the whole quadratic against SGD with other steps; each arm tuned."""
    size = check_scale(scale)
    replicas, steps = [200, 300, 2000][size], [200, 300, 1000][size]
    peaks = np.array([8.0, 16.0, 32.0]) / steps
    problem = adam_unshare.problem_of(adam_unshare.BIASES[1])
    predicted = formula or adam_unshare.predicted
    worst, scores, copied = 0.0, [], 0.0
    for tau in (0, steps // 3, 2 * steps // 3, steps):
        losses = adam_unshare.train(problem, peaks, tau, steps, replicas, seed, rescale=True)
        error = losses.std(axis=1, ddof=1) / replicas**0.5
        exact = np.array([predicted(problem, float(peak), tau, steps) for peak in peaks])
        worst = max(worst, float(np.max(np.abs(losses.mean(axis=1) / exact - 1.0))))
        # Momentum, start of the averages and signal in the second moment: a few per cent.
        excess = np.maximum(np.abs(losses.mean(axis=1) - exact) - ROOM * exact, 0.0)
        scores.append(float(np.max(excess / error)))
        if 0 < tau < steps:
            plain = adam_unshare.train(problem, peaks, tau, steps, replicas, seed).mean(axis=1)
            copied = max(copied, float(np.max(plain / losses.mean(axis=1))))
    found = adam_unshare.compare_tau(
        seed, [0.0, 0.3, 0.7, 1.0], adam_unshare.BIASES, replicas, steps
    )["settings"]
    tuned = "; ".join(
        f"{s['gain']['rescale']:.2f} +- {s['gain_error']['rescale']:.2f} (predicted "
        f"{s['predicted_gain']:.2f}) at bias {s['bias']:g}"
        for s in found
    )
    least = found[0]  # the smallest bias
    pays = least["gain"]["rescale"] - 1.0 > SCORES * least["gain_error"]["rescale"]
    return Finding(
        Verdict.whether(max(scores) < SCORES and pays),
        f"AdamW, L = {adam_unshare.DEPTH}, signal-to-noise 0.1 at the start, {len(peaks)} rates, "
        f"four tau, {replicas} replicas: loss off the prediction by {100 * worst:.1f} % at most. "
        "Each arm at its own best rate, the equal start's loss over the best sharing arm's: "
        f"{tuned}. Copied instead of rescaled second moments raise the loss by a factor "
        f"{copied:.2f} at most",
        Rigour.HEURISTIC,
        f"heuristic reduction to SGD, {replicas} replicas of AdamW, room {100 * ROOM:.0f} %",
    )


CLAIMS = (
    Claim(
        "ADAM-GAIN",
        "AdamW at equal steps: tying L layers speeds the common mode by "
        "sqrt(L (1 + r^2) / (1 + L r^2)), r the signal-to-noise ratio",
        "ours (theory.models.sign_descent)",
        "adam_quadratic",
        "docs/theory.md#9-sign-like-updates-and-adam",
        check_adam,
    ),
    Claim(
        "ADAM-TAU",
        "Where noise dominates, AdamW on the exchangeable quadratic is SGD with steps "
        "sqrt(L) eta / sigma while shared and eta / sigma after (second moments times L at the "
        "untie); tuned, sharing still pays where the bias is small",
        "ours (theory.toys.adam_unshare)",
        "adam_unshare",
        "docs/theory.md#9-sign-like-updates-and-adam",
        check_unshare,
    ),
)


def check_all(
    seed: int, scale: str = "small", progress: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """Recompute both claims, as :func:`theory.claims.ledger.check_all` does the others."""
    return check_claims(CLAIMS, seed, scale, progress)
