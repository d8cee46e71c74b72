"""Paired comparison of runs: n, mean, interval, and a verdict that was decided in advance.

Runs with the same seed see the same batches and, where they share a parameter, the same start, so
arms are compared by the differences within a seed. An arm "helps" when the two-sided 95 % interval
of the mean difference (Student's t over seeds) lies below zero, "hurts" when above, else "no gain".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy import stats

from evidence.claim import Verdict as Word
from evidence.plateau import PLATEAU, on_plateau
from swe.base.errors import ConfigError

OPEN = str(Word.OPEN)
Verdict = Literal["helps", "no gain", "hurts", "one seed: no interval"]


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided Student-t interval; ``low`` and ``high`` are None when n = 1."""

    n: int
    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: list[float], confidence: float = 0.95) -> Interval:
        """Summarise ``values``. Raises ConfigError for none."""
        n = len(values)
        if n == 0:
            raise ConfigError("interval: of no values at all")
        mean = math.fsum(values) / n
        if n == 1:
            return cls(1, mean, None, None)
        variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
        half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * math.sqrt(variance / n)
        return cls(n, mean, mean - half, mean + half)

    def verdict(self) -> Verdict:
        """Read the interval of a loss difference (arm minus reference)."""
        if self.low is None or self.high is None:
            return "one seed: no interval"
        if self.high < 0:
            return "helps"
        return "hurts" if self.low > 0 else "no gain"


def compare(runs: Mapping[str, Mapping[int, float]], reference: str) -> dict[str, dict[str, Any]]:
    """Compare every arm with ``reference``, seed by seed.

    ``runs``: {arm: {seed: final validation loss}}. Returns for each arm its values by seed, the
    interval of the values, and, except for the reference, the interval of the paired differences
    over the seeds that both have, and the verdict. ConfigError when the reference is missing or an
    arm shares no seed with it.
    """
    if reference not in runs:
        raise ConfigError(f"reference = {reference!r}: must be one of {sorted(runs)}")
    base = runs[reference]
    out: dict[str, dict[str, Any]] = {}
    for arm, values in runs.items():
        entry: dict[str, Any] = {
            "values": {str(seed): values[seed] for seed in sorted(values)},
            "loss": asdict(Interval.of([values[seed] for seed in sorted(values)])),
        }
        if arm != reference:
            shared = sorted(values.keys() & base.keys())
            if not shared:
                raise ConfigError(f"arm {arm!r}: no seed in common with {reference!r}")
            difference = Interval.of([values[seed] - base[seed] for seed in shared])
            entry |= {"difference": asdict(difference), "verdict": difference.verdict()}
        out[arm] = entry
    return out


def differences(compared: Mapping[str, Any], arm: str, other: str) -> list[float]:
    """Return two arms' final losses, arm minus other, of the seeds that both have, in order.

    ``compared``: a comparison or a table.
    """
    one, two = (compared["arms"].get(name, {}).get("values", {}) for name in (arm, other))
    return [one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())]


def paired(compared: Mapping[str, Any], arm: str, other: str) -> Interval | None:
    """Return the interval of :func:`differences`. None where no seed has both."""
    found = differences(compared, arm, other)
    return Interval.of(found) if found else None


def is_tuned(study: Mapping[str, Any]) -> bool:
    """Whether every arm of a study chose its rate from a grid, by the study's configuration."""
    return len(study.get("rates", ())) > 1


HEADLINE_SEEDS = 3
"""Paired seeds from which a comparison may stand first: with two, Student's t multiplies the
standard error by 12.7, and nearly any interval holds zero."""


def word_of(gap: Interval, compared: Mapping[str, Any]) -> str:
    """Return the verdict of an interval of a comparison.

    Its own; that of the plateau; open for two seeds (HEADLINE_SEEDS), whatever their interval.
    """
    if on_plateau(compared):
        return PLATEAU
    return OPEN if 1 < gap.n < HEADLINE_SEEDS else gap.verdict()


def weight(compared: Mapping[str, Any], arm: str) -> tuple[bool, bool, bool, bool, float, int, int]:
    """Return how much a comparison (comparison.json, or a table) has to say of ``arm``: a sort key.

    One that ended on the plateau comes last, as it says nothing of the layers. Then: masked models,
    which the paper trains, before causal ones, a tuned comparison before one with a single rate for
    all arms, one of HEADLINE_SEEDS seeds before one of fewer, then the one whose baseline computes
    most, as the paper's claims are about large models; then more seeds and more arms.
    """
    arms = compared["arms"]
    flops = arms[compared["reference"]]["flops"]
    most = float(max(flops.values()) if isinstance(flops, dict) else flops)
    seeds = int(arms[arm]["difference"]["n"])
    counts, study = not on_plateau(compared), compared["study"]
    masked = study.get("objective", "masked") == "masked"
    careful = is_tuned(study), seeds >= HEADLINE_SEEDS
    return counts, masked, *careful, most, seeds, len(arms)
