"""What a forecast sees of one run: short rehearsals of it, and its curvature at the start.

A rehearsal is the run with fewer updates, its rate's whole decay inside them. There are two
lengths, `share` of the updates and half of that, and at each all of `ARMS`. Losses are held-out
ones above the floor, in log10: a difference of arms is then a factor on the loss, which means the
same in any unit of loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swe.base.config import require, require_between, require_count
from swe.base.errors import ConfigError

ARMS = ("baseline", "equal-start", "swe-f 0.1", "swe-f 0.4", "swe-f 0.8", "always-shared")
"""What is rehearsed: both controls, SWE-F until 10, 40 and 80 %, and tied to the end."""
SHARES = (1 / 16, 1 / 8)
"""Lengths of the long rehearsals that there is a calibration for, as fractions of the run."""
FEWEST = 4
"""Updates of a rehearsal at least."""
LEAST = 1e-8
"""Losses above the floor count as at least this: single precision cannot tell them from 0."""
FEATURES = (
    *(f"{arm}, {length}" for length in ("short", "long") for arm in ARMS if arm != "equal-start"),
    "progress",
    "gain of the longer",
    "sharpness ratio",
    "commutator",
    "updates",
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run, measured. Raises ConfigError for an arm that is missing or what is not finite.

    Losses in log10 of held-out loss above the floor; eigenvalues as
    `swe.probes.curvature.Curvature`.
    """

    updates: int
    """Of the whole run."""
    share: float
    """Length of the long rehearsals; one of SHARES."""
    start: float
    """Loss of the equal start before update 0."""
    short: Mapping[str, float]
    """Loss at the end of the short rehearsals, by arm."""
    long: Mapping[str, float]
    """The same of the long ones."""
    sharpness: float
    """lmax(H), layers free."""
    tied_sharpness: float
    """lmax(C), layers tied."""
    commutator: float
    """|[H, Q]| / |H|."""

    def __post_init__(self) -> None:
        require_count("updates", self.updates)
        require(self.share in SHARES, "share", self.share, f"one of {SHARES}")
        for name, losses in (("short", self.short), ("long", self.long)):
            for arm in ARMS:
                require(arm in losses, name, sorted(losses), f"losses of {', '.join(ARMS)}")
                require(math.isfinite(losses[arm]), f"{name}[{arm!r}]", losses[arm], "finite")
        for name in ("start", "sharpness", "tied_sharpness", "commutator"):
            require(math.isfinite(getattr(self, name)), name, getattr(self, name), "finite")
        require_between("commutator", self.commutator, 0, 2)

    def features(self) -> NDArray[np.float64]:
        """Return what runs are compared by, (17,), in the order of FEATURES.

        Each arm's loss minus the equal start's at both lengths, how far the loss has come and how
        much of that in the longer half, squashed (`squashed`) as the first tenth of a decade tells
        more than the third; log10 of the ratio of sharpnesses, untied over tied; twice the
        commutator; log10 of the updates.
        """
        equal = "equal-start"
        gaps = [
            losses[arm] - losses[equal]
            for losses in (self.short, self.long)
            for arm in ARMS
            if arm != equal
        ]
        come = [self.long[equal] - self.start, self.long[equal] - self.short[equal]]
        ratio = max(self.sharpness, 1e-6) / max(abs(self.tied_sharpness), 1e-6)
        rest = [math.log10(ratio), 2 * self.commutator, math.log10(self.updates)]
        return np.concatenate([squashed(np.array(gaps + come)), rest])


def squashed(decades: NDArray[np.float64]) -> NDArray[np.float64]:
    """sign(x) log(1 + 10 |x|): linear up to a tenth of a decade, logarithmic from there on."""
    return np.asarray(np.sign(decades) * np.log1p(10 * np.abs(decades)))


def log_loss(loss: float, floor: float, start: float) -> float:
    """log10 of a held-out loss above the floor; one that is not finite counts as `start`.

    Raises ConfigError for a loss below the floor by more than rounding.
    """
    if not math.isfinite(loss):
        loss = start
    above = loss - floor
    if above < -1e-6 * max(1.0, abs(floor)):
        raise ConfigError(f"floor = {floor:g}: must be at most the held-out loss, {loss:g}")
    return math.log10(max(above, LEAST))


def lengths(updates: int, share: float) -> tuple[int, int]:
    """Updates of the short and the long rehearsals of a run."""
    return max(FEWEST, round(share / 2 * updates)), max(FEWEST, round(share * updates))
