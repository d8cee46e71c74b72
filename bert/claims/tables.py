"""How a table or a comparison judges the paper's claims: verdict, evidence, what it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evidence.claim import Finding, Verdict
from evidence.comparison import HEADLINE_SEEDS, Interval, is_tuned
from evidence.plateau import PLATEAU, on_plateau, told

ARMS = {"swe-f": "SWE-F", "swe-a": "SWE-A", "swe-m": "SWE-M"}
_BETTER = {"helps": Verdict.HOLDS, "no gain": Verdict.NO_GAIN, "hurts": Verdict.FAILS}
"""What an interval's word means for a statement of the paper that the arm is better."""
SMALL = "small"
ONE_SEED = "one seed: no interval"


def on_its_plateau(found: Finding, compared: Mapping[str, Any]) -> Finding:
    """Return what was found in a comparison; "on the plateau" where none of its arms left it.

    Such a comparison neither supports a claim nor refutes it, whatever its intervals say: at the
    plateau's level the layers have not been used. "Open" would say that more seeds could decide.
    """
    if not on_plateau(compared):
        return found
    return replace(found, verdict=Verdict.PLATEAU, qualifier="")


def by_seeds(found: Finding, compared: Mapping[str, Any], arm: str) -> Finding:
    """Return what was found of an arm; open where its interval is of too few paired seeds.

    Two seeds have intervals that hold zero nearly always and, where they do not, say more of the
    two than of the arm: they neither support a claim nor refute it. One seed has no interval.
    """
    seeds = int(compared["arms"][arm]["difference"]["n"])
    if not 1 < seeds < HEADLINE_SEEDS or found.verdict == Verdict.PLATEAU:
        return found
    return replace(found, verdict=Verdict.OPEN, qualifier=f"{seeds} seeds, {HEADLINE_SEEDS} needed")


def better(verdict: str, evidence: str) -> Finding:
    """Judge "better than the baseline" by the word of the paired interval."""
    if verdict == PLATEAU:
        return Finding.measured(Verdict.PLATEAU, evidence)
    if verdict not in _BETTER:
        return Finding.measured(Verdict.OPEN, evidence, ONE_SEED)
    return Finding.measured(_BETTER[verdict], evidence, SMALL)


def as_it_came(verdict: str, evidence: str) -> Finding:
    """A control is no claim of the paper's: it is told as it came out, not as met or missed."""
    if verdict not in (*_BETTER, PLATEAU):
        return Finding.measured(Verdict.OPEN, evidence, ONE_SEED)
    return Finding.measured(Verdict(verdict), evidence)


def gap(table: dict[str, Any]) -> Finding | None:
    """Share of the accuracy gap that is closed, seed by seed; needs the doubled baseline."""
    double = table["arms"].get("baseline x2", {})
    arms = [arm for arm in ARMS if "difference" in table["arms"].get(arm, {})]
    if "difference" not in double or not arms:
        return None
    words, parts = [], []
    for arm in arms:
        part = _shares(table, arm)
        if part is None:
            return None
        parts.append(part)
        words.append(f"{ARMS[arm]} {100 * part.mean:.0f} %{_range(part, 100, '.0f')}")
    verdict = Verdict.NO_GAIN
    if all(part.low is not None and part.low > 0 for part in parts):
        verdict = Verdict.HOLDS
    elif all(part.high is not None and part.high < 0 for part in parts):
        verdict = Verdict.FAILS
    return Finding.measured(
        verdict,
        f"share of the gap closed: {'; '.join(words)}; {_setting(table, arms[0])}",
        SMALL,
    )


def _shares(table: dict[str, Any], arm: str) -> Interval | None:
    arms = table["arms"]
    base, double = arms[table["reference"]]["accuracy"], arms["baseline x2"]["accuracy"]
    seeds = [s for s in arms[arm]["accuracy"] if s in base and s in double]
    if not seeds or any(double[s] <= base[s] for s in seeds):
        return None
    ours = arms[arm]["accuracy"]
    return Interval.of([(ours[s] - base[s]) / (double[s] - base[s]) for s in seeds])


def table_2(table: dict[str, Any]) -> Finding | None:
    """SWE-F and SWE-M both beat the baseline."""
    return _all_help(table, ["swe-f", "swe-m"])


def table_4(table: dict[str, Any]) -> Finding | None:
    """Every sharing unit beats the baseline."""
    return _all_help(table, [arm for arm in table["order"] if arm.startswith("swe-f")])


def _all_help(table: dict[str, Any], arms: list[str]) -> Finding | None:
    """All arms better than the baseline: it holds; one worse: it fails; else no gain."""
    found = [table["arms"][arm] for arm in arms]
    if not found or not all("difference" in entry for entry in found):
        return None
    verdicts = {entry["verdict"] for entry in found}
    if on_plateau(table):
        verdicts = {PLATEAU}
    worst = "hurts" if "hurts" in verdicts else "no gain" if len(verdicts) > 1 else verdicts.pop()
    words = "; ".join(f"{arm} {_gap_words(table['arms'][arm]['difference'])}" for arm in arms)
    return better(worst, f"loss minus baseline's: {words}; {_setting(table, arms[0])}")


def table_3(table: dict[str, Any]) -> Finding | None:
    """Best tau by mean loss; a later tau counts as worse when its paired interval says so."""
    arms = {
        entry["schedule"]["until"]: entry
        for name, entry in table["arms"].items()
        if entry["schedule"]["kind"] == "swe-f"
        and "difference" in entry
        and (name == "swe-f" or " tau " in name)
    }
    if len(arms) < 3:
        return None
    best = min(arms, key=lambda tau: arms[tau]["loss"]["mean"])
    worst = max(arms, key=lambda tau: arms[tau]["loss"]["mean"])
    seeds = [s for s in arms[best]["values"] if s in arms[worst]["values"]]
    spread = Interval.of([arms[worst]["values"][s] - arms[best]["values"][s] for s in seeds])
    told_apart = spread.low is not None and spread.low > 0
    small_is_best = best <= 0.1 and worst == max(arms)
    verdict, qualifier = Verdict.whether(small_is_best), SMALL
    if not told_apart:
        verdict, qualifier = Verdict.NO_GAIN, f"no difference, {SMALL}"
    words = "; ".join(
        f"{100 * tau:g} % {_gap_words(arms[tau]['difference'])}" for tau in sorted(arms)
    )
    return Finding.measured(
        verdict,
        f"loss minus baseline's by tau: {words}; best {100 * best:g} %, worst {100 * worst:g} %, "
        f"{spread.mean:+.4f}{_range(spread, 1, '+.4f')} apart; {_setting(table, 'swe-f')}",
        qualifier,
    )


def speed(table: dict[str, Any]) -> Finding | None:
    """It holds when some arm's interval lies above 1 and reaches 2, with limits when above 1."""
    known = {arm: table["speedup"][arm] for arm in ARMS if arm in table.get("speedup", {})}
    if not known:
        return None
    words = []
    for arm, ratio in known.items():
        if ratio["ratio"] is None:
            sides = sorted(set(ratio["censored"].values()))
            words.append(f"{ARMS[arm]} {' and '.join(sides)} the baselines' range for some seed")
            continue
        ends = Interval(ratio["n"], ratio["ratio"], ratio["low"], ratio["high"])
        words.append(f"{ARMS[arm]} {ends.mean:.2f}{_range(ends, 1, '.2f')}")
    faster = [ratio for ratio in known.values() if ratio["low"] is not None and ratio["low"] > 1]
    slower = [
        ratio
        for ratio in known.values()
        if (ratio["high"] is not None and ratio["high"] < 1)
        or set(ratio["censored"].values()) == {"below"}
    ]
    beyond = [
        ratio
        for ratio in known.values()
        if list(ratio["censored"].values()).count("above") == ratio["n"]
    ]
    verdict, qualifier = Verdict.FAILS if slower else Verdict.NO_GAIN, SMALL
    if beyond or any(ratio["high"] >= 2 for ratio in faster):
        verdict = Verdict.HOLDS
    elif faster:
        verdict, qualifier = Verdict.LIMITS, f"faster, not twice, {SMALL}"
    return Finding.measured(
        verdict,
        f"ratio of budgets at equal loss: {'; '.join(words)}; {_setting(table, 'swe-f')}",
        qualifier,
    )


def _gap_words(gap: dict[str, Any]) -> str:
    if gap["low"] is None:
        return f"{gap['mean']:+.4f}"
    return f"{gap['mean']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"


def _range(part: Interval, scale: float, form: str) -> str:
    if part.low is None or part.high is None:
        return ""
    return f" (95 % {scale * part.low:{form}} to {scale * part.high:{form}})"


def difference(comparison: dict[str, Any], arm: str) -> str:
    """Return an arm's paired difference to the reference, and its setting, in words."""
    gap = comparison["arms"][arm]["difference"]
    interval = (
        "" if gap["low"] is None else f" (95 % interval {gap['low']:+.4f} to {gap['high']:+.4f})"
    )
    return (
        f"validation loss minus {comparison['reference']}'s: {gap['mean']:+.4f} nats{interval}, "
        f"{_setting(comparison, arm)}"
    )


def _setting(comparison: dict[str, Any], arm: str) -> str:
    entry, study = comparison["arms"][arm], comparison["study"]
    tuned = "rate of each arm tuned" if is_tuned(study) else "one rate for all arms"
    ended = told(comparison)
    return (
        f"n = {entry['difference']['n']} paired seeds, {study['size']} model, {entry['steps']} "
        f"updates, {entry['tokens']} tokens, {tuned}{f'; {ended}' if ended else ''}"
    )
