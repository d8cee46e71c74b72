"""Whiskers of 95 %, by Student's t: the standard error of few replicas is itself uncertain."""

from __future__ import annotations

from scipy import stats


def half_width(standard_error: float, replicas: int) -> float:
    """Half of the two-sided 95 % interval of a mean of `replicas` values.

    t at replicas - 1 degrees of freedom: 2.36 standard errors for 8, 1.98 for 128, and 1.96 only in
    the limit. For a quotient of two such means it is a little too wide (Welch: its degrees of
    freedom are those of one mean at least). ValueError for fewer than 2 replicas.
    """
    if replicas < 2:
        raise ValueError(f"replicas must be >= 2 for an interval, got {replicas}")
    return float(stats.t.ppf(0.975, replicas - 1)) * standard_error
