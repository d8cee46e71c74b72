"""Argument checks: every public function refuses what its theorem does not cover, by name."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def as_time(time: ArrayLike) -> Array:
    """Times as float64; ValueError unless all are >= 0 (infinity allowed, NaN not)."""
    value = np.asarray(time, dtype=np.float64)
    if not np.all(value >= 0.0):
        raise ValueError("time must be >= 0 and not NaN")
    return value


def as_depth(depth: ArrayLike) -> Array:
    """Depths as float64; ValueError unless all are integers >= 1."""
    value = np.asarray(depth, dtype=np.float64)
    if not np.all((value >= 1.0) & np.isfinite(value) & (value == np.floor(value))):
        raise ValueError("depth must be an integer >= 1")
    return value


def as_finite(name: str, value: ArrayLike) -> Array:
    """`value` as float64; ValueError naming the argument unless every entry is finite."""
    array = np.asarray(value, dtype=np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite")
    return array


def as_square(name: str, value: ArrayLike) -> Array:
    """A finite square matrix (d, d); ValueError naming the argument otherwise."""
    matrix = as_finite(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
        raise ValueError(f"{name} must be a square matrix of shape (d, d), d >= 1")
    return matrix


def as_positive_definite(name: str, value: ArrayLike) -> tuple[Array, Array]:
    """Eigenvalues (d,) ascending and eigenvectors (d, d) of a symmetric positive definite matrix.

    Symmetric to 1e-12 of the largest entry: rounding of Q diag Q^T leaves about d * 1e-16.
    """
    matrix = as_square(name, value)
    scale = float(np.max(np.abs(matrix)))
    if not np.allclose(matrix, matrix.T, rtol=0.0, atol=1e-12 * scale):
        raise ValueError(f"{name} must be symmetric")
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    if not values[0] > 0.0:
        raise ValueError(f"{name} must be positive definite (eigenvalues > 0)")
    return values, vectors
