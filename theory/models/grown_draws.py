r"""A first skill that every layer can learn, of a grown stack: copies, or zeros.

`theory.models.noisy_draws` with a source of A layers, each with a draw and a noise of its own, that
becomes L = m A layers at tau, while s << 1: every layer m - 1 times more, with a share c of its
|u|^2. r and q as there. With independent chi^2 in units of sigma^2 e^{2 lambda t} (`parts`),

    s = (w (1 + r (1 - q)) + r q) chi^2_{A d} + r q chi^2_{(L - A) d},    w = 1 + (m - 1) c.

COPIES, c = 1 (stacking, interpolation), lose the draw alone, whatever the noise. E s is the
baseline's at every q, and E log sum_i c_i chi^2_i is Schur-concave in c, so that the delay over L
drawn layers rises from the equal start's at q = 1 to psi(L d / 2) - psi(A d / 2) - log m at q = 0,
the one without noise; 1.27 at most.

GROWN IS BEFORE TIED. A drawn layers that stand for m each, tied until tau (`noisy_draws.parts`),
have the weight m + r, which is less by r (m - 1) (1 - q), and the same q: later than copies that
are grown at tau, in distribution, and by log(1 + r) - log(1 + r / m), up to log m, at q = 0. A
source makes its noise once a layer and hands it to every copy; tying averages m noises. And an
update of the source costs A / L.

LAYERS THAT ADD ZERO keep the function and are later than copies by log m - log w at q = 0. If u_l
is zero itself, c = 0: by log m, unbounded in L. Identity layers are copies with one of two factors
at zero. In s = sum_l a_l b_l, a' = 2 g b and b' = 2 g a, all grows with (a + b) / 2, which u is
where a = b; a = 0 leaves u / 2: c = 1 / 4 (`ONE_FACTOR`), later than copies by less than log 4.

By compute: N e-folds of the source cost N A / L, so that a source gains N (1 - A / L) - delay
e-folds, something from N = delay / (1 - A / L) on (`break_even`), if growth is before the skill.

Not covered: growth behind the skill (copies then make s m times too large), and Adam. Ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.models import noisy_draws
from theory.numerics.domain import Array

ONE_FACTOR = 0.25
"""Share of a copy that has one of two equal factors at zero."""


def parts(
    layers: int, own: int, dimension: int, noise: float, kept: float, share: float = 1.0
) -> noisy_draws.Parts:
    """The two chi^2 of s, in units of sigma^2 e^{2 lambda t}.

    `own`: layers of the source; `noise`: r >= 0; `kept`: q in [0, 1], 1 grown at once, 0 as the
    skill comes; `share`: c in [0, 1]. ValueError for others and as `noisy_draws.parts`.
    """
    _, rest = noisy_draws.parts(layers, own, dimension, noise, kept)
    if not (0.0 <= share <= 1.0):
        raise ValueError("share must be in [0, 1]")
    weight = 1.0 + (layers / own - 1.0) * share
    drawn = weight * (1.0 + noise * (1.0 - kept)) + noise * kept
    return [(drawn, float(own * dimension)), rest]


def delay(
    layers: int, own: int, dimension: int, noise: float, kept: float = 0.0, share: float = 1.0
) -> float:
    """Mean delay over a baseline of all layers under the same noise, in e-folds of the gain, by
    updates. As `parts`."""
    each = noisy_draws.expected_log([(1.0 + noise, float(layers * dimension))])
    return each - noisy_draws.expected_log(parts(layers, own, dimension, noise, kept, share))


def break_even(
    layers: int, own: int, dimension: int, noise: float = 0.0, share: float = 1.0
) -> float:
    """E-folds for which a source must train for the skill to come earlier by compute, growth as
    the skill comes (`kept` = 0). ValueError as `parts`, and unless own < layers."""
    if own >= layers:
        raise ValueError("own must be less than layers")
    return delay(layers, own, dimension, noise, 0.0, share) / (1.0 - own / layers)


def simulate(
    weights: ArrayLike,
    copies: int,
    when: float,
    noise: float,
    step: float,
    learnt: float,
    seed: int,
    share: float = 1.0,
) -> Array:
    """Times at which s = `learnt`, as `noisy_draws.simulate`, of sources (runs, A, d) that grow to
    `copies` A layers at `when`.

    ValueError for one that has learnt it by then.
    """
    u = np.array(weights, dtype=np.float64)
    rng = np.random.default_rng([seed, 95])
    apart = np.eye(u.shape[1])
    for _ in range(round(when / step)):
        u = noisy_draws.moved(u, apart, noise, step, rng)
    if np.any((u**2).sum((1, 2)) >= learnt):
        raise ValueError("the skill is learnt before the growth")
    grown = np.concatenate([u, *[share**0.5 * u] * (copies - 1)], axis=1)
    later = noisy_draws.simulate(grown, range(grown.shape[1]), noise, step, learnt, seed)
    return np.asarray(round(when / step) * step + later)
