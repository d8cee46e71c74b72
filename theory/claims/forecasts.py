"""Ledger records FORECAST and ONLINE, from `theory.toys.forecasting` and `theory.toys.stopping`."""

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


def online(data: dict[str, Any]) -> Finding:
    """Hold the fitted rule against the cosine rule, by the intervals of both splits.

    It helps only if it does on kinds that it knows and does not hurt on kinds left out.
    """
    splits = {name: split["all"] for name, split in data["splits"].items()}
    known, apart = (splits[name]["verdict"] for name in ("kinds known", "kinds left out"))
    verdict = Verdict.NO_GAIN
    if known == "hurts" or (known == "helps" and apart != "hurts"):
        verdict = Verdict(known)
    qualifier = f"{apart} on kinds left out" if apart != known else ""
    told = "; ".join(
        f"{name}: {row['fitted']:.2f} against {row['cosine']:.2f}, difference "
        f"{row['difference']['mean']:+.2f} (95 % {row['difference']['low']:+.2f} to "
        f"{row['difference']['high']:+.2f})"
        for name, row in splits.items()
    )
    return Finding.measured(
        verdict,
        f"decades above the best tau, mean over {splits['kinds known']['cells']} cells that it was "
        f"not fitted to, {data['known_cells']} known, {data['networks']} runs each; {told}; always "
        f"{data['fixed']:.0%}: {splits['kinds known']['fixed']:.2f}",
        qualifier,
    )
