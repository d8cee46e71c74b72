"""Ledger records of the first skill that any layer can learn: STAIR-DRAW and STAIR-DRAW-NOISE.

The statements are in `theory.models.draws` and `noisy_draws`. The formulas under test are
arguments, so that a wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import draws, noisy_draws
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


def check_noise(seed: int, scale: str, delay: Callable[..., float] = noisy_draws.delay) -> Finding:
    """Simulated noisy flows of four layers, equal start and always-shared, against the delay."""
    size = check_scale(scale)
    count, step = [(400, 0.05), (1500, 0.02), (8000, 0.01)][size]
    rng = np.random.default_rng([seed, 94])
    sigma, layers, scores, seen = 1e-3, 4, [], []
    for number, noise in enumerate((0.1, 1.0)):
        base = sigma * rng.normal(size=(count, layers, 1))
        equal = np.repeat(base[:, :1], layers, 1)
        runs = [(base, range(layers)), (equal, range(layers)), (equal, [0] * layers)]
        own, *others = (
            4.0 * noisy_draws.simulate(u, list(tied), noise * sigma**2, step, 0.1, 10 * number + i)
            for i, (u, tied) in enumerate(runs, 100 * seed)
        )
        late = []
        for found, kept in zip(others, (1.0, 0.0), strict=True):
            gap = found - own
            foretold = delay(layers, 1, 1, noise, kept)
            scores.append((gap.mean() - foretold) / (gap.std() / count**0.5))
            late.append(f"{gap.mean():.2f} (foretold {foretold:.2f})")
        seen.append(f"r = {noise:g}: equal start {late[0]}, always-shared {late[1]}")
    ties = np.exp(-np.linspace(0.0, 5.0, 11))
    paths = [[delay(DEPTH, own, d, r, q) for q in ties] for own, d, r in CASES]
    ordered = all(np.all(np.diff(path) > 0) and path[0] >= 0 for path in paths)
    largest = max(abs(score) for score in scores)
    return Finding(
        Verdict.whether(ordered and largest < SCORES),
        f"L = {layers}, later than the baseline, e-folds, {count} noisy flows each: "
        f"{'; '.join(seen)} (largest |z| {largest:.2f}). L = {DEPTH}, {len(CASES)} settings: later "
        "the longer it is tied, in all",
        Rigour.PROVED,
        "proof in theory.models.noisy_draws; simulated noisy flows beside it",
    )


CASES = ((1, 1, 0.1), (1, 1, 1.0), (3, 2, 0.5), (6, 1, 10.0))
"""Layers drawn, dimension, noise."""

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
    Claim(
        "STAIR-DRAW-NOISE",
        "The same under gradient noise: tying only delays the skill, in distribution. "
        "The equal start forgets its draw as noise grows; SWE is later the longer it is tied, and "
        "always-shared later than L draws by up to log(L / A) e-folds more than without noise",
        "ours (theory.models.noisy_draws)",
        "",
        "docs/theory.md#one-draw-for-all-layers",
        check_noise,
    ),
)
