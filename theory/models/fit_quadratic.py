r"""From a curvature, an optimum, a start and gradient samples to the exchangeable quadratic.

`theory.models.quadratic` solves L equal modules with the Hessian I (x) A + (1/L) 1 1^T (x) B. A
measured Hessian H, with blocks H_lm (k, k), is not of that form; its least-squares projection on
it is

    A + B = (1/L) sum_lm H_lm,        A = (sum_l H_ll - (A + B)) / (L - 1),

and `defect` is the share of H, in the Frobenius norm, that the projection leaves: 0 when the
modules are exchangeable. The two lines of `theory.models.quadratic`, mean and differences, do not
see each other, so A and A + B are diagonalised apart and need not commute.

What a prediction may use, fixed before any run that shares is looked at (`Estimate.of`):
curvature and gradient noise, each the mean over probes of a run that never shares; the optimum
(from the teacher: m = mean of its modules, delta_l = the rest); the start. Nothing is fitted to the
outcome of a shared run. Curvatures at or above 2 / eta, which no run that converges can have kept,
are cut to `EDGE` / eta, and those below `FLOOR` of the largest, which do not move, are raised to
it; `cut` says how many directions were. Without the exchangeability the quadratic is still
solvable, module by module: `general_losses`, noise left out.
"""

from dataclasses import dataclass

import numpy as np

from theory.models import quadratic
from theory.models.quadratic import Quadratic
from theory.numerics.domain import Array, as_finite

EDGE, FLOOR = 1.95, 1e-9


@dataclass(frozen=True)
class Curvature:
    """Projection of a Hessian: `own` = A and `mean` = A + B, (k, k); `defect` in [0, 1]."""

    own: Array
    mean: Array
    defect: float

    @classmethod
    def of(cls, hessian: Array) -> "Curvature":
        """Project (L, k, L, k), L >= 2. ValueError for another shape or entries not finite."""
        H = as_finite("hessian", hessian)
        if H.ndim != 4 or H.shape[:2] != H.shape[2:] or H.shape[0] < 2:
            raise ValueError("hessian must have shape (L, k, L, k) with L >= 2")
        L = H.shape[0]
        mean = H.sum((0, 2)) / L
        own = (np.einsum("lilj->ij", H) - mean) / (L - 1)
        left = H - (mean - own)[None, :, None, :] / L
        for layer in range(L):
            left[layer, :, layer] -= own
        size = float(np.linalg.norm(H))
        return cls(own, mean, float(np.linalg.norm(left)) / size if size > 0.0 else 0.0)


@dataclass(frozen=True)
class Noise:
    """Second moments of one update's gradient noise, each (k, k).

    `differences`: of n_l - nbar, summed over l and divided by L - 1; `mean`: L times that of nbar.
    Independent modules of one covariance have it in both.
    """

    differences: Array
    mean: Array

    @classmethod
    def of(cls, gradients: Array) -> "Noise":
        """From independent samples at one point, (samples, L, k), samples and L >= 2."""
        g = as_finite("gradients", gradients)
        if g.ndim != 3 or min(g.shape[:2]) < 2:
            raise ValueError("gradients must have shape (samples, L, k), samples and L >= 2")
        samples, L, _ = g.shape
        noise = g - g.mean(axis=0)
        mean = noise.mean(axis=1)
        apart = (noise - mean[:, None]).reshape(-1, g.shape[2])
        return cls(apart.T @ apart / ((samples - 1) * (L - 1)), L * mean.T @ mean / (samples - 1))


@dataclass(frozen=True)
class Estimate:
    """The differences and the mean as two `Quadratic`s, and what the estimation had to force.

    `baseline_start`: second moments of the mean's start when every module has a draw of its own,
    in the directions of `mean`. `cut`: share of directions whose curvature was raised or cut.
    """

    differences: Quadratic
    mean: Quadratic
    baseline_start: Array
    cut: float

    @classmethod
    def of(
        cls, curvature: Curvature, noise: Noise, optimum: Array, draws: Array, largest_step: float
    ) -> "Estimate":
        """`optimum`, `draws` (L, k): the modules' optima and their independent starts.

        The equal start is the first module's draw, as `swe.sharing.share_then_unshare.prepare`
        makes it.
        """
        L = optimum.shape[0]
        m, center = optimum.mean(axis=0), draws.mean(axis=0)
        own, basis, low = _curvatures(curvature.own, largest_step)
        mean, axes, high = _curvatures(curvature.mean, largest_step)

        def along(directions: Array, vectors: Array) -> Array:
            return np.asarray(np.sum((vectors @ directions) ** 2, axis=0))

        differences = Quadratic(
            depth=L,
            own=own,
            bias=along(basis, optimum - m),
            noise=_variances(noise.differences, basis),
            dispersion=along(basis, draws - center) / (L - 1),
        )
        common = Quadratic(
            depth=L,
            own=mean,
            noise=_variances(noise.mean, axes),
            start=along(axes, (draws[0] - m)[None]),
        )
        return cls(differences, common, along(axes, (center - m)[None]), (low + high) / 2.0)

    def loss_by_tau(self, steps: Array) -> Array:
        """Predicted E R at T of SWE(tau), tau = 0..T, (T + 1,); see `quadratic.loss_by_tau`."""
        apart = quadratic.shared_differences(self.differences, steps)
        own = 0.5 * np.sum(self.differences.own * apart, axis=1)
        return np.asarray(own + quadratic.mean_loss(self.mean, steps))

    def loss_unshared(self, steps: Array) -> float:
        """Predicted E R at T of the baseline: own draws, never shared."""
        apart = quadratic.unshared_differences(self.differences, steps)[-1]
        mean = Quadratic(
            depth=self.mean.depth,
            own=self.mean.own,
            noise=self.mean.noise,
            start=self.baseline_start,
        )
        own = 0.5 * float(np.sum(self.differences.own * apart))
        return own + quadratic.mean_loss(mean, steps)

    def noise_over_bias(self, eta: float) -> float:
        """Loss at the differences' noise floor over the bias's; above 1 sharing pays at eta.

        Infinite without bias (below 1e-12 of the mean's distance). See `quadratic.critical_step`.
        """
        a = self.differences.own
        bias = float(np.sum(a * self.differences.bias))
        floor = float(np.sum(a * quadratic.noise_floor(self.differences, eta)))
        nothing = 1e-12 * float(np.sum(self.mean.own * self.mean.start))
        return floor / bias if bias > nothing else float("inf")


def general_losses(
    hessian: Array, optimum: Array, start: Array, steps: Array, taus: list[int]
) -> Array:
    """R at T of SWE(tau) on 1/2 (w - w*)^T H (w - w*), any H >= 0, no noise; (len(taus),).

    `hessian` (L, k, L, k), `optimum` (L, k), `start` (k,), the equal start; `steps` (T,). Tied, the
    modules' value x moves by -eta (C x - c), C = (1/L) sum_lm H_lm and c = (1/L) sum_lm H_lm w*_m;
    untied, each eigen-direction of H contracts by itself. Curvatures are cut as in `Estimate`.
    """
    L, k = optimum.shape
    flat = hessian.reshape(L * k, L * k)
    own, basis, _ = _curvatures(flat, float(np.max(steps)))
    tied, axes, _ = _curvatures(hessian.sum((0, 2)) / L, float(np.max(steps)))
    pull = (flat @ optimum.reshape(-1)).reshape(L, k).mean(axis=0)
    target = (axes.T @ pull) / tied
    shared = np.cumprod(np.concatenate([np.ones((1, k)), 1.0 - steps[:, None] * tied]), axis=0)
    left = quadratic.contraction(own, steps)
    losses = []
    for tau in taus:
        x = axes @ (target + shared[tau] * (axes.T @ start - target))
        apart = basis.T @ (np.tile(x, L) - optimum.reshape(-1))
        losses.append(0.5 * float(np.sum(own * (left[tau] * apart) ** 2)))
    return np.array(losses)


def _curvatures(matrix: Array, largest_step: float) -> tuple[Array, Array, float]:
    """Eigenvalues made stable and positive, eigenvectors in columns, share that was changed."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    low, high = FLOOR * float(values[-1]), EDGE / largest_step
    return np.clip(values, low, high), vectors, float(np.mean((values < low) | (values > high)))


def _variances(covariance: Array, directions: Array) -> Array:
    return np.maximum(np.sum(directions * (covariance @ directions), axis=0), 0.0)
