"""Positive definite targets: those whose bounds are drawn, and random ones."""

import numpy as np

from theory.numerics.domain import Array

TARGETS: dict[str, list[float]] = {
    "all above one": [1.5, 2.0, 3.0],
    "across one": [0.5, 1.2, 2.0],
    "all below one": [0.2, 0.4, 0.8],
    "one small": [0.05, 1.5, 2.0],
}
"""Eigenvalues of the targets whose bounds are drawn; the flows see nothing else of a PD target."""


def random_target(rng: np.random.Generator, d: int, low: float, high: float) -> Array:
    """Symmetric positive definite (d, d), eigenvalues log-uniform in [low, high]."""
    values = np.exp(rng.uniform(np.log(low), np.log(high), d))
    basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return np.asarray((basis * values) @ basis.T)
