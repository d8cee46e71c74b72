"""All arms over tau, the probes of the run that never shares, and the two placed side by side.

The rule of estimation is that of `theory.toys.predictions`; here is what it needs of each setting.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from evidence.comparison import Interval
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from swe.sharing.statistics import finite_or_none
from theory.models import sign_descent
from theory.models.fit_quadratic import Curvature, Estimate, Noise, general_losses
from theory.numerics.domain import Array
from theory.theorems.alignment import alignment
from theory.toys.probes import (
    Run,
    force_ratios,
    held_losses,
    hessians,
    run,
    sample_gradients,
)
from theory.toys.problems import Problem


def schedule_of(tau: int, steps: int) -> Schedule:
    """The arm that is first unshared at `tau`: 0 is the equal start, `steps` never untied."""
    if tau == 0:
        return EqualStart()
    return AlwaysShared() if tau == steps else SweFixed(until=tau)


def interval(values: Array) -> dict[str, Any]:
    """Mean and 95 % interval over seeds, JSON-able."""
    return asdict(Interval.of([float(v) for v in values]))


def not_worse(losses: Array) -> tuple[int, list[int]]:
    """Index of the least mean (over axis 1, seeds) and all indices that a paired test leaves.

    `losses` (taus, seeds), on a log scale. Left: those whose two-sided 95 % t interval of the
    difference to the best contains 0, and the best. One seed leaves all.
    """
    best = int(np.argmin(losses.mean(axis=1)))
    kept = []
    for index, row in enumerate(losses):
        gap = Interval.of([float(v) for v in row - losses[best]])
        kept += [index] if index == best or gap.low is None or gap.low <= 0.0 else []
    return best, kept


class Measured:
    """All arms of a problem at one schedule of rates: log10 final losses and the kept weights."""

    def __init__(self, problem: Problem, optimiser: str, rates: Array, fractions: Array) -> None:
        T = len(rates)
        self.problem, self.optimiser, self.rates = problem, optimiser, rates
        self.taus = [round(f * T) for f in fractions]
        self.early = max(1, round(0.02 * T))
        keep = (0, self.early, T // 2, T, *self.taus)
        self.runs: list[Run] = [
            run(problem, schedule_of(tau, T), optimiser, rates, keep) for tau in self.taus
        ]
        self.equal = self.runs[0]
        baseline = run(problem, NeverShared(), optimiser, rates)
        self.log_losses = np.log10(np.stack([r.losses for r in self.runs]))
        self.log_baseline = np.log10(baseline.losses)

    def held(self, arm: Run, step: int) -> Array:
        """Held-out losses of a kept state, (n,)."""
        return held_losses(self.problem, self.problem.stack(arm.kept[step]))


class Probed:
    """What the rule may know: probes along the equal-start run of `measured`."""

    def __init__(self, measured: Measured, samples: int, curved: bool) -> None:
        problem, T = measured.problem, len(measured.rates)
        self.gradients = {
            step: sample_gradients(problem, weights, samples)
            for step, weights in measured.equal.kept.items()
        }
        self.steps = (0, T // 2, T)
        self.hessians = (
            [hessians(problem, measured.equal.kept[step]) for step in self.steps] if curved else []
        )

    def estimate(self, network: int, problem: Problem, rates: Array) -> Estimate:
        """The exchangeable quadratic of one network."""
        H = np.mean([h[network] for h in self.hessians], axis=0)
        noises = [Noise.of(self.gradients[step][network]) for step in self.steps]
        noise = Noise(
            np.mean([n.differences for n in noises], axis=0), np.mean([n.mean for n in noises], 0)
        )
        return Estimate.of(
            Curvature.of(H),
            noise,
            problem.optimum[network],
            problem.draws[network],
            float(np.max(rates)),
        )

    def ratio(self, network: int, step: int, rule: sign_descent.Rule) -> tuple[float, float]:
        """`sign_descent.descent_ratio` at a kept step."""
        g = self.gradients[step][network]
        half = len(g) // 2
        first, second = g[:half].mean(axis=0), g[half:].mean(axis=0)
        noise, together = g.std(axis=0, ddof=1), g.mean(axis=1).std(axis=0, ddof=1)
        return sign_descent.descent_ratio(first, second, noise, together, rule)


def _premises(measured: Measured, probed: Probed, networks: range) -> dict[str, Any]:
    """Each assumption of the quadratic as a number that it fixes; over the seeds of one setting."""
    problem, T = measured.problem, len(measured.rates)
    kept = measured.equal.kept
    first, last = probed.hessians[0], probed.hessians[-1]
    tied = measured.runs[-1].kept
    rows: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    ends = {
        step: force_ratios(
            hessian, problem.optimum, kept[step], probed.gradients[step].mean(axis=1)
        )
        for step, hessian in ((0, first), (T, last))
    }
    for i in networks:
        curvature = [Curvature.of(h[i]) for h in probed.hessians]
        add("defect", float(np.mean([c.defect for c in curvature])))
        add("curvature_start_over_end", np.trace(curvature[0].own) / np.trace(curvature[-1].own))
        noise = [np.trace(Noise.of(probed.gradients[s][i]).differences) for s in (0, T)]
        if noise[0] > 0.0:
            add("log10_noise_end_over_start", float(np.log10(noise[1] / noise[0])))
        add("force_cosine_start", ends[0][i, 0])
        add("force_cosine_end", ends[T][i, 0])
        apart = np.linalg.norm(tied[T][i].mean(0) - kept[T][i].mean(0))
        add("mean_paths_apart", float(apart / np.linalg.norm(kept[T][i].mean(0) - kept[0][i][0])))
        add("alignment_start", float(alignment(probed.gradients[0][i].mean(axis=0)[..., None])))
        m = problem.optimum[i].mean(axis=0)
        pull = curvature[0].mean @ (kept[0][i][0] - m)
        differences = (problem.optimum[i] - m) @ curvature[0].own
        common = len(differences) * float(pull @ pull)
        add("alignment_start_predicted", common / (common + float(np.sum(differences**2))))
    return {name: interval(np.array(values)) for name, values in rows.items()}


def place(
    measured: Measured, probed: Probed, networks: range, *, general: bool = False
) -> dict[str, Any]:
    """Predicted beside measured, for the networks (seeds) of one setting; JSON-able."""
    rates, T = measured.rates, len(measured.rates)
    rows = slice(networks.start, networks.stop)
    found = measured.log_losses[:, rows]
    against = found - found[0]
    best, kept = not_worse(found)
    baseline = measured.log_baseline[rows] - found[0]
    rule: sign_descent.Rule = "adam"
    out: dict[str, Any] = {
        "tau": [tau / T for tau in measured.taus],
        "measured": [interval(row) for row in against],
        "baseline": interval(baseline),
        "log10_equal_start": interval(found[0]),
        "best_tau": measured.taus[best] / T,
        "best_tau_set": [measured.taus[k] / T for k in kept],
        "alignment": [
            interval(
                np.array(
                    [
                        float(alignment(probed.gradients[tau][i].mean(axis=0)[..., None]))
                        for i in networks
                    ]
                )
            )
            for tau in measured.taus
        ],
    }
    ratios = np.array([[probed.ratio(i, tau, rule) for i in networks] for tau in measured.taus])
    drop = [
        measured.held(arm, 0)[rows] - measured.held(arm, measured.early)[rows]
        for arm in (measured.runs[-1], measured.runs[0])
    ]
    out["first_steps"] = {"steps": measured.early, "measured": interval(drop[0] / drop[1])}
    moved = np.stack(
        [
            arm.kept[measured.early].mean(axis=1) - arm.kept[0].mean(axis=1)
            for arm in (measured.runs[-1], measured.runs[0])
        ]
    )
    uphill = probed.gradients[0].mean(axis=(1, 2))
    along = np.sum(moved * uphill, axis=-1)[:, rows]
    out["common_speed"] = {"measured": interval(along[0] / along[1]), "predicted": 1.0}
    if measured.optimiser == "adamw":
        out["ratio"] = [interval(row) for row in ratios[:, :, 0]]
        out["common_gain"] = [interval(row) for row in ratios[:, :, 1]]
        mean = ratios[:, :, 0].mean(axis=1)
        ends = np.flatnonzero(mean <= 1.0)
        predicted_best = measured.taus[int(ends[0])] if ends.size else T
        out["first_steps"]["predicted"] = float(mean[0])
        out["common_speed"]["predicted"] = out["common_gain"][0]["mean"]
    else:
        estimates = [probed.estimate(i, measured.problem, rates) for i in networks]
        curves = np.log10([e.loss_by_tau(rates) for e in estimates])
        unshared = np.log10([e.loss_unshared(rates) for e in estimates])
        at = curves[:, measured.taus].T
        predicted_best = int(np.argmin((curves - curves[:, :1]).mean(axis=0)))
        out |= {
            "predicted": (at - at[0]).mean(axis=1).tolist(),
            "gap": [interval(row) for row in against - (at - at[0])],
            "predicted_baseline": float((unshared - at[0]).mean()),
            "noise_over_bias": finite_or_none(
                float(np.median([e.noise_over_bias(rates[0]) for e in estimates]))
            ),
            "cut": float(np.mean([e.cut for e in estimates])),
            "premises": _premises(measured, probed, networks),
        }
        out["first_steps"]["predicted"] = out["alignment"][0]["mean"]
        if general:
            logs = np.log10(
                [
                    general_losses(
                        np.mean([h[i] for h in probed.hessians], axis=0),
                        measured.problem.optimum[i],
                        measured.equal.kept[0][i][0],
                        rates,
                        measured.taus,
                    )
                    for i in networks
                ]
            ).T
            out["general"] = (logs - logs[0]).mean(axis=1).tolist()
            out["general_best_tau"] = measured.taus[int(np.argmin(logs.mean(axis=1)))] / T
    out["predicted_best_tau"] = predicted_best / T
    near = min(range(len(measured.taus)), key=lambda j: abs(measured.taus[j] - predicted_best))
    judged = max(1, near)
    out |= {
        "best_tau_inside": near in kept,
        "judged_tau": measured.taus[judged] / T,
        "gain_over_equal_start": interval(-against[judged]),
        "gain_over_baseline": interval(baseline - against[judged]),
    }
    if "predicted" in out:
        out["predicted_gain_over_equal_start"] = -out["predicted"][judged]
        out["predicted_gain_over_baseline"] = out["predicted_baseline"] - out["predicted"][judged]
    return out
