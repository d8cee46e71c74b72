"""The paper's BERT claims in the ledger, judged by the runs at hand.

A table of this package (rates tuned for every arm), run here or on record, speaks before the small
comparison of the default run (one rate for all), which then stands behind it in the evidence.
Verdicts say "small": none of these runs speaks of BERT-large.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert.claims.finetuned import by_tasks, first_table_tasks
from bert.claims.scale import scale_claims
from evidence.comparison import Interval
from evidence.found_tables import FoundTable, find_tables
from swe.base.files import plain_name, read_json

_ARMS = {"swe-f": "SWE-F", "swe-a": "SWE-A", "swe-m": "SWE-M"}
_SMALL = {"helps": "reproduced small", "no gain": "no gain small", "hurts": "differs small"}
_NOT = ("not attempted", "not run")
Found = tuple[str, str]
"""Verdict and evidence."""


def bert_claims(out: Path, studies: Path | None = None) -> list[dict[str, Any]]:
    """Return the ledger records of the paper's tables, from the newest runs in ``out`` and from
    the ``studies`` on record.

    "reproduced small" when the paired interval of the final validation loss lies below the
    baseline's, "differs small" when above, "no gain small" when it holds zero. What was not run
    says so.
    """
    comparison = _comparison(out)
    records = [
        _one_arm(
            f"TAB1-{name[-1]}",
            f"{name} reaches a better masked-language model than the baseline "
            "in the same number of updates (500k)",
            "Table 1",
            arm,
            out,
            studies,
            comparison,
        )
        for arm, name in _ARMS.items()
    ]
    records.append(
        _one_arm(
            "EQUAL",
            "Control: the equal start alone, without any tying, changes the final loss",
            "our control",
            "equal-start",
            out,
            studies,
            comparison,
        )
    )
    for identity, statement, source, table, judge in (
        ("TAB1-GAP", "SWE closes 42 to 54 % of the gap in masked accuracy between the baseline and "
         "the one with twice its updates", "Table 1", ("table1", "sweep", "headline"), _gap),
        ("TAB2", "XLNet data, Post-LN, 1M updates: SWE-F and SWE-M beat the baseline at 1M and "
         "reach that at 2M on most tasks", "Table 2", ("table2",), _table_2),
        ("TAB3", "MLM accuracy peaks at a small tau (50k of 500k) and depends little on rho",
         "Table 3", ("table3", "sweep"), _table_3),
        ("TAB4", "Any sharing unit AxB beats no sharing (24x1); the middle ones are best",
         "Table 4", ("table4",), _table_4),
        ("SPEED", "SWE needs half the updates of the baseline for the same model (50 % of the time,"
         " counted in steps)", "section 5", ("speedup",), _speed),
    ):  # fmt: skip
        records.append(_judged(out, studies, identity, statement, source, table, judge))
    records = [by_tasks(record, out, studies) for record in records]
    return [*records, first_table_tasks(out, studies), *scale_claims(out, studies)]


def _comparison(out: Path) -> dict[str, Any] | None:
    pointer = out / "bert" / "current.json"
    if not pointer.exists():
        return None
    path = out / "bert" / plain_name(read_json(pointer)["folder"]) / "comparison.json"
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found


def _one_arm(
    identity: str,
    statement: str,
    source: str,
    arm: str,
    out: Path,
    studies: Path | None,
    comparison: dict[str, Any] | None,
) -> dict[str, Any]:
    """Judge an arm by the best source there is; the others stand behind it in the evidence."""
    found: dict[Path, FoundTable] = {}  # the first of a study: its tables share their runs
    for table in find_tables(out, studies, ("table1", "sweep", "headline"), arm):
        found.setdefault(table.folder, table)
    told = [
        (
            table.data["arms"][arm]["verdict"],
            _difference(table.data, arm) + table.origin,
            table.figure,
            _command(table.data["table"]),
        )
        for table in found.values()
    ]
    if comparison is not None and arm in comparison["arms"]:
        verdict = comparison["arms"][arm]["verdict"]
        told.append((verdict, _difference(comparison, arm), "bert_comparison", _command("bert")))
    if not told:
        return _record(identity, statement, source, _NOT, "", _command("bert"))
    verdict, evidence, figure, command = told[0]
    for other, words, _, _ in told[1:]:
        evidence += f"; also {words}: {other}"
    # The control is no claim of the paper's: it is told as it came out, not as met or missed.
    judged = (verdict if identity == "EQUAL" else _SMALL.get(verdict, "not attempted"), evidence)
    return _record(identity, statement, source, judged, figure, command)


def _judged(
    out: Path,
    studies: Path | None,
    identity: str,
    statement: str,
    source: str,
    names: tuple[str, ...],
    judge: Callable[[dict[str, Any]], Found | None],
) -> dict[str, Any]:
    """Judge by the first of the named tables that can tell."""
    for table in find_tables(out, studies, names):
        found = judge(table.data)
        if found is not None:
            figure = f"{table.figure}_tau" if identity == "TAB3" else table.figure
            return _record(
                identity,
                statement,
                source,
                (found[0], found[1] + table.origin),
                figure,
                _command(table.data["table"]),
            )
    return _record(identity, statement, source, _NOT, "", _command(names[0]))


def _gap(table: dict[str, Any]) -> Found | None:
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
    if all(part.low is not None and part.low > 0 for part in parts):
        verdict = "reproduced small"
    elif all(part.high is not None and part.high < 0 for part in parts):
        verdict = "differs small"
    else:
        verdict = "no gain small"
    return verdict, f"share of the gap closed: {'; '.join(words)}; {_setting(table, arms[0])}"


def _shares(table: dict[str, Any], arm: str) -> Interval | None:
    arms = table["arms"]
    base, double = arms[table["reference"]]["accuracy"], arms["baseline x2"]["accuracy"]
    seeds = [s for s in arms[arm]["accuracy"] if s in base and s in double]
    if not seeds or any(double[s] <= base[s] for s in seeds):
        return None
    ours = arms[arm]["accuracy"]
    return Interval.of([(ours[s] - base[s]) / (double[s] - base[s]) for s in seeds])


def _table_2(table: dict[str, Any]) -> Found | None:
    return _all_help(table, ["swe-f", "swe-m"])


def _table_4(table: dict[str, Any]) -> Found | None:
    return _all_help(table, [arm for arm in table["order"] if arm.startswith("swe-f")])


def _all_help(table: dict[str, Any], arms: list[str]) -> Found | None:
    """All arms better than the baseline: reproduced; one worse: differs; else no gain."""
    found = [table["arms"][arm] for arm in arms]
    if not found or not all("difference" in entry for entry in found):
        return None
    verdicts = {entry["verdict"] for entry in found}
    worst = "hurts" if "hurts" in verdicts else "no gain" if len(verdicts) > 1 else verdicts.pop()
    words = "; ".join(f"{arm} {_gap_words(table['arms'][arm]['difference'])}" for arm in arms)
    return (
        _SMALL.get(worst, "not attempted"),
        f"loss minus baseline's: {words}; {_setting(table, arms[0])}",
    )


def _table_3(table: dict[str, Any]) -> Found | None:
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
    verdict = (
        "reproduced small"
        if told_apart and small_is_best
        else ("differs small" if told_apart else "no difference small")
    )
    words = "; ".join(
        f"{100 * tau:g} % {_gap_words(arms[tau]['difference'])}" for tau in sorted(arms)
    )
    return verdict, (
        f"loss minus baseline's by tau: {words}; best {100 * best:g} %, worst {100 * worst:g} %, "
        f"{spread.mean:+.4f}{_range(spread, 1, '+.4f')} apart; {_setting(table, 'swe-f')}"
    )


def _speed(table: dict[str, Any]) -> Found | None:
    """Reproduced when some arm's interval lies above 1 and reaches 2; less when only above 1."""
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
    if faster or beyond:
        twice = beyond or any(ratio["high"] >= 2 for ratio in faster)
        verdict = "reproduced small" if twice else "faster, not twice, small"
    else:
        verdict = "differs small" if slower else "no gain small"
    return (
        verdict,
        f"ratio of budgets at equal loss: {'; '.join(words)}; {_setting(table, 'swe-f')}",
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
    tuned = "rate of each arm tuned" if "rates" in study else "one rate for all arms"
    return (
        f"n = {entry['difference']['n']} paired seeds, {study['size']} model, {entry['steps']} "
        f"updates, {entry['tokens']} tokens, {tuned}"
    )


def _command(verb: str) -> str:
    return f"python paper_repro.py {verb} claims"


def _record(
    identity: str, statement: str, source: str, found: Found, figure: str, command: str
) -> dict[str, Any]:
    verdict, evidence = found
    return {
        "id": identity,
        "statement": statement,
        "source": source,
        "verdict": verdict,
        "evidence": evidence,
        "rigour": "sampled" if figure else "",
        "figure": figure,
        "command": command,
    }
