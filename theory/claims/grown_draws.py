"""Ledger record of growing before a first skill that any layer can learn: STAIR-GROW.

The statement is in `theory.models.grown_draws`. The formula under test is an argument, so that a
wrong one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.claims.draws import CASES, DEPTH, SCORES
from theory.models import draws, grown_draws, noisy_draws
from theory.numerics.scales import check_scale

SHARES = {"copies": 1.0, "identity layers": grown_draws.ONE_FACTOR}
"""Of an added layer, by what is added."""
TOLERANCE = 1e-9
"""Of the order of delays, e-folds: what E log is computed to."""


def check_growth(seed: int, scale: str, delay: Callable[..., float] = grown_draws.delay) -> Finding:
    """Simulated noisy flows of one layer that becomes four, against the delay; the order of
    growing, tying, and identity layers, and what copies lose at most."""
    size = check_scale(scale)
    count, step = [(400, 0.05), (1500, 0.02), (8000, 0.01)][size]
    rng = np.random.default_rng([seed, 96])
    sigma, layers, when, scores, seen = 1e-3, 4, 0.5, [], []
    for number, noise in enumerate((0.1, 1.0)):
        base = sigma * rng.normal(size=(count, layers, 1))
        key = 1000 * seed + 10 * number
        own = noisy_draws.simulate(base, range(layers), noise * sigma**2, step, 0.1, key)
        late = []
        for place, (what, share) in enumerate(SHARES.items(), 1):
            found = grown_draws.simulate(
                base[:, :1], layers, when, noise * sigma**2, step, 0.1, key + place, share
            )
            gap = 4.0 * (found - own)
            foretold = delay(layers, 1, 1, noise, float(np.exp(-4.0 * when)), share)
            scores.append((gap.mean() - foretold) / (gap.std() / count**0.5))
            late.append(f"{what} {gap.mean():.2f} (foretold {foretold:.2f})")
        seen.append(f"r = {noise:g}: {', '.join(late)}")
    kept = np.exp(-np.linspace(0.0, 5.0, 11))
    ordered = all(
        delay(DEPTH, own, d, r, q)
        <= min(later(own, d, r, q) for later in _later(delay)) + TOLERANCE
        and delay(DEPTH, own, d, r, q) <= float(draws.delay(DEPTH, own, d)) + TOLERANCE
        for own, d, r in CASES
        for q in kept
    )
    pays = {
        own: [grown_draws.break_even(DEPTH, own, 1, share=share) for share in SHARES.values()]
        for own in (1, 3, 6)
    }
    largest = max(abs(score) for score in scores)
    return Finding(
        Verdict.whether(ordered and largest < SCORES),
        f"1 layer of {layers}, grown at {4 * when:g} e-folds, later than the baseline by updates, "
        f"e-folds, {count} noisy flows each: {'; '.join(seen)} (largest |z| {largest:.2f}). "
        f"L = {DEPTH}, {len(CASES)} settings: copies at most as late as tied layers, as identity "
        "layers and as without noise, in all. A source pays by compute, d = 1, from "
        + ", ".join(
            f"{copies:.2f} e-folds of {own} layer{'' if own == 1 else 's'} ({zeros:.2f} with "
            "identity layers)"
            for own, (copies, zeros) in pays.items()
        ),
        Rigour.PROVED,
        "proof in theory.models.grown_draws; simulated noisy flows beside it",
    )


def _later(delay: Callable[..., float]) -> tuple[Callable[..., float], ...]:
    """Delays that copies never exceed, of (draws, dimension, noise, kept)."""
    return (
        lambda own, d, r, q: noisy_draws.delay(DEPTH, own, d, r, q),
        lambda own, d, r, q: delay(DEPTH, own, d, r, q, grown_draws.ONE_FACTOR),
    )


CLAIMS = (
    Claim(
        "STAIR-GROW",
        "A first skill that every layer can learn, of a source of A layers grown to L before it: "
        "copies learn it later than L draws by psi(L d / 2) - psi(A d / 2) - log(L / A) e-folds at "
        "most, whatever the noise, and never later than A draws tied until then; identity layers "
        "later than copies by less than log 4. By compute a source pays from delay / (1 - A / L) "
        "e-folds on",
        "ours (theory.models.grown_draws)",
        "",
        "docs/theory.md#one-draw-for-all-layers",
        check_growth,
    ),
)
