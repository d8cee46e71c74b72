"""Curvature as tying sees it: the sharpness of free and of tied layers, and whether they commute.

H is the Hessian of the loss over the layers' parameters, each layer with its own, tied or not; Q is
I minus the mean over repeats (of each parameter of the unit); C = (1/B) sum_{r,s} H_rs is the
Hessian that the mean of the gradients sees: H on the tied manifold, in coordinates of unit norm.

- C is a compression of H, so lmin(H) <= eig(C) <= lmax(H): tying never raises the sharpness, and
  lmax(H) / lmax(C) is how much longer a step it allows.
- |[H, Q]| / |H| is 0 where layers are exchangeable, and how far they are from it otherwise. Of a
  quadratic loss, at one rate that is stable for both and without noise, tying gains only where it
  is not 0.

``theory.models.switching`` and ``interlacing`` of the checkout have the proofs. Eigenvalues are by
the plain Lanczos recurrence: three vectors are kept on the device of the parameters and the cost is
a fixed number of products, where ARPACK (scipy's eigsh, the tests' other route) keeps some twenty
of them on the host and may end without an answer. Lost orthogonality repeats Ritz values, and does
not move the largest one beyond rounding (Paige, Linear Algebra Appl. 34, 1980, 235-258).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from swe.base.config import require_between, require_count
from swe.probes.products import Method, Products, hessian
from swe.sharing.stack import Stack


@dataclass(frozen=True)
class Curvature:
    """What :func:`curvature` measured; eigenvalues in units of loss over parameter squared.

    Both eigenvalues are Ritz values: never above the true ones but for rounding and, by
    ``differences``, for ``difference_error``.
    """

    sharpness: float
    """lmax(H), the largest eigenvalue (not the largest in size), layers free."""
    tied_sharpness: float
    """lmax(C), the same of tied layers, by the mean rule."""
    commutator: float
    """|[H, Q]| / |H|, Frobenius norms; NaN where H is 0."""
    commutator_error: float
    """Its standard error, of the random vectors."""
    method: Method
    """"exact" (double backward), or "differences" (central ones, of gradients)."""
    difference_error: float
    """Relative change of a product between two steps; 0 when exact."""
    products: int
    """Hessian-vector products made; each some 2 gradients by either method."""
    residual: float = math.nan
    """|H v - l v| / |l| at the end, the larger one of both eigenvalues: some eigenvalue is as near
    to l, and the error of the largest one is of second order in it."""


def curvature(
    stack: Stack,
    loss: Callable[[], Tensor],
    seed: int = 0,
    *,
    iterations: int = 30,
    samples: int = 8,
    tolerance: float = 1e-2,
) -> Curvature:
    """Measure the curvature of ``loss()`` over the layers of ``stack``, tied or not.

    ``loss`` must run the model that holds ``stack``; dropout is drawn from ``seed`` and the same in
    all products. At most
    ``iterations`` products for each eigenvalue, fewer once its residual is below ``tolerance``,
    and 2 for each of ``samples`` random vectors (Hutchinson's estimate of the norms).

    Attention runs by the math kernel and compiled blocks plainly, as others have no second
    derivative; a model that has none even so is measured by differences of gradients. Parameters,
    their ``.grad``, random state, modes, kernel choices and the layers' buffers stay as they were
    (a BatchNorm outside the layers is moved: use eval mode). One process.

    Raises ConfigError for half precision, sharded parameters, and a loss that does not reach them
    or has no second derivative by either way; NonFiniteLossError where the loss or a product is not
    finite.
    """
    require_count("iterations", iterations)
    require_count("samples", samples, 2)
    require_between("tolerance", tolerance, 0, 1, open_high=True)
    with hessian(stack, loss, seed) as product:
        space = product.space
        tied, tied_residual = largest_eigenvalue(
            lambda y: space.gather(product(space.spread(y))),
            space.draw(False, space.unit_size, "tied", seed),
            iterations,
            tolerance,
        )
        free, free_residual = largest_eigenvalue(
            product, space.draw(False, space.size, "free", seed), iterations, tolerance
        )
        commutator, error = commutator_norm(product, samples, seed)
        return Curvature(
            # Both are Rayleigh quotients of H, hence both below lmax(H).
            sharpness=max(free, tied),
            tied_sharpness=tied,
            commutator=commutator,
            commutator_error=error,
            method=product.method,
            difference_error=product.error,
            products=product.count,
            residual=max(tied_residual, free_residual),
        )


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor], start: Tensor, iterations: int, tolerance: float
) -> tuple[float, float]:
    """Return (largest Ritz value, its relative residual) of a symmetric ``product`` by Lanczos.

    With T the tridiagonal matrix after k products and (l, s) its top pair, the residual of the Ritz
    vector is beta_k |s_k|: it comes free, and the vector is never formed.
    """
    vector, before = start / start.norm(), torch.zeros_like(start)
    diagonal: list[float] = []
    beside: list[float] = []
    beta = 0.0
    for _ in range(iterations):
        image = product(vector)
        diagonal.append(float(vector @ image))
        image = image - diagonal[-1] * vector - beta * before
        beta = float(image.norm())
        values, vectors = eigh_tridiagonal(
            np.array(diagonal), np.array(beside), select="i", select_range=(len(beside),) * 2
        )
        value = float(values[0])
        scale = max(map(abs, (*diagonal, *beside)))
        residual = beta * abs(float(vectors[-1, 0]))
        if beta <= 8 * torch.finfo(start.dtype).eps * scale:  # an invariant space: exact
            return value, 0.0
        if residual <= tolerance * abs(value):
            break
        beside.append(beta)
        vector, before = image / beta, vector
    return value, residual / abs(value) if value else math.inf


def commutator_norm(product: Products, samples: int, seed: int) -> tuple[float, float]:
    """Estimate |[H, Q]| / |H| and its standard error from ``samples`` vectors of random signs.

    [H, Q] = P H Q - Q H P, two blocks that are orthogonal in what they read and write, so
    |[H, Q] z|^2 = |P H Q z|^2 + |Q H P z|^2, without a difference of nearly equal vectors; the mean
    of |A z|^2 over signs z is |A|^2. The ratio r = a / b of two means has the variance of
    a_i - r b_i over m b^2, and its root that of r over 4 r.
    """
    space = product.space
    parts, wholes = [], []
    for index in range(samples):
        signs = space.draw(True, space.size, "commutator", seed, index)
        common = space.mean(signs)
        of_common, of_deviation = product(common), product(signs - common)
        crossed = of_common - space.mean(of_common)
        parts.append(float(crossed.square().sum() + space.mean(of_deviation).square().sum()))
        wholes.append(float((of_common + of_deviation).square().sum()))
    part, whole = np.array(parts), np.array(wholes)
    if not whole.sum() > 0:
        return math.nan, math.nan
    ratio = float(part.mean() / whole.mean())
    spread = float((part - ratio * whole).std(ddof=1)) / math.sqrt(samples) / float(whole.mean())
    return math.sqrt(ratio), spread / (2 * math.sqrt(ratio)) if ratio > 0 else 0.0
