"""Ledger record of one draw for many layers with Adam's steps: STAIR-DRAW-ADAM.

The statement is in `theory.models.adam_draws`. The formula under test is an argument, so that a
wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.claims.draws import DEPTH, SCORES
from theory.models import adam_draws
from theory.numerics.scales import check_scale

CORRELATIONS = (0.0, 0.5, 0.9, 1.0)


def check_adam(seed: int, scale: str, delay: Callable[..., float] = adam_draws.delay) -> Finding:
    """Simulated flows of four copies with steps of one length, tied for an e-fold and a half, by
    the correlation of their noises, against the delay; from where a tie pays."""
    size = check_scale(scale)
    count, step = [(400, 0.04), (1500, 0.02), (8000, 0.01)][size]
    rng = np.random.default_rng([seed, 98])
    sigma, layers, noise, tied = 1e-3, 4, 1.0, 1.5
    base = sigma * rng.normal(size=(count, layers, 1))
    equal = np.repeat(base[:, :1], layers, 1)

    def times(
        weights: np.ndarray, groups: list[int], when: float, c: float, key: int
    ) -> np.ndarray:
        nu = noise * sigma**2
        found = adam_draws.simulate(weights, groups, when, nu, c, step, 0.1, 100 * seed + key)
        return 4.0 * found

    own = times(base, list(range(layers)), 0.0, 0.0, 0)
    scores, seen, kept = [], [], float(np.exp(-tied))
    for key, c in enumerate(CORRELATIONS, 1):
        gap = times(equal, [0] * layers, tied / 4.0, c, key) - own
        foretold = delay(layers, 1, 1, noise, kept, c)
        scores.append((gap.mean() - foretold) / (gap.std() / count**0.5))
        seen.append(f"c = {c:g}: {gap.mean():+.2f} (foretold {foretold:+.2f})")
    largest = max(abs(score) for score in scores)
    pays = ", ".join(
        f"{adam_draws.pays_from(DEPTH, 1, 1, c):.2g} at c = {c:g}" for c in CORRELATIONS if c < 1.0
    )
    return Finding(
        Verdict.whether(largest < SCORES),
        f"L = {layers} copies of one, tied for {tied:g} e-folds, r = {noise:g}, later than as many "
        f"drawn, e-folds, {count} flows each: {'; '.join(seen)} (largest |z| {largest:.2f}). "
        f"L = {DEPTH}, A = 1, d = 1: a tie pays from so many e-folds: {pays}; at c = 1 never",
        Rigour.PROVED,
        "proof in theory.models.adam_draws; simulated flows beside it",
    )


CLAIMS = (
    Claim(
        "STAIR-DRAW-ADAM",
        "The same with steps of one length, as Adam's where noise decides it: copies whose noises "
        "correlate by c move (c + (1 - c) A / L)^(-1/2) times as fast while they are tied. Tying "
        "gains that for as long as it lasts, loses at most the draw and that factor's logarithm, "
        "and is nothing at all at c = 1",
        "ours (theory.models.adam_draws)",
        "",
        "docs/theory.md#one-draw-for-all-layers",
        check_adam,
    ),
)
