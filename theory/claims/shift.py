"""Ledger record of what a skill that comes later costs at the end: STAIR-SHIFT.

The statement is in `theory.models.shift`. The formulas under test are arguments, so that a wrong
one can be shown to fail.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from evidence.claim import Claim, Finding, Rigour, Verdict
from theory.claims.draws import DEPTH
from theory.models import shift
from theory.numerics.domain import Array
from theory.numerics.scales import check_scale

UPDATES = 400
PEAK = 0.012
BUDGETS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the baseline, times UPDATES."""
TOLERANCE = 0.01
"""Of a final s: of budgets interpolated and of steps that are not a flow."""
LATE = 0.05
"""Of the clock of skills in a row, e-folds: what stays bounded as starts go to 0, over the sum."""


def _rates(updates: int) -> Array:
    """Up over a tenth of the updates, down to zero over the rest."""
    up = np.arange(1, updates + 1) / (0.1 * updates)
    return np.asarray(PEAK * np.minimum(up, np.arange(updates, 0, -1) / (0.9 * updates)))


def check_shift(
    seed: int,
    scale: str,
    told: Callable[[Any, Any, Any], Array] = shift.told,
    learnt_at: Callable[[Any], Array] = shift.learnt_at,
) -> Finding:
    """Gradient descent under a schedule, copies tied never, for a tenth and to the end, against
    the baseline at other budgets; skills in a row against an integrator."""
    size = check_scale(scale)
    rng = np.random.default_rng([seed, 97])
    worst, widest, trials = 0.0, 0.0, [8, 12, 60][size]
    each = _rates(UPDATES)
    clock = np.concatenate([[0.0], np.cumsum(each)])
    for _ in range(trials):
        own, d = int(rng.choice([1, 2, 3, 6])), int(rng.integers(1, 4))
        drawn = 0.008 * rng.normal(size=(DEPTH, d))
        copies = np.tile(drawn[:own], (DEPTH // own, 1))
        copies *= min(1.0, float(np.linalg.norm(drawn) / np.linalg.norm(copies)))
        budgets = [_rates(round(budget * UPDATES)) for budget in BUDGETS]
        clocks = [float(rates.sum()) for rates in budgets]
        ends = [shift.descend(drawn, rates)[-1] for rates in budgets]
        base = shift.descend(drawn, each)
        for until in (0, UPDATES // 10, UPDATES):
            arm = shift.descend(copies, each, own, until)
            level = min(0.2, float(arm[-1]))
            late = np.interp(level, arm, clock) - np.interp(level, base, clock)
            foretold = float(told(clocks, ends, clock[-1] - late))
            if np.isnan(foretold):
                continue
            worst = max(worst, abs(foretold - float(arm[-1])))
            widest = max(widest, float(base[-1] - arm[-1]))
    gap, row = 0.0, []
    for _ in range(trials):
        starts = 10.0 ** rng.uniform(-9.0, -6.0, size=3)
        foretold_row = learnt_at(starts)
        at = np.linspace(0.0, float(learnt_at(starts)[-1]) + 1.0, 4001)
        found = [np.interp(0.5, s, at) for s in shift.in_a_row(starts, at)]
        gap = max(gap, 4.0 * float(np.max(np.abs(found - foretold_row))))
        row.append(4.0 * float(found[-1]))
    share = shift.power_gap(1.0, 0.5, [0.1, 0.05])
    return Finding(
        Verdict.whether(worst < TOLERANCE and widest > 5 * TOLERANCE and gap < LATE * min(row)),
        f"L = {DEPTH}, {trials} draws, copies never tied, tied for a tenth and to the end, "
        f"{UPDATES} updates: end up to {widest:.2f} of s below the baseline, as the baseline of a "
        f"budget shorter by the delay does, to {worst:.0e} of s. {trials} times three skills in a "
        f"row, the last learnt after {min(row):.0f} e-folds or more: as the sum of their waits, to "
        f"{gap:.1g}. Loss falling as C^-0.5, a delay of a tenth of C: {100 * share[0]:.1f} % of "
        f"what is above the floor; the same delay at 2 C: {100 * share[1]:.1f} %",
        Rigour.PROVED,
        "proof in theory.models.shift; gradient descent and an integrator beside it",
    )


CLAIMS = (
    Claim(
        "STAIR-SHIFT",
        "A first skill that every layer can learn, in flow: an arm that learns it Delta later, in "
        "sums of rates, ends as the baseline of a run shorter by Delta, at every budget. So "
        "sharing costs a number of updates, not a share of them, and no budget turns its sign",
        "ours (theory.models.shift)",
        "",
        "docs/theory.md#what-a-delay-costs",
        check_shift,
    ),
)
