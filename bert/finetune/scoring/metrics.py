"""GLUE's scores as its evaluation defines them, in points (100 times the usual fraction).

The official server scores with scikit-learn's and scipy's functions: accuracy, F1 of class 1,
Matthews' coefficient (for more than two classes R_K, Gorodkin 2004; R_3 on the diagnostic set),
Pearson's and Spearman's correlation. Where a coefficient is 0/0 it is 0, as scikit-learn has it;
scipy would give NaN for a constant prediction, here it is 0 too, and the run is flagged elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from swe.base.errors import ConfigError

Numbers = NDArray[np.float64]


def accuracy(predicted: Numbers, truth: Numbers) -> float:
    """Share of equal labels."""
    return 100.0 * float(np.mean(predicted == truth))


def f1(predicted: Numbers, truth: Numbers) -> float:
    """F1 of class 1: 2 TP / (2 TP + FP + FN); 0 without any of them."""
    hit = float(np.sum((predicted == 1) & (truth == 1)))
    named, there = float(np.sum(predicted == 1)), float(np.sum(truth == 1))
    return 100.0 * 2 * hit / (named + there) if named + there else 0.0


def matthews(predicted: Numbers, truth: Numbers) -> float:
    """R_K from counts: (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)).

    s: examples, c: hits, p_k and t_k: how often class k was predicted and true.
    """
    classes = np.union1d(predicted, truth)
    s, c = float(len(truth)), float(np.sum(predicted == truth))
    p = np.array([np.sum(predicted == k) for k in classes], dtype=np.float64)
    t = np.array([np.sum(truth == k) for k in classes], dtype=np.float64)
    spread = (s * s - p @ p) * (s * s - t @ t)
    return 100.0 * float((c * s - p @ t) / np.sqrt(spread)) if spread > 0 else 0.0


def pearson(predicted: Numbers, truth: Numbers) -> float:
    """Pearson's correlation."""
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return 0.0
    return 100.0 * float(stats.pearsonr(predicted, truth).statistic)


def spearman(predicted: Numbers, truth: Numbers) -> float:
    """Spearman's correlation, ties at their mean rank."""
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return 0.0
    return 100.0 * float(stats.spearmanr(predicted, truth).statistic)


METRICS: dict[str, Callable[[Numbers, Numbers], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


def score(names: Sequence[str], predicted: Numbers, truth: Numbers) -> dict[str, float]:
    """Return the named scores. ConfigError when the two differ in length or are empty."""
    if len(predicted) != len(truth) or len(truth) == 0:
        raise ConfigError(f"score: {len(predicted)} predictions for {len(truth)} labels")
    return {name: METRICS[name](predicted, truth) for name in names}


def best_constant(name: str, truth: Numbers) -> float:
    """Return the best score that one answer for all examples reaches (majority class)."""
    if name in ("matthews", "pearson", "spearman"):
        return 0.0
    return max(METRICS[name](np.full_like(truth, k), truth) for k in np.unique(truth))
