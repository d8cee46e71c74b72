"""Ledger records of the exchangeable quadratic: QUAD-MEAN, QUAD-WIN, QUAD-TAU.

Statements and proofs are in `theory.models.quadratic`; here they are confronted with simulations
that know gradients only, and with exhaustive search. The formula under test is an argument, so
that a wrong one can be shown to fail.
"""

from collections.abc import Callable
from itertools import product

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.models import quadratic
from theory.models.quadratic import Quadratic
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale
from theory.numerics.scores import chance_of_largest, typical_largest
from theory.studies import quadratic as quadratic_study

SCORES = 4.5
"""Largest |z| allowed among at most a hundred: by chance in one of 1500 runs."""


REPEATS = 4
"""Simulations of the mean with draws of their own, beside the first."""


def among(largest: float, count: int) -> str:
    """The largest of `count` |z|, beside what it typically is and how often it is as large."""
    return (
        f"the largest of {count} |z| is {largest:.2f}, by chance typically "
        f"{typical_largest(count):.2f} and this large in {chance_of_largest(largest, count):.2g} "
        "of all runs"
    )


def random_problem(rng: np.random.Generator, directions: int = 1) -> Quadratic:
    """Depth 2 to 24; curvatures, bias, noise and dispersion log-uniform over decades."""
    draw = np.exp(rng.uniform(np.log(1e-2), np.log(1e2), (3, directions)))
    return Quadratic(
        depth=int(rng.integers(2, 25)),
        own=np.exp(rng.uniform(np.log(0.01), np.log(1.0), directions)),
        common=rng.uniform(0.0, 0.9, directions),
        bias=draw[0],
        noise=draw[1] / 10.0,
        dispersion=draw[2] / 100.0 * rng.integers(0, 2),
        start=1.0,
    )


def _schedule(rng: np.random.Generator) -> Array:
    """Constant, linearly decaying or random non-increasing steps, all stable for own <= 1."""
    T, eta = int(rng.integers(5, 80)), float(rng.uniform(0.05, 0.95))
    kind = int(rng.integers(3))
    if kind == 0:
        return quadratic.constant_steps(eta, T)
    if kind == 1:
        return quadratic.linear_steps(eta, T)
    return np.asarray(eta * np.sort(rng.uniform(size=T))[::-1])


def check_mean(
    seed: int, scale: str, formula: Callable[[Quadratic, Array], Array] = quadratic.mean_square
) -> Finding:
    """Arms on one noise have one mean; its second moment is the closed form."""
    size = check_scale(scale)
    gap = quadratic_study.mean_gap(seed)
    rng = np.random.default_rng([seed, 40])
    replicas = [40_000, 40_000, 200_000][size]
    steps = quadratic.linear_steps(quadratic_study.ETA, 40)
    problem = quadratic_study.single(4.0, 40)
    closed = float(formula(problem, steps)[0])
    # A first z of 3.31 asks for others: the same simulation again, with draws of its own.
    z = []
    for draws in (rng, *np.random.default_rng([seed, 43]).spawn(REPEATS)):
        squares = quadratic_study.simulate(problem, steps, [20], replicas, draws).means[-1, :, 0]
        squares = squares**2
        error = float(squares.std(ddof=1)) / replicas**0.5
        z.append((float(squares.mean()) - closed) / error)
    largest = float(np.max(np.abs(z)))
    plain = float(problem.start[0])
    for eta in steps:
        kept = 1.0 - eta * float(problem.own[0] + problem.common[0])
        plain = kept**2 * plain + eta**2 * float(problem.noise[0]) / problem.depth
    exact = abs(closed / plain - 1.0)
    tolerance = 1e-12  # 200 steps of rounding, contracting
    return Finding(
        Verdict.whether(max(gap, exact) < tolerance and largest < SCORES),
        f"10 arms (shared for 0 to 200 of 200 steps, and no sharing), one noise: means of the "
        f"modules differ by {gap:.1e} of their size (tolerance {tolerance:.0e}); E xbar^2 at the "
        f"end, {replicas} replicas, against the closed form: z = {z[0]:.2f}, and with fresh draws "
        f"{', '.join(format(value, '.2f') for value in z[1:])}: {among(largest, len(z))}, of a "
        "ledger that looks at dozens of such scores; closed form "
        f"against the recursion step by step: {exact:.1e} relative",
        Rigour.PROVED,
        "proof in theory.models.quadratic (the mean's equation does not contain the differences); "
        "simulation",
    )


def check_win(
    seed: int,
    scale: str,
    formula: Callable[[Quadratic, float], Array] = quadratic.first_step_margin,
) -> Finding:
    """Sign of the margin against exhaustive search over tau, and against the equal start."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 41])
    count = [300, 3000, 30_000][size]
    wrong = wins = equal_wrong = equal_wins = decided = 0
    for _ in range(count):
        problem, steps = random_problem(rng), _schedule(rng)
        margin = float(formula(problem, float(steps[0]))[0])
        # The gain contracted to T can round to 0 beside the losses; at tau nothing is lost.
        gap = (quadratic.unshared_differences(problem, steps) - problem.bias)[1:, 0]
        size_of_terms = float(problem.start_error[0] + steps[0] ** 2 * problem.noise_rate[0])
        if abs(margin) > 1e-12 * size_of_terms:  # else the sign is rounding
            decided += 1
            wins += bool(np.max(gap) > 0.0)
            wrong += (margin > 0.0) != bool(np.max(gap) > 0.0)
        equal = quadratic.shared_differences(problem, steps)[:, 0]
        better = bool(np.min(equal[1:]) < equal[0] * (1.0 - 1e-12))
        predicted = float(steps[0]) > float(quadratic.critical_step(problem)[0])
        forgotten = float(quadratic.contraction(problem.own, steps)[0, 0] ** 2) < 1e-9
        if not forgotten:
            equal_wins += better
            equal_wrong += better != predicted
    flip = _margin_edge(rng, formula)
    corners, corner_wrong = _corners(formula)
    return Finding(
        Verdict.whether(wrong == equal_wrong == corner_wrong == 0 and flip < 1e-9),
        f"{decided} random problems (L 2 to 24; constant, linear, random non-increasing steps): "
        f"some tau >= 1 beats independent starts in {wins}, the first-step margin is positive in "
        f"exactly these ({wrong} exceptions); sharing beats the equal start in {equal_wins}, the "
        f"peak step exceeds eta* in exactly these ({equal_wrong} exceptions). So in {corners} "
        f"cases without bias, noise or dispersion, in all combinations ({corner_wrong} exceptions: "
        "with neither bias nor noise all tau from an equal start end alike); on the edge the "
        f"margin is right to {flip:.1e} relative",
        Rigour.PROVED,
        f"proof in theory.models.quadratic; {count} random cases by exhaustive search over tau",
    )


def _corners(formula: Callable[[Quadratic, float], Array]) -> tuple[int, int]:
    """Cases with bias, noise and dispersion each 0 or not, and in how many a sign is wrong."""
    cases = wrong = 0
    for schedule in (quadratic.constant_steps, quadratic.linear_steps):
        for eta, depth, *sizes in product((0.2, 0.9), (1, 2, 8), (0, 1), (0, 1), (0, 1)):
            if depth == 1 and sizes[0]:
                continue
            problem = Quadratic(
                depth=depth, own=0.7, bias=sizes[0], noise=sizes[1], dispersion=sizes[2]
            )
            steps = schedule(eta, 7)
            gap = (quadratic.unshared_differences(problem, steps) - problem.bias)[1:, 0]
            equal = quadratic.shared_differences(problem, steps)[:, 0]
            better = bool(np.min(equal[1:]) < equal[0] * (1.0 - 1e-12))
            cases += 1
            wrong += (float(formula(problem, eta)[0]) > 0.0) != bool(np.max(gap) > 0.0)
            wrong += better != (eta > float(quadratic.critical_step(problem)[0]))
    return cases, wrong


def _margin_edge(rng: np.random.Generator, formula: Callable[[Quadratic, float], Array]) -> float:
    """How far, relatively, the formula is from the gap after one step of the recursion."""
    worst = 0.0
    for _ in range(50):
        problem, steps = random_problem(rng), _schedule(rng)
        gap = quadratic.unshared_differences(problem, steps[:1])[1, 0]
        margin = float(formula(problem, float(steps[0]))[0])
        worst = max(worst, abs(margin + float(problem.bias[0]) - gap) / gap)
    return worst


def check_tau(
    seed: int, scale: str, formula: Callable[[Quadratic], Array] = quadratic.critical_step
) -> Finding:
    """Best tau by the rule against exhaustive search, and loss(tau) against simulation."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 42])
    count = [200, 2000, 20_000][size]
    worst = 0.0
    inner = 0
    for _ in range(count):
        problem, steps = random_problem(rng), _schedule(rng)
        losses = quadratic.shared_differences(problem, steps)[:, 0]
        tau = int(np.count_nonzero(steps > float(formula(problem)[0])))
        inner += 0 < tau < steps.size
        worst = max(worst, float(losses[tau] / losses.min()) - 1.0)
    T = [60, 300, 1000][size]
    replicas = [500, 1000, 10_000][size]
    steps = quadratic.linear_steps(quadratic_study.ETA, T)
    points = 11
    scores: list[float] = []
    apart = 0.0
    best = []
    for problem in (quadratic_study.single(8.0, T), quadratic_study.spectrum(T)):
        curve = quadratic_study.tau_curve(problem, steps, points, replicas, rng)
        scores += curve["z"]
        apart = max(apart, abs(curve["simulated_best_tau"] - curve["best_tau"]))
        best.append(f"{curve['best_tau']:.3f} T (simulated {curve['simulated_best_tau']:.3f} T)")
    largest = float(np.max(np.abs(scores)))
    spacing = 1.0 / (points - 1)
    holds = worst < 1e-12 and largest < SCORES and apart <= spacing
    return Finding(
        Verdict.whether(holds),
        f"{count} random problems, {inner} with the best tau inside: the loss at the rule's tau "
        f"exceeds the least over all tau by {worst:.1e} relative at most; loss(tau) of one and of "
        f"five directions against simulation ({replicas} replicas): "
        f"{among(largest, len(scores))}; best tau {' and '.join(best)}, on a grid of {spacing:g} T",
        Rigour.PROVED,
        f"proof in theory.models.quadratic (one direction); {count} random cases by exhaustive "
        "search; simulation",
    )


CLAIMS = (
    Claim(
        "QUAD-MEAN",
        "Exchangeable quadratic, SGD: the modules' mean moves the same with and without sharing",
        "ours (theory.models.quadratic)",
        "quadratic",
        "docs/theory.md#8-the-exchangeable-quadratic",
        check_mean,
    ),
    Claim(
        "QUAD-WIN",
        "Exchangeable quadratic, one direction, non-increasing steps, none after the first exactly "
        "1 / a: some tau >= 1 beats no sharing iff "
        "(1 - eta a)^2 (L-1) s0^2 + eta^2 (a^2 |delta|^2 + (L-1) sigma^2) > 2 eta a |delta|^2 at "
        "the first step; it beats the equal start iff eta (a^2 |delta|^2 + (L-1) sigma^2) > "
        "2 a |delta|^2: above eta* = 2 a |delta|^2 / (a^2 |delta|^2 + (L-1) sigma^2), and never "
        "with neither bias nor noise, where every tau ends alike",
        "ours (theory.models.quadratic)",
        "quadratic",
        "docs/theory.md#8-the-exchangeable-quadratic",
        check_win,
    ),
    Claim(
        "QUAD-TAU",
        "Exchangeable quadratic, one direction, non-increasing steps: the best tau is the first "
        "step with eta_t <= eta*; under linear decay tau / T = 1 - eta* / eta, with constant steps "
        "0 or T",
        "ours (theory.models.quadratic)",
        "quadratic",
        "docs/theory.md#8-the-exchangeable-quadratic",
        check_tau,
    ),
)
