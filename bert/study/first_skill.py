"""What theory says of when an arm learns a first skill, from how it begins alone.

``theory.models.draws``, ``noisy_draws`` and ``grown_draws``, over all noises and dimensions of the
skill, of which a model tells neither; and ``stream``, of which it tells all.
"""

from __future__ import annotations

import math

from bert.study.beginning import Beginning
from theory.models import draws, grown_draws

DIMENSIONS = (1, 2, 4, 8)
"""Of the skill."""


def by_stream(of: Beginning, base: Beginning) -> float | None:
    """Return by how many e-folds an arm leaves after a baseline, by what both begin with; None
    where that was not measured, and of a stack that grows."""
    if of.reach is None or base.reach is None or of.grown is not None:
        return None
    return base.reach - of.reach


def foretold(of: Beginning) -> dict[str, list[float]]:
    """Return the ends between which an arm's row was foretold; {} where the theory is silent."""
    if of.drawn is None:
        return {}
    if of.tied:
        late = float(draws.delay(of.layers, of.drawn, 1)) + math.log(of.layers / of.drawn)
        return {"late": [0.0, late]}
    share = grown_draws.ONE_FACTOR if of.grown == "zeros" else 1.0
    late = grown_draws.delay(of.layers, of.drawn, 1, 0.0, share=share)
    widest = float(draws.spread(of.drawn, 1) / draws.spread(of.layers, 1))
    return {"late": [0.0, late], "deviation_ratio": [1.0, widest]}


def starts(of: Beginning) -> list[list[float]] | None:
    """Return [without noise, with nothing else] for each of DIMENSIONS; None where the theory is
    silent, of a stack that grows, and of one that is let go: it begins twice. Tied layers' noise is
    their mean's, a layer's share of it."""
    whole = sum(updates for updates, _ in of.phases)
    if of.drawn is None or of.grown is not None or (of.tied and of.until != whole):
        return None
    noise = (of.drawn, of.drawn / of.layers) if of.tied else (of.layers, 1.0)
    return [
        [
            float(draws.start(of.layers, of.drawn, d, of.scale)),
            float(draws.start(of.layers, noise[0], d, of.scale * noise[1])),
        ]
        for d in DIMENSIONS
    ]
