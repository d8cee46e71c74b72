"""The paper's BERT claims in the ledger, judged by the runs at hand.

A table of this package (rates tuned for every arm) speaks before the small comparison of the
default run (one rate for all). Verdicts say "small": none of these runs speaks of BERT-large.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.comparison import Interval
from training.files import plain_name, read_json

_ARMS = {"swe-f": "SWE-F", "swe-a": "SWE-A", "swe-m": "SWE-M"}
_SMALL = {"helps": "reproduced small", "no gain": "no gain small", "hurts": "differs small"}
_NOT = ("not attempted", "not run")
Found = tuple[str, str]
"""Verdict and evidence."""


def bert_claims(out: Path) -> list[dict[str, Any]]:
    """Return the ledger records of the paper's tables, from the newest runs in ``out``.

    "reproduced small" when the paired interval of the final validation loss lies below the
    baseline's, "differs small" when above, "no gain small" when it holds zero. What was not run
    says so.
    """
    comparison = _comparison(out)
    records = [_table_1(out, arm, name, comparison) for arm, name in _ARMS.items()]
    records.append(_equal_start(out, comparison))
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
        records.append(_judged(out, identity, statement, source, table, judge))
    return records


def _comparison(out: Path) -> dict[str, Any] | None:
    pointer = out / "bert" / "current.json"
    if not pointer.exists():
        return None
    path = out / "bert" / plain_name(read_json(pointer)["folder"]) / "comparison.json"
    found: dict[str, Any] | None = read_json(path) if path.exists() else None
    return found


def _table(out: Path, names: tuple[str, ...], *arms: str) -> dict[str, Any] | None:
    """Return the first of the named tables in which all ``arms`` have been compared."""
    for name in names:
        pointer = out / "bert" / "tables" / f"{name}.json"
        if pointer.exists():
            path = (
                out / "bert" / "tables" / plain_name(read_json(pointer)["folder"]) / f"{name}.json"
            )
            table: dict[str, Any] | None = read_json(path) if path.exists() else None
            if table and all("difference" in table["arms"].get(arm, {}) for arm in arms):
                return table
    return None


def _table_1(out: Path, arm: str, name: str, comparison: dict[str, Any] | None) -> dict[str, Any]:
    statement = (
        f"{name} reaches a better masked-language model than the baseline in the same number of "
        "updates (500k)"
    )
    found = _one_arm(out, arm, comparison)
    verdict = _SMALL.get(found[0], "not attempted")
    return _record(f"TAB1-{name[-1]}", statement, "Table 1", (verdict, found[1]), *found[2:])


def _equal_start(out: Path, comparison: dict[str, Any] | None) -> dict[str, Any]:
    statement = "Control: the equal start alone, without any tying, changes the final loss"
    verdict, evidence, figure, command = _one_arm(out, "equal-start", comparison)
    return _record("EQUAL", statement, "our control", (verdict, evidence), figure, command)


def _one_arm(out: Path, arm: str, comparison: dict[str, Any] | None) -> tuple[str, str, str, str]:
    """Return (verdict of the arm, evidence, figure, command) from the best source there is."""
    table = _table(out, ("table1", "sweep", "headline"), arm)
    if table is not None:
        name = table["table"]
        return (
            table["arms"][arm]["verdict"], _difference(table, arm), f"bert_{name}", _command(name)
        )  # fmt: skip
    if comparison is not None and arm in comparison["arms"]:
        verdict = comparison["arms"][arm]["verdict"]
        return verdict, _difference(comparison, arm), "bert_comparison", _command("bert")
    return (*_NOT, "", _command("bert"))


def _judged(
    out: Path, identity: str, statement: str, source: str, names: tuple[str, ...],
    judge: Callable[[dict[str, Any]], Found | None],
) -> dict[str, Any]:  # fmt: skip
    """Judge by the first of the named tables that can tell."""
    for name in names:
        table = _table(out, (name,))
        found = None if table is None else judge(table)
        if found is not None:
            figure = "bert_sweeps" if identity == "TAB3" else f"bert_{name}"
            return _record(identity, statement, source, found, figure, _command(name))
    return _record(identity, statement, source, _NOT, "", _command(names[0]))


def _gap(table: dict[str, Any]) -> Found | None:
    """Share of the accuracy gap that is closed, seed by seed; needs the doubled baseline."""
    double = table["arms"].get("baseline x2", {})
    arms = [arm for arm in _ARMS if "difference" in table["arms"].get(arm, {})]
    if "difference" not in double or not arms:
        return None
    words, low = [], []
    for arm in arms:
        part = _shares(table, arm)
        if part is None:
            return None
        low.append(part.low)
        words.append(f"{_ARMS[arm]} {100 * part.mean:.0f} %{_range(part, 100, '.0f')}")
    reached = all(end is not None and end > 0 for end in low)
    verdict = "reproduced small" if reached else "no gain small"
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
        if entry["schedule"]["kind"] == "swe-f" and "difference" in entry
        and (name == "swe-f" or " tau " in name)
    }  # fmt: skip
    if len(arms) < 3:
        return None
    best = min(arms, key=lambda tau: arms[tau]["loss"]["mean"])
    worst = max(arms, key=lambda tau: arms[tau]["loss"]["mean"])
    seeds = [s for s in arms[best]["values"] if s in arms[worst]["values"]]
    spread = Interval.of([arms[worst]["values"][s] - arms[best]["values"][s] for s in seeds])
    told_apart = spread.low is not None and spread.low > 0
    small_is_best = best <= 0.1 and worst == max(arms)
    verdict = "reproduced small" if told_apart and small_is_best else (
        "differs small" if told_apart else "no difference small")  # fmt: skip
    words = "; ".join(f"{100 * tau:g} % {_gap_words(arms[tau]['difference'])}"
                      for tau in sorted(arms))  # fmt: skip
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
    beyond = [ratio for ratio in known.values() if list(ratio["censored"].values()).count("above")
              == ratio["n"]]  # fmt: skip
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
        "id": identity, "statement": statement, "source": source, "verdict": verdict,
        "evidence": evidence, "rigour": "sampled" if figure else "", "figure": figure,
        "command": command,
    }  # fmt: skip
