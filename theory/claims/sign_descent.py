"""Ledger records of sign-like updates: SIGN-GAIN, ADAM-GAIN and ADAM-TAU.

Statements are in `theory.models.sign_descent`. The formula under test is an argument, so that a
wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import sign_descent
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.studies import sign_descent as sign_descent_study

SCORES = 4.5
"""Largest |z| allowed among at most a hundred: by chance in one of 1500 runs."""


Gain = Callable[[list[float], int], Array]


def sign_gain(snr: list[float], depth: int) -> Array:
    """The sign rule's gain."""
    return sign_descent.gain_from_snr(snr, depth, "sign")


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
        Verdict.whether(outside < 1e-12 and largest < SCORES),
        f"L = 2 to 4096, signal-to-noise 1e-6 to 1e3: outside [1, sqrt(L)] by {outside:.1e} at "
        f"most; sampled speeds ({samples} steps, L = 4 and 16, signal-to-noise 0.1 to 2): largest "
        f"|z| {largest:.2f}. At equal steps tying costs: the noise floor of the mean is "
        f"{still['tied']['floor'] / still['unshared']['floor']:.2f} times as high (L = 16), "
        f"and {same:.2f} times that of no sharing with steps sqrt(L) times larger",
        Rigour.PROVED,
        "proof in theory.models.sign_descent (erf is increasing and concave); sampling",
    )


CLAIMS = (
    Claim(
        "SIGN-GAIN",
        "Noisy sign descent at equal steps: tying L layers speeds the common mode by "
        "erf(r sqrt(L/2)) / erf(r / sqrt 2), between 1 and sqrt(L), r the signal-to-noise ratio",
        "ours (theory.models.sign_descent)",
        "sign_descent",
        "docs/theory.md#9-sign-like-updates-and-adam",
        check_sign,
    ),
)
