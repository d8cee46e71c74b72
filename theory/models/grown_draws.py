r"""A first skill that every layer can learn, of a stack that is grown: copies, or zeros.

`theory.models.noisy_draws` with a source of A layers, each with a draw and a noise of its own, that
becomes L = m A layers at tau, while s << 1: by m copies of each (stacking, interpolation), or with
L - A layers whose u is zero, so that the function stays (identity layers). r and q as there. With
independent chi^2 in units of sigma^2 e^{2 lambda t} (`parts`),

    copies:  s = (m (1 + r (1 - q)) + r q) chi^2_{A d} + r q chi^2_{(L - A) d},
    zeros:   s = (1 + r) chi^2_{A d} + r q chi^2_{(L - A) d}.

COPIES lose the draw alone, whatever the noise. E s is the baseline's at every q, and E log sum_i
c_i chi^2_i is Schur-concave in c, so that the delay over L drawn layers rises from the equal
start's at q = 1 to psi(L d / 2) - psi(A d / 2) - log m at q = 0, the one without noise; 1.27 at
most.

GROWN IS BEFORE TIED. A drawn layers that stand for m each, tied until tau (`noisy_draws.parts`),
have the weight m + r, which is less by r (m - 1) (1 - q), and the same q: later than copies that
are grown at tau, in distribution, and by log(1 + r) - log(1 + r / m), up to log m, at q = 0. A
source makes its noise once a layer and hands it to every copy; tying averages m noises. And an
update of the source costs A / L.

ZEROS stay zero in flow: later than copies by log m without noise or at q = 0, unbounded in L; with
noise they draw late.

By compute: N e-folds of the source cost N A / L, so that a source gains N (1 - A / L) - delay
e-folds, something from N = delay / (1 - A / L) on (`break_even`), if growth is before the skill.

Not covered: growth behind the skill (copies then make s m times too large), and Adam. Ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from theory.models import noisy_draws
from theory.numerics.domain import Array


def parts(
    layers: int, own: int, dimension: int, noise: float, kept: float, copied: bool = True
) -> noisy_draws.Parts:
    """The two chi^2 of s, in units of sigma^2 e^{2 lambda t}.

    `own`: layers of the source; `noise`: r >= 0; `kept`: q in [0, 1], 1 grown at once, 0 as the
    skill comes. ValueError as `noisy_draws.parts`.
    """
    _, rest = noisy_draws.parts(layers, own, dimension, noise, kept)
    copies = layers / own if copied else 1.0
    drawn = copies * (1.0 + noise * (1.0 - kept)) + noise * kept
    return [(drawn, float(own * dimension)), rest]


def delay(
    layers: int, own: int, dimension: int, noise: float, kept: float = 0.0, copied: bool = True
) -> float:
    """Mean delay over a baseline of all layers under the same noise, in e-folds of the gain, by
    updates. As `parts`."""
    each = noisy_draws.expected_log([(1.0 + noise, float(layers * dimension))])
    return each - noisy_draws.expected_log(parts(layers, own, dimension, noise, kept, copied))


def break_even(
    layers: int, own: int, dimension: int, noise: float = 0.0, copied: bool = True
) -> float:
    """E-folds for which a source must train for the skill to come earlier by compute, growth as
    the skill comes (`kept` = 0). ValueError as `parts`, and unless own < layers."""
    if own >= layers:
        raise ValueError("own must be less than layers")
    return delay(layers, own, dimension, noise, 0.0, copied) / (1.0 - own / layers)


def simulate(
    weights: ArrayLike,
    copies: int,
    when: float,
    noise: float,
    step: float,
    share: float,
    seed: int,
    copied: bool = True,
) -> Array:
    """As `noisy_draws.simulate`, of sources (runs, A, d) that grow to `copies` A layers at `when`.

    ValueError for one that has learnt `share` by then.
    """
    u = np.array(weights, dtype=np.float64)
    rng = np.random.default_rng([seed, 95])
    apart = np.eye(u.shape[1])
    for _ in range(round(when / step)):
        u = noisy_draws.moved(u, apart, noise, step, rng)
    if np.any((u**2).sum((1, 2)) >= share):
        raise ValueError("the skill is learnt before the growth")
    added = [u if copied else np.zeros_like(u)] * (copies - 1)
    grown = np.concatenate([u, *added], axis=1)
    later = noisy_draws.simulate(grown, range(grown.shape[1]), noise, step, share, seed)
    return np.asarray(round(when / step) * step + later)
