"""Ledger record of the first skill that any layer can learn: STAIR-DRAW.

The statement is in `theory.models.draws`. The formulas under test are arguments, so that a wrong
one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import draws
from theory.numerics.scales import check_scale

DEPTH = 12
SCORES = 4.5
"""Largest |z| allowed among a few: by chance in one of ten thousand runs."""

Delay = Callable[[int, int, int], float]
First = Callable[[int, int, int], float]


def _delay(layers: int, own: int, dimension: int) -> float:
    return float(draws.delay(layers, own, dimension))


def check_draw(seed: int, scale: str, delay: Delay = _delay, first: First = draws.first) -> Finding:
    """Flows of random starts, tied and not, against the logistic; sampled starts against delay."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 91])
    worst = 0.0
    for _ in range([3, 10, 50][size]):
        own, d = int(rng.choice([1, 2, 3, 4, 6])), int(rng.integers(1, 4))
        weights = np.tile(1e-3 * rng.normal(size=(own, d)), (DEPTH // own, 1))
        shares = np.array([1e-3, 0.1, 0.9])
        at = draws.learnt_at(float((weights**2).sum()), shares)
        for tied in (0, own):
            worst = max(worst, float(np.max(np.abs(draws.flow(weights, at, tied) / shares - 1))))
    count = [4_000, 20_000, 200_000][size]
    scores, seen = [], []
    for own, d in ((1, 1), (2, 1), (6, 1), (1, 8)):
        squares = (rng.normal(size=(count, DEPTH, d)) ** 2).sum(2)
        copies, each = squares[:, :own].sum(1) * (DEPTH / own), squares.sum(1)
        late = np.log(each / copies)
        scores.append((late.mean() - delay(DEPTH, own, d)) / (late.std() / count**0.5))
        chance = first(DEPTH, own, d)
        scores.append(((late < 0).mean() - chance) / (chance * (1 - chance) / count) ** 0.5)
        seen.append(
            f"A = {own}, d = {d}: {late.mean():.2f} +- {draws.spread(own, d):.2f} later, before "
            f"in {100 * (late < 0).mean():.0f} %"
        )
    largest = max(abs(score) for score in scores)
    return Finding(
        Verdict.whether(worst < 1e-6 and largest < SCORES),
        f"L = {DEPTH}, e-folds of the gain, {count} starts: {'; '.join(seen)} (largest |z| "
        f"{largest:.2f}). Flow of all layers, tied and not, is the one logistic to {worst:.0e}",
        Rigour.PROVED,
        "proof in theory.models.draws; an integrator and sampled starts beside it",
    )


CLAIMS = (
    Claim(
        "STAIR-DRAW",
        "A first skill that every layer can learn, in flow: tied layers are the equal start, at "
        "any tau. A draws copied to L layers learn it later than L draws, by psi(L d / 2) - "
        "psi(A d / 2) - log(L / A) e-folds in the mean, bounded in L, and more unevenly",
        "ours (theory.models.draws)",
        "",
        "docs/theory.md#one-draw-for-all-layers",
        check_draw,
    ),
)
