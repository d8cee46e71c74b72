r"""Any quadratic under descent with a fixed diagonal: a guide for AdamW, and plain SGD without one.

F = 1/2 (w - w*)^T H (w - w*), w (L, k), H >= 0 of any form, no noise; w <- w - eta_t D^-1 H
(w - w*), D a positive diagonal (L, k). With y = D^(1/2) w this is plain descent on

    H' = D^(-1/2) H D^(-1/2),

and F is the same, so each eigen-direction of H' contracts by itself. Tied, the common value x has
the mean gradient C x - c of `theory.models.fit_quadratic.general_losses` and a diagonal E (k,) of
its own: x <- x - eta_t E^-1 (C x - c), by z = E^(1/2) x the same. D = E = 1 is `general_losses`.

WHAT IT HAS OF ADAM. Adam divides by the root of a mean of squared gradients: at the start, over
updates much fewer than its memory, D is the root mean square of each layer's own gradient and E
that of their mean. Both are fixed here and fall with the loss there, so Adam is faster late than
this model. It has neither momentum nor weight decay. Even where H commutes with Q (layers alike),
D^-1 H need not: D is the layers' own, and E is at most the root of their mean square. So sharing
may gain here at one rate where under plain descent it cannot (`theory.models.commuting`).

Curvatures of H' are cut to [`FLOOR` lmax, `EDGE` / eta_max], as in `theory.models.fit_quadratic`.
"""

from dataclasses import dataclass

import numpy as np

from theory.models.fit_quadratic import EDGE, FLOOR
from theory.models.quadratic import contraction
from theory.numerics.domain import Array, as_finite


@dataclass(frozen=True)
class Preconditioned:
    """One quadratic in the directions in which it contracts; for any rates and untie times.

    `own` (n,), `basis` (n, n): of H', n = L k; `tied` (k,), `axes` (k, k): of C'. `roots` (L, k)
    and `tied_roots` (k,): of D and E. `pull`: c / E^(1/2). `optimum` (L, k).
    """

    own: Array
    basis: Array
    tied: Array
    axes: Array
    roots: Array
    tied_roots: Array
    pull: Array
    optimum: Array

    @classmethod
    def of(
        cls,
        hessian: Array,
        optimum: Array,
        diagonal: Array | None = None,
        tied_diagonal: Array | None = None,
    ) -> "Preconditioned":
        """H (L, k, L, k), w* (L, k), D (L, k), E (k,); without D and E plain descent.

        ValueError for other shapes, or a diagonal that is not positive.
        """
        L, k = as_finite("optimum", optimum).shape
        if as_finite("hessian", hessian).shape != (L, k, L, k):
            raise ValueError("hessian must have shape (L, k, L, k), and optimum (L, k)")
        D = np.ones((L, k)) if diagonal is None else as_finite("diagonal", diagonal)
        E = np.ones(k) if tied_diagonal is None else as_finite("tied_diagonal", tied_diagonal)
        if D.shape != (L, k) or E.shape != (k,):
            raise ValueError("diagonal must have shape (L, k), and tied_diagonal (k,)")
        if min(D.min(), E.min()) <= 0.0:
            raise ValueError("diagonal and tied_diagonal must be positive")
        roots, tied_roots = np.sqrt(D), np.sqrt(E)
        flat, by = hessian.reshape(L * k, L * k), roots.reshape(-1)
        own, basis = np.linalg.eigh(_symmetric(flat / by / by[:, None]))
        C = hessian.sum(axis=(0, 2)) / L
        tied, axes = np.linalg.eigh(_symmetric(C / tied_roots / tied_roots[:, None]))
        pull = (flat @ optimum.reshape(-1)).reshape(L, k).mean(axis=0) / tied_roots
        return cls(own, basis, tied, axes, roots, tied_roots, pull, optimum)

    def losses(self, draws: Array, steps: Array, taus: list[int]) -> Array:
        """F at T, (1 + len(taus),): never shared from `draws` (L, k), then SWE(tau) of each tau.

        The equal start is the first layer's draw; `steps` (T,).
        """
        own, tied = (_stable(values, float(np.max(steps))) for values in (self.own, self.tied))
        left = contraction(own, steps)
        shared = np.cumprod(
            np.concatenate([np.ones((1, tied.size)), 1.0 - steps[:, None] * tied]), axis=0
        )
        target = (self.axes.T @ self.pull) / tied
        start = self.axes.T @ (self.tied_roots * draws[0])

        def after(w: Array, tau: int) -> float:
            apart = self.basis.T @ (self.roots * (w - self.optimum)).reshape(-1)
            return 0.5 * float(np.sum(own * (left[tau] * apart) ** 2))

        found = [after(draws, 0)]
        for tau in taus:
            x = self.axes @ (target + shared[tau] * (start - target)) / self.tied_roots
            found.append(after(np.broadcast_to(x, self.optimum.shape), tau))
        return np.array(found)


def _symmetric(matrix: Array) -> Array:
    return np.asarray((matrix + matrix.T) / 2.0)


def _stable(values: Array, largest_step: float) -> Array:
    return np.clip(values, FLOOR * float(values[-1]), EDGE / largest_step)
