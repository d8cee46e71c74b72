r"""Predictions carried from the toys to any stack: from logged probes to a table of verdicts.

No torch and no model: the input is what the training core logs, rows with

    step, gradient_norms (L), correlations (L - 1), alignment,   of one probe batch,
    weights: {common, deviation, dispersion},

L the repeats of the sharing unit. One probe batch cannot tell a gradient's signal from its noise,
nor noise from a difference between layers; three rows of one step can: two independent batches and
both together (`Split`). With g_l = signal + noise, the parallelogram rule gives, without bias,

    noise energy of one batch  E|n|^2 = |g|^2_1 + |g|^2_2 - 2 |g|^2_both,

for every layer and, by the alignment A = |sum g|^2 / (L sum |g|^2), for the sum of the layers.

Predictions and their sources: under plain descent the tied step descends A times the untied one
(`theory.theorems.alignment`); under Adam S_tied / S_untied with S = G^2 / sqrt(G^2 + N^2) of the
energies of signal and noise (`theory.models.sign_descent`, rule "adam", one ratio for all
coordinates of a layer); exchangeable layers have one correlation, adjacent or not, (A L - 1) / (L
- 1); the common component moves the same with and without sharing under plain descent, and layers
that are tied, or start equal, have no dispersion (`theory.models.quadratic`). Best tau: the first
probe at which the descent ratio is not above 1. That rule looks ONE STEP AHEAD, and is right about
the end of a run only where one step decides: exchangeable layers, one rate for both arms. Without
noise it always says 0; layers of different curvature may gain by tying all the same
(`theory.theorems.one_step`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from theory.models.sign_descent import Rule
from theory.numerics.domain import Array

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of the table; `predicted` and `measured` are numbers or None (not to be had)."""

    quantity: str
    predicted: float | None
    measured: float | None
    verdict: str


def energies(row: Row) -> tuple[Array, float]:
    """Squared norms of the layers' gradients, (L,), and of their sum, from one row.

    ValueError for a row without finite norms and alignment (a probe with zero gradients).
    """
    norms, share = row.get("gradient_norms"), row.get("alignment")
    if not norms or share is None or any(n is None for n in norms):
        raise ValueError(f"probe at step {row.get('step')}: has no finite norms and alignment")
    squares = np.array(norms, dtype=np.float64) ** 2
    return squares, float(share) * len(norms) * float(squares.sum())


@dataclass(frozen=True)
class Split:
    """Signal and noise energies of one batch: of each layer, (L,), and of the layers' mean.

    An energy that comes out negative, by the estimate's own scatter, is set to 0.
    """

    step: int
    signal: Array
    noise: Array
    mean_signal: float
    mean_noise: float

    @classmethod
    def of(cls, first: Row, second: Row, both: Row) -> "Split":
        """From probes on two independent batches of one size, and on the two as one batch."""
        (one, sum_one), (two, sum_two), (joint, sum_joint) = map(energies, (first, second, both))
        L = one.size
        noise = np.maximum(one + two - 2.0 * joint, 0.0)
        mean_noise = max(sum_one + sum_two - 2.0 * sum_joint, 0.0) / L**2
        signal = np.maximum(joint - noise / 2.0, 0.0)
        mean_signal = max(sum_joint / L**2 - mean_noise / 2.0, 0.0)
        return cls(int(both["step"]), signal, noise, mean_signal, mean_noise)

    @property
    def heard(self) -> bool:
        """Whether the estimate leaves any layer a signal: where noise is all, it may come out 0."""
        return float(self.signal.sum()) > 0.0

    @property
    def signal_to_noise(self) -> Array:
        """Root of signal over noise energy of every layer, (L,); infinite without noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(np.where(self.noise > 0, self.signal / self.noise, np.inf)))

    @property
    def noise_correlation(self) -> float:
        """Correlation c of the layers' noises, N_mean = N (1 + (L - 1) c) / L; 0 for one layer."""
        L, N = self.noise.size, float(self.noise.mean())
        return (self.mean_noise * L / N - 1.0) / (L - 1.0) if L > 1 and N > 0.0 else 0.0

    def descent_ratio(self, rule: Rule | None) -> float:
        """Predicted descent of a tied over an untied step; `rule` None: plain descent.

        "adam" or "sign": layers as isotropic vectors, u = G / sqrt(G^2 + N^2) for both; it agrees
        with erf to 12 %. ValueError when there is no signal.
        """
        L = self.noise.size

        def descent(signal: Array, noise: Array) -> Array:
            if rule is None:
                return signal
            total = np.sqrt(signal + noise)
            return np.asarray(np.where(total > 0, signal / np.where(total > 0, total, 1.0), 0.0))

        untied = float(descent(self.signal, self.noise).sum())
        if untied <= 0.0:
            raise ValueError(f"split at step {self.step}: no gradient signal is left")
        tied = L * descent(np.array(self.mean_signal), np.array(self.mean_noise))
        return float(tied) / untied


def exchangeable_correlation(row: Row) -> float:
    """(A L - 1) / (L - 1): the correlation that all pairs of exchangeable layers have."""
    L = len(row["gradient_norms"])
    return float((row["alignment"] * L - 1.0) / (L - 1.0))


def best_tau(splits: Sequence[Split], steps: int, rule: Rule | None) -> int:
    """First probed step whose descent ratio is not above 1; `steps` when there is none. Steps at
    which no signal is heard tell nothing.

    One step ahead: it assumes exchangeable layers and one rate for both arms, and says 0 whenever
    there is no noise, which is wrong for layers of unlike curvature (`theory.theorems.one_step`).
    """
    for split in sorted(splits, key=lambda s: s.step):
        # Above 1 only beyond the rounding of an alignment of 1.
        if split.heard and split.descent_ratio(rule) <= 1.0 + 1e-12:
            return split.step
    return steps


def table(
    *,
    steps: int,
    unshared: Sequence[Row],
    shared: Sequence[Row],
    splits: Sequence[Split],
    rule: Rule | None,
    best_taus: Sequence[int] = (),
    first_descent: float | None = None,
    tolerance: float = 0.1,
) -> list[dict[str, Any]]:
    """Quantity, predicted, measured, verdict; JSON-able.

    `unshared`, `shared`: probe rows of an equal start that is never tied and of a run that is tied
    throughout, both of `steps` updates. `splits`: along the former. `best_taus`: steps that were
    not worse than the best one measured; `first_descent`: the loss that the tied run lost in its
    first updates over what the untied one lost. "holds" means within `tolerance`, absolute for
    shares and correlations, relative for ratios. The default is a convention: the toys' own
    predictions that hold do so within it.
    """
    entries: list[Entry] = []

    def judge(quantity: str, predicted: float | None, measured: float | None, room: float) -> None:
        if predicted is None or measured is None:
            verdict = "not measured"
        else:
            verdict = "holds" if abs(measured - predicted) <= room else "differs"
        entries.append(Entry(quantity, predicted, measured, verdict))

    for name, rows in (("never tied", unshared), ("tied", shared)):
        usable = [r for r in rows if r["alignment"] is not None]
        cosines = [c for r in usable for c in r["correlations"] if c is not None]
        judge(
            f"adjacent correlation, mean over the run, {name}",
            float(np.mean([exchangeable_correlation(r) for r in usable])) if usable else None,
            float(np.mean(cosines)) if cosines else None,
            tolerance,
        )
    if shared:
        judge(
            "dispersion of the layers while tied",
            0.0,
            max(float(r["weights"]["dispersion"]) for r in shared),
            0.0,
        )
    at_end = {r["step"]: r["weights"]["common"] for r in unshared}  # of plain descent only
    common = [(r["weights"]["common"], at_end[r["step"]]) for r in shared if r["step"] in at_end]
    judge(
        "common energy, tied over never tied, last probe",
        1.0 if rule is None else None,
        float(common[-1][0] / common[-1][1]) if common else None,
        tolerance,
    )
    first = min(splits, key=lambda s: s.step) if splits else None
    ratio = first.descent_ratio(rule) if first is not None and first.heard else None
    judge(
        "descent in the first updates, tied over untied",
        ratio,
        first_descent,
        tolerance * (ratio or 0.0),
    )
    tau = best_tau(splits, steps, rule) if any(split.heard for split in splits) else None
    nearest = min(best_taus, key=lambda t: abs(t - (tau or 0))) if best_taus else None
    judge(
        "best tau / T",
        None if tau is None else tau / steps,
        None if nearest is None else nearest / steps,
        tolerance,
    )
    return [asdict(entry) for entry in entries]
