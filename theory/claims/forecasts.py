"""Ledger record FORECAST, from the result of `theory.toys.forecasting`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.claim import Finding, Verdict

GOALS = {"sign": 0.8, "tau": 0.7, "size": 0.6}
"""Shares of right answers that were set as goals before anything was fitted."""
WORDS = {"sign": "sign", "tau": "best tau", "size": "size"}


def right(marks: Mapping[str, Any]) -> str:
    """ "7 of 9" of one rule's mark."""
    return f"{marks['right']} of {marks['of']}"


def reached(marks: Mapping[str, Any], goal: float) -> bool:
    """Whether the share of right answers is at the goal; False where there were none to give."""
    return bool(marks["of"]) and marks["right"] >= goal * marks["of"]


def forecast(data: dict[str, Any]) -> Finding:
    """Hold the forecast against its goals over all cells; the simpler rules beside it."""
    rules = data["rules"]
    ours = rules["forecast"]["all"]
    met = [WORDS[mark] for mark, goal in GOALS.items() if reached(ours[mark], goal)]
    verdict, qualifier = Verdict.HOLDS, ""
    if not met:
        verdict = Verdict.FAILS
    elif len(met) < len(GOALS):
        verdict, qualifier = Verdict.LIMITS, f"{' and '.join(met)} at the goal"
    kinds = "; ".join(
        f"{family}{' (never seen)' if family in data['unseen'] else ''} {right(marks['sign'])}"
        for family, marks in rules["forecast"].items()
        if family != "all"
    )
    others = "; ".join(
        f"{rule}: {', '.join(right(by['all'][mark]) for mark in GOALS)}, regret "
        f"{by['all']['regret']:.2f}"
        for rule, by in rules.items()
        if rule != "forecast"
    )
    truths = ", ".join(f"{verdict} {count}" for verdict, count in data["truths"]["all"].items())
    return Finding.measured(
        verdict,
        f"{data['cells']} fresh cells ({truths}), rehearsals of {data['share']:.1%} of the "
        f"updates: {', '.join(f'{WORDS[mark]} {right(ours[mark])}' for mark in GOALS)}, its tau "
        f"{ours['regret']:.2f} decades above the best in mean; sign by family: {kinds}; the same "
        f"by {others}",
        qualifier,
    )
