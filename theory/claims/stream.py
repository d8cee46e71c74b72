"""Ledger record of the stream that copies begin with: STAIR-STREAM.

The statement is in `theory.models.stream`. The formulas under test are arguments, so that a wrong
one can be shown to fail.
"""

from collections.abc import Callable

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import draws, stream
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

VARIANCE = 0.1
"""Of a branch, near that of BERT's at its start."""
DEPTHS = (4, 12, 24)
TOLERANCE = 0.15
"""Relative, of a mean over sampled stacks: twice what ten seeds of the smallest scale are off."""

Squares = Callable[[int, float], Array]
Later = Callable[[Array, Array], Array]


def check_stream(
    seed: int,
    scale: str,
    drawn: Squares = stream.drawn,
    copied: Squares = stream.copied,
    later: Later = stream.later,
) -> Finding:
    """Stacks of random linear maps against the mean squares; a skill read through them, by the
    time that it takes, against the reach."""
    size = check_scale(scale)
    width, count = [(400, 6), (500, 8), (1200, 12)][size]
    rng = np.random.default_rng([seed, 98])
    worst, gap, seen = 0.0, 0.0, []
    for depth in DEPTHS:
        squares = {}
        for copies, formula in ((False, drawn), (True, copied)):
            found = np.mean(
                [_sampled(rng, width, depth, VARIANCE, copies) for _ in range(count)], axis=0
            )
            squares[copies] = formula(depth, VARIANCE)
            worst = max(worst, float(np.max(np.abs(found / squares[copies] - 1.0))))
        start = np.full(depth, 1e-12)
        times = [
            float(draws.learnt_at(float((start / np.sqrt(s[:-1] * s[-1])).sum()), 0.5))
            for s in (stream.copied(depth, VARIANCE), stream.drawn(depth, VARIANCE))
        ]
        foretold = float(later(squares[True], squares[False]))
        gap = max(gap, abs(4.0 * (times[0] - times[1]) - foretold))
        scaled = float(later(*(f(depth, VARIANCE / depth**2) for f in (copied, drawn))))
        seen.append(
            f"L = {depth}: {squares[False][-1]:.1f} drawn, {squares[True][-1]:.1f} copied, "
            f"{foretold:.2f} e-folds later, {scaled:.2f} with branches times 1 / L"
        )
    return Finding(
        Verdict.whether(worst < TOLERANCE and gap < 1e-6),
        f"mean square at the head, v = {VARIANCE}, {'; '.join(seen)}. {count} sampled stacks each, "
        f"width {width}: to {100 * worst:.1f} % at every layer",
        Rigour.PROVED,
        "proof in theory.models.stream (copies: in the limit of width); sampled stacks beside it",
    )


def _sampled(
    rng: np.random.Generator, width: int, depth: int, variance: float, copies: bool
) -> Array:
    """Mean squares (depth + 1,) of the stream of one stack of random linear branches."""
    h = rng.normal(size=width)
    h /= np.sqrt(np.mean(h**2))
    found, branch = [1.0], np.zeros(0)
    for _ in range(depth):
        if not branch.size or not copies:
            branch = rng.normal(size=(width, width)) * np.sqrt(variance / width)
        h = h + branch @ (h / np.sqrt(np.mean(h**2)))
        found.append(float(np.mean(h**2)))
    return np.array(found)


CLAIMS = (
    Claim(
        "STAIR-STREAM",
        "A Pre-LN stack before it is trained: L drawn layers make a stream of mean square 1 + L v, "
        "copies of one a far larger, and of a skill that every layer can learn the head sees that "
        "much less. Where noise decides how long steps are copies learn it later by the logarithm "
        "of the reach, the more the deeper; with branches times 1 / L hardly",
        "ours (theory.models.stream)",
        "",
        "docs/theory.md#what-copies-begin-with",
        check_stream,
    ),
)
