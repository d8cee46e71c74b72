"""The paper's BERT claims in the ledger, judged by the runs at hand.

A table of this package (rates tuned for every arm), run here or on record, speaks before the small
comparison of the default run (one rate for all), which then stands behind it in the evidence.
The qualifier says "small": none of these runs speaks of BERT-large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bert.claims.finetuned import by_tasks, first_table_tasks
from bert.claims.scale import scale_claims
from evidence.claim import Claim, Finding, Record, Verdict
from evidence.comparison import Interval, is_tuned
from evidence.results import Table, find_tables, read_comparison

_ARMS = {"swe-f": "SWE-F", "swe-a": "SWE-A", "swe-m": "SWE-M"}
_BETTER = {"helps": Verdict.HOLDS, "no gain": Verdict.NO_GAIN, "hurts": Verdict.FAILS}
"""What an interval's word means for a statement of the paper that the arm is better."""
SMALL = "small"
ONE_SEED = "one seed: no interval"


def bert_claims(out: Path, studies: Path | None = None) -> list[Record]:
    """Return the ledger records of the paper's tables, from the newest runs in ``out`` and from
    the ``studies`` on record.

    That an arm is better "holds" when the paired interval of the final validation loss lies below
    the baseline's, "fails" when above, and there is "no gain" when it holds zero. What was not run
    says so.
    """
    comparison = read_comparison(out)
    records = [_one_arm(claim, arm, out, studies, comparison) for arm, claim in ARM_CLAIMS.items()]
    records += [_judged(out, studies, claim, names) for claim, names in TABLE_CLAIMS]
    records = [by_tasks(record, out, studies) for record in records]
    return [*records, first_table_tasks(out, studies), *scale_claims(out, studies)]


def _one_arm(
    claim: Claim,
    arm: str,
    out: Path,
    studies: Path | None,
    comparison: dict[str, Any] | None,
) -> Record:
    """Judge an arm by the best source there is; the others stand behind it in the evidence."""
    found: dict[Path, Table] = {}  # the first of a study: its tables share their runs
    for table in find_tables(out, studies, ("table1", "sweep", "headline"), arm):
        found.setdefault(table.path.parent, table)
    told = [
        (
            table.data["arms"][arm]["verdict"],
            _difference(table.data, arm) + table.origin,
            table.figure(),
            _command(table.data["table"]),
        )
        for table in found.values()
    ]
    if comparison is not None and arm in comparison["arms"]:
        verdict = comparison["arms"][arm]["verdict"]
        told.append((verdict, _difference(comparison, arm), "bert_comparison", _command("bert")))
    if not told:
        return claim.told(None)
    verdict, evidence, figure, command = told[0]
    for other, words, _, _ in told[1:]:
        evidence += f"; also {words}: {other}"
    return claim.told(claim.check(verdict, evidence), figure=figure, command=command)


def _better(verdict: str, evidence: str) -> Finding:
    """Judge "better than the baseline" by the word of the paired interval."""
    if verdict not in _BETTER:
        return Finding.measured(Verdict.OPEN, evidence, ONE_SEED)
    return Finding.measured(_BETTER[verdict], evidence, SMALL)


def _as_it_came(verdict: str, evidence: str) -> Finding:
    """A control is no claim of the paper's: it is told as it came out, not as met or missed."""
    if verdict not in _BETTER:
        return Finding.measured(Verdict.OPEN, evidence, ONE_SEED)
    return Finding.measured(Verdict(verdict), evidence)


def _judged(out: Path, studies: Path | None, claim: Claim, names: Sequence[str]) -> Record:
    """Judge by the first of the named tables that can tell."""
    for table in find_tables(out, studies, names):
        found = claim.check(table.data)
        if found is not None:
            return claim.told(
                found,
                evidence=found.evidence + table.origin,
                figure=table.figure("tau" if claim.id == "TAB3" else ""),
                command=_command(table.data["table"]),
            )
    return claim.told(None)


def _gap(table: dict[str, Any]) -> Finding | None:
    """Share of the accuracy gap that is closed, seed by seed; needs the doubled baseline."""
    double = table["arms"].get("baseline x2", {})
    arms = [arm for arm in _ARMS if "difference" in table["arms"].get(arm, {})]
    if "difference" not in double or not arms:
        return None
    words, parts = [], []
    for arm in arms:
        part = _shares(table, arm)
        if part is None:
            return None
        parts.append(part)
        words.append(f"{_ARMS[arm]} {100 * part.mean:.0f} %{_range(part, 100, '.0f')}")
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


def _table_2(table: dict[str, Any]) -> Finding | None:
    return _all_help(table, ["swe-f", "swe-m"])


def _table_4(table: dict[str, Any]) -> Finding | None:
    return _all_help(table, [arm for arm in table["order"] if arm.startswith("swe-f")])


def _all_help(table: dict[str, Any], arms: list[str]) -> Finding | None:
    """All arms better than the baseline: it holds; one worse: it fails; else no gain."""
    found = [table["arms"][arm] for arm in arms]
    if not found or not all("difference" in entry for entry in found):
        return None
    verdicts = {entry["verdict"] for entry in found}
    worst = "hurts" if "hurts" in verdicts else "no gain" if len(verdicts) > 1 else verdicts.pop()
    words = "; ".join(f"{arm} {_gap_words(table['arms'][arm]['difference'])}" for arm in arms)
    return _better(worst, f"loss minus baseline's: {words}; {_setting(table, arms[0])}")


def _table_3(table: dict[str, Any]) -> Finding | None:
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


def _speed(table: dict[str, Any]) -> Finding | None:
    """It holds when some arm's interval lies above 1 and reaches 2, with limits when above 1."""
    known = {arm: table["speedup"][arm] for arm in _ARMS if arm in table.get("speedup", {})}
    if not known:
        return None
    words = []
    for arm, ratio in known.items():
        if ratio["ratio"] is None:
            sides = sorted(set(ratio["censored"].values()))
            words.append(f"{_ARMS[arm]} {' and '.join(sides)} the baselines' range for some seed")
            continue
        ends = Interval(ratio["n"], ratio["ratio"], ratio["low"], ratio["high"])
        words.append(f"{_ARMS[arm]} {ends.mean:.2f}{_range(ends, 1, '.2f')}")
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


def _difference(comparison: dict[str, Any], arm: str) -> str:
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
    return (
        f"n = {entry['difference']['n']} paired seeds, {study['size']} model, {entry['steps']} "
        f"updates, {entry['tokens']} tokens, {tuned}"
    )


def _command(verb: str) -> str:
    return f"python paper_repro.py {verb} claims"


ARM_CLAIMS = {
    arm: Claim(
        f"TAB1-{name[-1]}",
        f"{name} reaches a better masked-language model than the baseline in the same number of "
        "updates (500k)",
        "Table 1",
        "",
        "docs/bert.md#12-layers-of-width-64",
        _better,
        _command("bert"),
    )
    for arm, name in _ARMS.items()
} | {
    "equal-start": Claim(
        "EQUAL",
        "Control: the equal start alone, without any tying, changes the final loss",
        "our control",
        "",
        "docs/bert.md#12-layers-of-width-64",
        _as_it_came,
        _command("bert"),
    )
}
"""By arm; the figure is that of the table that judges."""


def _claim(
    identity: str,
    statement: str,
    source: str,
    anchor: str,
    judge: Callable[[dict[str, Any]], Finding | None],
    *names: str,
) -> tuple[Claim, Sequence[str]]:
    where = f"docs/bert.md#{anchor}"
    return Claim(identity, statement, source, "", where, judge, _command(names[0])), names


TABLE_CLAIMS = (
    _claim(
        "TAB1-GAP",
        "SWE closes 42 to 54 % of the gap in masked accuracy between the baseline and the one "
        "with twice its updates",
        "Table 1",
        "12-layers-of-width-64",
        _gap,
        "table1",
        "sweep",
        "headline",
    ),
    _claim(
        "TAB2",
        "XLNet data, Post-LN, 1M updates: SWE-F and SWE-M beat the baseline at 1M and reach that "
        "at 2M on most tasks",
        "Table 2",
        "not-run",
        _table_2,
        "table2",
    ),
    _claim(
        "TAB3",
        "MLM accuracy peaks at a small tau (50k of 500k) and depends little on rho",
        "Table 3",
        "12-layers-of-width-64",
        _table_3,
        "table3",
        "sweep",
    ),
    _claim(
        "TAB4",
        "Any sharing unit AxB beats no sharing (24x1); the middle ones are best",
        "Table 4",
        "not-run",
        _table_4,
        "table4",
    ),
    _claim(
        "SPEED",
        "SWE needs half the updates of the baseline for the same model (50 % of the time, counted "
        "in steps)",
        "section 5",
        "speed-up",
        _speed,
        "speedup",
    ),
)
"""With the tables that can judge each, best first."""
