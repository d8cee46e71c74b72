r"""Best tau and gain of the toys: predicted without a run that shares, then measured.

The rule, written before any shared run of these seeds was looked at:

1. Rate: the equal start's own best (mean final log loss over all networks) of a small grid; with it
   every arm is run, so that tau alone varies.
2. Probes of the equal-start run at 0, T/2 and T: Gauss-Newton curvature on held-out data and
   gradient samples. The quadratic has one curvature and one noise: the mean over the probes.
3. Optimum, m and delta_l: the teacher's. Starts: as drawn. `theory.models.fit_quadratic` makes of
   these the exchangeable quadratic; `theory.models.quadratic` gives loss(tau), its best tau, and
   the baseline.
4. AdamW: at every tau of the grid the descent of a tied over an untied step is predicted from
   gradients and noises sampled on the equal-start run
   (`theory.models.sign_descent.descent_ratio`); the best tau is the first at which it is not above
   1. This looks one step ahead: it assumes exchangeable layers and one rate for both arms, and
   without noise always says 0, rightly or not (`theory.theorems.one_step`).
5. The arm that is judged against baseline and equal start is the one of the predicted best tau > 0.

Measured: differences of log10 final loss within a seed; the best tau, and every tau whose paired
95 % interval against it contains 0. Disclosed: the verdicts of `theory.toys.teacher_student` on
other seeds were known when the rule was written; it has no constant that could be fitted to them.
Added later: the assumption of rule 4, which leaves the rule as it was.
Changed after a look at first runs, none of it in rules 2 to 5: the problem drawn together had noise
and a larger `NEAR`, which left it neither quadratic nor free of noise; the ratio of curvatures was
turned over, because at the identity the differences of a deep linear net have none; the grid of
SGD's rates was widened to bracket the best, and 6 seeds became 5 for time; what counts as agreement
in TOY-PREMISE (`theory.claims.toy_predictions.AGREES`) was set, and settings that decide nothing
were left out of TOY-TAU, when the curves were known.

Where the rule fails, `premises` says which of the quadratic's assumptions does not hold, and two
further predictions take them away one by one: the same curvature without exchangeability
(`fit_quadratic.general_losses`), and the same problem drawn together about the teacher's mean
(`TeacherStudent.near`), where a smooth loss is its quadratic part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from swe.sharing.schedule import EqualStart
from swe.sharing.seeds import derive_seed
from theory.models import quadratic
from theory.toys import deep_linear as toy_deep_linear
from theory.toys import teacher_student as toy_teacher_student
from theory.toys.carried import toy_table
from theory.toys.placed import Measured, Probed, place
from theory.toys.probes import hessians, run
from theory.toys.problems import CoreQuadratic, DeepLinear, Problem, TeacherStudent

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
RATES = {"sgd": (0.2, 0.3, 0.4, 0.5), "adamw": (0.03, 0.06, 0.1)}
"""The equal start's best rate lies inside, and is inside on wider grids
(`benchmarks.toy_sensitivity`)."""
NEAR, NEAR_SHARE = 0.01, 1.5
"""Scale of the problem drawn together, and its step times its largest curvature at the start."""
SCALES = {
    "smoke": (40, 60, 2, 8, 24),
    "small": (300, 2000, 5, 32, 96),
    "full": (1000, 10000, 20, 128, 192),
}
"""Updates of students and of deep linear nets, seeds, gradient samples, Jacobian inputs."""


def best_rate(problem: Problem, grid: tuple[float, ...], steps: int, optimiser: str) -> float:
    """The equal start's rate of least mean log loss, linear decay; nothing else is run."""
    means = []
    for rate in grid:
        losses = run(problem, EqualStart(), optimiser, quadratic.linear_steps(rate, steps)).losses
        means.append(np.log10(losses).mean())
    return grid[int(np.nanargmin(means))]


def students(seed: int, steps: int, seeds: int, samples: int, inputs: int) -> list[dict[str, Any]]:
    """Teacher and student: SGD, SGD near the teacher's mean, AdamW; every deviation."""
    fresh = derive_seed("toy predictions", seed) % 2**31
    teachers, starts = toy_teacher_student.networks(fresh, seeds)
    flat = (len(teachers), toy_teacher_student.DEPTH, -1)
    far = TeacherStudent(
        optimum=teachers.reshape(flat),
        draws=starts.reshape(flat),
        width=toy_teacher_student.WIDTH,
        data=fresh,
        samples=inputs,
    )
    out = []
    rates = {name: best_rate(far, grid, steps, name) for name, grid in RATES.items()}
    near = far.near(NEAR)
    largest = max(
        float(np.linalg.eigvalsh(h.reshape(flat[1] * h.shape[1], -1))[-1])
        for h in hessians(near, near.draws[:, :1].repeat(flat[1], axis=1))
    )
    for toy, problem, optimiser, rate in (
        ("students", far, "sgd", rates["sgd"]),
        ("students near", near, "sgd", NEAR_SHARE / largest),
        ("students", far, "adamw", rates["adamw"]),
    ):
        path = quadratic.linear_steps(rate, steps)
        measured = Measured(problem, optimiser, path, np.array(FRACTIONS))
        probed = Probed(measured, samples, curved=optimiser == "sgd")
        for index, eps in enumerate(toy_teacher_student.DEVIATIONS):
            networks = range(index * seeds, (index + 1) * seeds)
            setting: dict[str, Any] = {"toy": toy, "optimiser": optimiser, "eps": eps, "rate": rate}
            setting |= place(measured, probed, networks, general=optimiser == "sgd")
            if toy == "students" and eps in (0.0, 1.0):
                part = replace(
                    problem, optimum=problem.optimum[networks], draws=problem.draws[networks]
                )
                best = [round(tau * steps) for tau in setting["best_tau_set"]]
                setting["carried"] = toy_table(
                    part, optimiser, path, best, max(1, steps // 15), measured.early
                )
            out.append(setting)
    return out


def deep_linear(seed: int, steps: int, seeds: int) -> list[dict[str, Any]]:
    """Deep linear nets from the identity: full gradient, constant steps; every deviation."""
    depth, size, deviations = 6, 4, (0.0, 0.1, 0.3)
    fresh = derive_seed("toy predictions", "deep linear", seed) % 2**31
    modules = toy_deep_linear.distinct_targets(fresh, seeds, depth, size, deviations)
    problem = DeepLinear(
        optimum=modules.reshape(len(modules), depth, -1),
        draws=np.tile(np.eye(size).reshape(-1), (len(modules), depth, 1)),
        width=size,
    )
    step_size = toy_deep_linear.stable_step(toy_deep_linear.product(modules), depth)
    measured = Measured(problem, "sgd", np.full(steps, step_size), np.array(FRACTIONS))
    probed = Probed(measured, 2, curved=True)
    return [
        {"toy": "deep linear", "optimiser": "sgd", "eps": eps, "rate": step_size}
        | place(measured, probed, range(i * seeds, (i + 1) * seeds), general=True)
        for i, eps in enumerate(deviations)
    ]


def control(seed: int, steps: int, seeds: int, samples: int) -> dict[str, Any]:
    """A true exchangeable quadratic through the same core, probes and rule: it must come out."""
    rng = np.random.default_rng(derive_seed("toy predictions", "control", seed))
    depth, rate = 6, 0.3
    own = np.geomspace(3.0, 0.3, 6) / (rate * steps / 2) * 4.0
    delta = rng.normal(size=(seeds, depth, own.size))
    delta -= delta.mean(axis=1, keepdims=True)
    draws = rng.normal(size=delta.shape)
    problem = CoreQuadratic(
        optimum=delta, draws=draws, own=own, common=own / 2.0, noise=1.0, data=seed
    )
    measured = Measured(problem, "sgd", quadratic.linear_steps(rate, steps), np.array(FRACTIONS))
    probed = Probed(measured, samples, curved=True)
    return {"toy": "quadratic", "optimiser": "sgd", "eps": 1.0, "rate": rate} | place(
        measured, probed, range(seeds)
    )


def study(seed: int, scale: str) -> dict[str, Any]:
    """All toys; JSON-able. "small" takes under a minute on one core."""
    steps, linear_steps, seeds, samples, inputs = SCALES[scale]
    settings = [
        control(seed, steps, 4 * seeds, samples),
        *deep_linear(seed, linear_steps, seeds),
        *students(seed, steps, seeds, samples, inputs),
    ]
    return {
        "steps": steps,
        "linear_steps": linear_steps,
        "seeds": seeds,
        "samples": samples,
        "near": NEAR,
        "settings": settings,
    }
