"""The staircase in numbers: ratios of times, hops, noisy steps, best tau, and random starts.

Statements and proofs are in `theory.models.staircase`, `staircase_swe` and `staircase_steps`; what
is computed here are their exact curves, and runs with real noise beside them.
"""

from typing import Any

import numpy as np

from theory.models import staircase, staircase_steps, staircase_swe
from theory.models.sign_descent import Rule
from theory.models.staircase_swe import Staircase
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

SHARES = (0.5, 0.1, 1e-2, 1e-4)
"""Of the first loss: where times are compared."""

SHARE = 0.1
"""Where gains under noise are compared."""

STARTS = (0.03, 0.1, 0.3)


def flow_rows(skills: list[int]) -> list[dict[str, Any]]:
    """Ratios of times (untied over tied) to `SHARES`, and hops, for each K and start."""
    rows = []
    for K in skills:
        for start in STARTS:
            stairs = Staircase(K, start)
            own, tied = stairs.hops(start), stairs.hops(1.0)
            log = -2.0 * float(np.log(start))
            first = staircase.untied_hop(np.full(K, start), K)
            rows.append({
                "skills": K,
                "start": start,
                "ratio": [stairs.time_to(e, start) / stairs.time_to(e, 1.0) for e in SHARES],
                "first_hop": tied[0] / own[0],
                "last_hop": own[-1] / tied[-1],
                "last_hop_first_order": first
                / (K * K / 4 * (log + staircase.tied_constant(0.5 ** (1 / K), K))),
            })  # fmt: skip
    return rows


def small_starts(skills: int, share: float) -> list[dict[str, float]]:
    """The ratio as w_0 -> 0 beside its limit, and the gap of the last hop's first order."""
    rows = []
    for start in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8):
        stairs = Staircase(skills, start)
        own = stairs.hops(start)[-1]
        first = staircase.untied_hop(np.full(skills, start), skills)
        rows.append({
            "start": start,
            "log": -2.0 * float(np.log(start)),
            "ratio": stairs.time_to(share, start) / stairs.time_to(share, 1.0),
            "limit": staircase.limiting_ratio(skills, share),
            "hop_gap": abs(own - first) * 4.0 / skills,
        })  # fmt: skip
    return rows


def curves(skills: int, start: float, points: int) -> dict[str, Any]:
    """Loss over its start against time: untied, tied, SWE let go at half its way and at its best.

    The budget of the best is 1.01 times the critical one.
    """
    stairs = Staircase(skills, start)
    own = stairs.hops(start)
    times = np.linspace(0.0, 1.25 * own[-1], points)
    budget = 1.01 * stairs.critical_budget()
    fraction, weight, _ = stairs.best_untie(budget)
    floor = 1e-6 * stairs.first_loss
    arms = {}
    for name, untie in (
        ("untied", start),
        ("half way", float(start**0.5)),
        ("best", weight),
        ("tied", 1.0),
    ):
        loss = np.array([max(stairs.final_loss(float(t), untie), floor) for t in times])
        untied_at = 0.0 if untie >= 1.0 else float(stairs.tied_time(untie**2))
        arms[name] = {
            "loss": (loss / stairs.first_loss).tolist(),
            "hops": stairs.hops(untie),
            "tau": untied_at,
        }
    return {
        "skills": skills,
        "start": start,
        "times": times.tolist(),
        "budget": budget,
        "best_fraction": fraction,
        "arms": arms,
    }


def noise_rows(skills: list[int], start: float, waits: Array) -> list[dict[str, Any]]:
    """Gains by expected sign steps along a grid of waits, the flow's, the full-noise limit."""
    rows = []
    for K in skills:
        stairs = Staircase(K, start)
        flow = stairs.time_to(SHARE, start) / stairs.time_to(SHARE, 1.0)
        gains = [
            staircase_steps.gain(
                start, K, staircase_steps.noise_of_wait(float(wait), start, K), SHARE
            )
            for wait in waits
        ]
        best = int(np.argmax(gains))
        rows.append({
            "skills": K,
            "start": start,
            "wait": waits.tolist(),
            "gain": gains,
            "flow": flow,
            "full_noise": K**0.5 * flow,
            "best": gains[best],
            "best_wait": float(waits[best]),
            "front": staircase_steps.best_front(K)[1],
        })  # fmt: skip
    return rows


def mean_steps(
    rng: np.random.Generator,
    starts: Array,
    update: staircase_steps.Update,
    noise: float,
    rate: float,
    guess: float,
) -> dict[str, Any]:
    """Steps to `SHARE` of the first loss, untied and tied, and their ratio, with standard errors.

    `guess`: the untied eta * steps expected; runs end at six times this. ValueError if one does
    not arrive.
    """
    level = SHARE * float(staircase.loss(starts).mean())
    out: dict[str, Any] = {"update": update, "rate": rate, "noise": noise, "n": len(starts)}
    relative = []
    for name, tied in (("untied", False), ("tied", True)):
        limit = int(6.0 * guess / rate) + 500
        steps = staircase_steps.simulate(
            rng,
            starts,
            update=update,
            rate=rate,
            noise=noise,
            level=level,
            steps=limit,
            untie=limit if tied else 0,
        )
        if not np.all(np.isfinite(steps)):
            raise ValueError(f"{update}, noise {noise:g}: {name} did not arrive in {limit} steps")
        out[name] = float(steps.mean())
        out[f"{name}_error"] = float(steps.std(ddof=1) / len(steps) ** 0.5)
        relative.append(out[f"{name}_error"] / out[name])
    out["gain"] = out["untied"] / out["tied"]
    out["gain_error"] = out["gain"] * float(np.hypot(*relative))
    return out


def simulated(
    rng: np.random.Generator, skills: int, start: float, replicas: int
) -> list[dict[str, Any]]:
    """Runs with real noise: sign steps and AdamW at two noises, SGD at two, beside the model."""
    starts = np.full((replicas, skills), start)
    stairs = Staircase(skills, start)
    rows = []
    kinds: tuple[tuple[staircase_steps.Update, Rule, float], ...] = (
        ("sign", "sign", 0.003),
        ("adamw", "adam", 0.003),
    )
    for update, rule, rate in kinds:
        for ratio in (0.1, 1.0):
            noise = 2.0 * ratio / skills
            level = SHARE * stairs.first_loss
            expected = float(
                staircase_steps.untied_steps(np.full(skills, start), [level], noise, rule)[0]
            )
            row = mean_steps(rng, starts, update, noise, rate, expected)
            row["expected"] = staircase_steps.gain(start, skills, noise, SHARE, rule)
            rows.append(row | {"skills": skills, "start": start})
    quiet = mean_steps(rng, starts[:2], "adamw", 0.0, 0.003, 1.0)
    rows.append(quiet | {"skills": skills, "start": start, "expected": None})
    for noise in (0.02, 0.05):
        raised = staircase_steps.effective_start(start, skills, 0.05, noise)
        flow = Staircase(skills, raised)
        own = flow.time_to(SHARE, raised)
        row = mean_steps(rng, starts, "sgd", noise, 0.05, own)
        row["expected"] = own / flow.time_to(SHARE, 1.0)
        rows.append(row | {"skills": skills, "start": start})
    return rows


def tau_rows(skills: int, start: float, factors: list[float]) -> dict[str, Any]:
    """The critical budget, and the best tau and what it gains at multiples of it."""
    stairs = Staircase(skills, start)
    critical = stairs.critical_budget()
    rows = []
    for factor in factors:
        fraction, weight, loss = stairs.best_untie(factor * critical)
        rows.append({
            "budget": factor,
            "fraction": fraction,
            "weight": weight,
            "over_equal": loss / stairs.final_loss(factor * critical, start),
            "over_tied": loss / stairs.final_loss(factor * critical, 1.0),
        })  # fmt: skip
    return {
        "skills": skills,
        "start": start,
        "critical": critical,
        "over_tied_last_hop": critical / stairs.hops(1.0)[-1],
        "over_untied_last_hop": critical / stairs.hops(start)[-1],
        "rows": rows,
    }


def noisy_untie(skills: int, start: float, wait: float) -> dict[str, Any]:
    """Sign steps to `SHARE` by the weight at which layers are let go, over always-shared's."""
    noise = staircase_steps.noise_of_wait(wait, start, skills)
    level = SHARE * float(staircase.tied_loss(start**2, skills))
    weights = [start, 0.3, 0.5, 0.7, 0.8]
    own = float(staircase_steps.untied_steps(np.full(skills, start), [level], noise)[0])
    tied = own / staircase_steps.gain(start, skills, noise, SHARE)
    steps = [
        float(staircase_steps.swe_steps(start, weight, [level], skills, noise)[0])
        for weight in weights
    ]
    ratio = [value / tied for value in steps]
    return {"skills": skills, "wait": wait, "weights": weights, "over_tied": ratio}


def random_starts(
    rng: np.random.Generator, skills: int, start: float, draws: int
) -> dict[str, Any]:
    """The baseline's own starts, w_l ~ N(0, start^2), against equal ones.

    By the first order a draw counts as the equal start at its geometric mean: the untied flow from
    there, and the tied one, are what it is divided by. In truth an equal start is ONE draw for all
    layers, with the same mean of log w and sqrt(K) times its spread: both spreads of log time are
    told. The last hop is what is timed.
    """
    goal = float(0.5 ** (1.0 / skills))
    own, equal, tied, single = (np.empty(draws) for _ in range(4))
    for draw in range(draws):
        w = np.abs(rng.normal(size=skills) * start)
        together = Staircase(skills, float(np.exp(np.log(w).mean())))
        own[draw] = staircase_swe.untied(w).hop(skills)
        equal[draw] = together.hops(together.start)[-1]
        tied[draw] = float(together.tied_time(goal))
        single[draw] = float(Staircase(skills, float(min(w[0], 0.6))).tied_time(goal))

    def told(gap: Array) -> dict[str, float]:
        return {
            "ratio": float(np.exp(gap.mean())),
            "log_error": float(gap.std(ddof=1) / draws**0.5),
        }

    return {
        "skills": skills,
        "start": start,
        "draws": draws,
        "over_equal": told(np.log(own / equal)),
        "over_tied": told(np.log(own / tied)),
        "spread_baseline": float(np.log(own).std(ddof=1)),
        "spread_single": float(np.log(single).std(ddof=1)),
    }


def study(seed: int, scale: str = "small") -> dict[str, Any]:
    """All of the above. JSON-able; "small" takes about 20 s on one core."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 60])
    depths = [[2, 4], [2, 4, 8, 16, 32], [2, 4, 8, 16, 32, 64]][size]
    waits = np.array(
        [
            [0.1, 1.0, 30.0],
            [0.05, 0.1, 0.18, 0.4, 2.0, 30.0],
            np.geomspace(0.02, 30.0, 23),
        ][size]
    )
    noisy = noise_rows(depths, 0.03, waits)
    factors = [
        [0.9, 1.01],
        [0.7, 0.9, 0.99, 1.001, 1.01, 1.03],
        [0.7, 0.9, 0.99, 1.001, 1.003, 1.01, 1.02, 1.03],
    ][size]
    flow = flow_rows(depths)
    slope = np.polyfit(np.log(depths), np.log([row["best"] for row in noisy]), 1)[0]
    return {
        "figure": "staircase",
        "seed": seed,
        "scale": scale,
        "shares": list(SHARES),
        "flow": flow,
        "small_starts": {
            str(share): small_starts(4, share) for share in (0.6, 0.01)
        },
        "curves": curves([4, 8, 8][size], 0.1, [40, 80, 300][size]),
        "noise": noisy,
        "simulated": simulated(rng, [3, 8, 8][size], [0.2, 0.1, 0.1][size], [8, 24, 256][size]),
        "tau": [tau_rows(K, 0.1, factors) for K in [[3], [2, 4, 8], [2, 3, 4, 6, 8]][size]],
        "noisy_untie": [noisy_untie(4, 0.1, wait) for wait in (1.0, 30.0)],
        "random": random_starts(rng, [3, 4, 8][size], 0.1, [8, 30, 200][size]),
        "caption_numbers": {
            "share": SHARE,
            "flow_low": min(row["ratio"][1] for row in flow),
            "flow_high": max(row["ratio"][1] for row in flow),
            "best_gain": noisy[-1]["best"],
            "best_skills": depths[-1],
            "best_slope": float(slope),
        },
    }  # fmt: skip
