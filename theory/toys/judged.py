"""Does SWE-F end below its controls? Tuned on some networks, judged on others, family by family.

Families: unrolled blocks with input injection (`theory.toys.unrolled`), LISTA
(`theory.toys.lista`), and residual students of a residual teacher (`theory.toys.teacher_student`)
as the control in which no layer has a use for a common module.

A setting is a family with its parameters, an optimiser and a number of updates. On the tuning
networks every arm runs at every rate of one grid; it keeps the rate of least mean log10 held-out
loss, and SWE-F the tau as well: it is tried `len(TAUS)` times as often as a control, which costs
nothing in what follows, because every arm is then run once on judging networks that no choice has
seen. Compared there: log10 of the held-out loss, arm minus control, within a network (same start,
same data), with its 95 % paired interval over networks. A setting's verdict is the worse of those
against the baseline and against the equal start: "helps" only if both intervals lie below 0,
"hurts" if either lies above.

All runs of a setting are one tensor program (`theory.toys.together`), in single precision; inputs
and targets are made in double.

What was known when the settings were fixed: on six other networks SWE-F had ended lowest in the
unrolled family at every setting below, and level with the baseline on LISTA with AdamW; residual
students had lost by it. After a first look at the judging networks grids were moved so that the
rates chosen on the tuning networks lie inside them, which changed no verdict; they step by 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evidence.comparison import Verdict, compare
from swe.sharing.schedule import AlwaysShared, EqualStart, NeverShared, Schedule, SweFixed
from swe.sharing.seeds import derive_seed
from theory.numerics.domain import Array
from theory.toys import teacher_student
from theory.toys.lista import lista
from theory.toys.problems import TeacherStudent, Trained
from theory.toys.together import final_losses
from theory.toys.unrolled import unrolled

DEPTH, WIDTH = 8, 8
CODES, MEASURED = 16, 8
TAUS = (0.1, 0.2, 0.4)
CONTROLS = ("baseline", "equal-start")
ARMS: dict[str, Schedule] = {
    "baseline": NeverShared(),
    "equal-start": EqualStart(),
    **{f"swe-f {tau:.0%}".replace("%", " %"): SweFixed(until=tau) for tau in TAUS},
    "always-shared": AlwaysShared(),
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A family ("unrolled", "lista", "residual") with what it takes; `rates` from low to high."""

    family: str
    optimiser: str
    steps: int
    rates: tuple[float, ...]
    gamma: float = 1.0
    eps: float = 0.0

    def problem(self, seeds: tuple[int, ...]) -> Trained:
        """One network for each seed."""
        if self.family == "lista":
            return lista(seeds, depth=DEPTH, codes=CODES, measured=MEASURED)
        if self.family == "unrolled":
            return unrolled(seeds, depth=DEPTH, width=WIDTH, gamma=self.gamma, eps=self.eps)
        return _residual(seeds, self.eps)

    def name(self) -> dict[str, Any]:
        """What tells a setting from others, JSON-able."""
        named: dict[str, Any] = {"family": self.family}
        named |= {"gamma": self.gamma} if self.family == "unrolled" else {}
        named |= {"eps": self.eps} if self.family != "lista" else {}
        return named | {"optimiser": self.optimiser, "steps": self.steps}


def _residual(seeds: tuple[int, ...], eps: float) -> TeacherStudent:
    """Draw students as `teacher_student.networks` does, at one deviation (one of its own)."""
    at = teacher_student.DEVIATIONS.index(eps)
    teachers, starts = teacher_student.networks(seeds[0], len(seeds))
    part = slice(at * len(seeds), (at + 1) * len(seeds))
    flat = (len(seeds), teacher_student.DEPTH, -1)
    return TeacherStudent(
        optimum=teachers[part].reshape(flat),
        draws=starts[part].reshape(flat),
        width=teacher_student.WIDTH,
        data=seeds[0],
    )


def settings(steps: int, rates: int) -> list[Setting]:
    """Return the settings of the default run; of each grid at most `rates` rates."""
    fast, slow, sgd = (0.1, 0.05, 0.2, 0.025), (0.2, 0.4, 0.1, 0.05, 0.8), (3.2, 6.4, 1.6, 12.8)
    lower, low = (0.02, 0.04, 0.01, 0.08), (0.04, 0.08, 0.02, 0.16)
    kinds: list[tuple[str, str, float, float, tuple[float, ...]]] = [
        ("unrolled", "adamw", 1.0, 0.3, fast),
        ("unrolled", "adamw", 1.0, 1.0, fast),
        ("unrolled", "adamw", 0.3, 0.3, slow),
        ("unrolled", "sgd", 1.0, 0.3, sgd),
        ("lista", "adamw", 1.0, 0.0, lower),
        ("residual", "adamw", 1.0, 0.3, low),
    ]
    return [
        Setting(
            family=family,
            optimiser=optimiser,
            steps=steps,
            rates=tuple(sorted(grid[:rates])),
            gamma=gamma,
            eps=eps,
        )
        for family, optimiser, gamma, eps, grid in kinds
    ]


SCALES = {"smoke": (20, 2, 2, 2), "small": (400, 6, 8, 5), "full": (400, 12, 24, 5)}
"""Updates, tuning and judging networks, rates of a grid at most."""


def log_losses(problem: Trained, setting: Setting, runs: Sequence[tuple[str, float]]) -> Array:
    """log10 of the held-out losses of (arm, rate), (runs, n), as `together.final_losses`."""
    pairs = [(ARMS[arm], rate) for arm, rate in runs]
    return np.asarray(np.log10(final_losses(problem, pairs, setting.optimiser, setting.steps)))


def judge(setting: Setting, tuning: tuple[int, ...], judging: tuple[int, ...]) -> dict[str, Any]:
    """Tune and judge all arms of a setting; seeds of its networks; JSON-able."""
    tried = [(arm, rate) for arm in ARMS for rate in setting.rates]
    means = log_losses(setting.problem(tuning), setting, tried).mean(axis=1)
    by_arm = dict(zip(ARMS, means.reshape(len(ARMS), -1), strict=True))
    rate = {arm: setting.rates[int(np.argmin(row))] for arm, row in by_arm.items()}
    chosen = min((arm for arm in ARMS if arm.startswith("swe-f")), key=lambda a: by_arm[a].min())
    found = log_losses(setting.problem(judging), setting, list(rate.items()))
    final = {arm: dict(enumerate(row.tolist())) for arm, row in zip(ARMS, found, strict=True)}
    against = {control: compare(final, control) for control in CONTROLS}
    return setting.name() | {
        "tuned": {
            arm: {"rate": rate[arm], "log10_by_rate": row.tolist()} for arm, row in by_arm.items()
        },
        "rates": list(setting.rates),
        "inside": [setting.rates[0] < rate[arm] < setting.rates[-1] for arm in (*CONTROLS, chosen)],
        "chosen": chosen,
        "against_baseline": against["baseline"],
        "against_equal_start": against["equal-start"],
        "against_always_shared": compare(final, "always-shared"),
        "verdict": worse([against[control][chosen]["verdict"] for control in CONTROLS]),
    }


def worse(verdicts: Sequence[Verdict]) -> Verdict:
    """Return "hurts" if any hurts, "helps" if all help; see the module's docstring."""
    order: tuple[Verdict, ...] = ("hurts", "one seed: no interval", "no gain", "helps")
    return min(verdicts, key=order.index)


def judge_all(
    seed: int,
    chosen: Sequence[Setting],
    tuning: int,
    judging: int,
    done: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> dict[str, Any]:
    """Judge all settings on the same networks; `done` sees each entry as it is finished."""
    seeds = [derive_seed("judged toys", seed, i) % 2**31 for i in range(tuning + judging)]
    entries = []
    for setting in chosen:
        entries.append(judge(setting, tuple(seeds[:tuning]), tuple(seeds[tuning:])))
        done(entries[-1])
    return {
        "depth": DEPTH,
        "width": WIDTH,
        "tuning": tuning,
        "judging": judging,
        "arms": list(ARMS),
        "settings": entries,
    }


def study(seed: int, scale: str) -> dict[str, Any]:
    """All settings of the default run; JSON-able. "small" takes under half a minute on a core."""
    steps, tuning, judging, rates = SCALES[scale]
    return judge_all(seed, settings(steps, rates), tuning, judging)
