"""Does the theory hold at scale: the predictions carried from the toys, judged by the tables' runs.

One ledger record a question; the evidence names every study, the verdict counts over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bert.claims.tables import on_its_plateau
from evidence.claim import Claim, Finding, Record, Verdict, share
from evidence.comparison import Interval
from evidence.plateau import on_plateau
from evidence.results import Table, find_tables

TABLES = ("table1", "sweep", "headline")
_CARRIED = {
    "SCALE-CORR": (
        "The layers of a BERT that is never tied are exchangeable: the correlation of neighbours' "
        "gradients is the one that the alignment of all implies, within 0.1",
        "adjacent correlation, mean over the run, never tied",
    ),
    "SCALE-CORR-TIED": (
        "The same while the layers are tied: they see different inputs, but one correlation",
        "adjacent correlation, mean over the run, tied",
    ),
    "SCALE-DESCENT": (
        "The loss that a tied run loses in its first updates, over the untied one's, is the ratio "
        "that signal and noise of the first gradients predict, within 10 %",
        "descent in the first updates, tied over untied",
    ),
    "SCALE-TAU": (
        "The best time to untie is when the predicted descent of a tied step falls to that of an "
        "untied one, within 10 % of the run (one step ahead: exchangeable layers, one rate)",
        "best tau / T",
    ),
}


COMPARES = ("SCALE-TAU",)
"""Of these, what is read off the final losses of several arms."""
_PREDICTIONS = "theory/models/predictions.py"
Told = tuple[Finding, Table]
"""What was found, and the table whose figure shows it."""


def scale_claims(out: Path, studies: Path | None) -> list[Record]:
    """Return the ledger records SCALE-...; "not run" without a table that can tell."""
    found = _one_a_study(find_tables(out, studies, TABLES, "equal-start"))
    records = []
    for identity, (statement, quantity) in _CARRIED.items():
        told = _carried(found, quantity)
        if identity in COMPARES:
            told = _counting(partial(_carried, quantity=quantity), found)
        records.append(_record(identity, statement, _PREDICTIONS, _carried, told, "theory"))
    records.append(
        _record(
            "SCALE-GAIN",
            "SWE-F gains over the equal start when the mean predicted descent ratio up to tau is "
            "above 1, and loses when below (one step ahead: exchangeable layers, one rate)",
            _PREDICTIONS,
            _gains,
            _counting(_gains, found),
            "theory",
        )
    )
    records.append(
        _record(
            "SCALE-RULE",
            "Untying when neighbours' gradients decorrelate (SWE-A, SWE-M) ends as low "
            "as the best fixed tau",
            "section 4, our control",
            _rules,
            _counting(_rules, found),
            "tau",
        )
    )
    return records


def _counting(
    judge: Callable[[Sequence[Table]], Told | None], found: Sequence[Table]
) -> Told | None:
    """Judge what compares the final losses of arms by the tables whose runs left the plateau.

    Where those cannot tell, by the others, whose verdict is the plateau's.
    """
    told = judge([table for table in found if not on_plateau(table.data)])
    if told is not None:
        return told
    told = judge([table for table in found if on_plateau(table.data)])
    return None if told is None else (on_its_plateau(told[0], told[1].data), told[1])


def _one_a_study(found: Sequence[Table]) -> list[Table]:
    """Keep of every study the table with the most finished arms, so that no run counts twice."""
    fullest: dict[Path, Table] = {}
    for table in found:
        known = fullest.get(table.path.parent)
        if known is None or _finished(table) > _finished(known):
            fullest[table.path.parent] = table
    return list(fullest.values())


def _finished(table: Table) -> int:
    return sum("values" in arm for arm in table.data["arms"].values())


def _carried(found: Sequence[Table], quantity: str) -> Told | None:
    told, holds, seeds = [], 0, 0
    for table in found:
        entries = {entry["quantity"]: entry for entry in table.data.get("carried", [])}
        entry = entries.get(quantity)
        if entry is None or entry["verdict"] == "not measured":
            continue
        words = f"predicted {_words(entry['predicted'])}, measured {_words(entry['measured'])}"
        told.append((table, f"{words}, holds for {entry['holds']} of {entry['n']} seeds"))
        holds, seeds = holds + entry["holds"], seeds + entry["n"]
    return _counted(told, holds, seeds, "seeds")


def _gains(found: Sequence[Table]) -> Told | None:
    told, holds, decided = [], 0, 0
    for table in found:
        gains = table.data.get("gains", [])
        if not gains:
            continue
        words = "; ".join(
            f"tau {100 * gain['tau']:g} % predicted {gain['predicted']['mean']:+.2f}, measured "
            f"{_words(gain['measured'])} nats: {gain['verdict']}"
            for gain in gains
        )
        told.append((table, words))
        holds += sum(gain["verdict"] == "holds" for gain in gains)
        decided += sum(gain["verdict"] != "undecided" for gain in gains)
    if told and not decided:
        return _found(Verdict.OPEN, "no difference, small", told)
    return _counted(told, holds, decided, "gains")


def _rules(found: Sequence[Table]) -> Told | None:
    """Compare the adaptive arms with the best fixed tau; being the best of several favours it."""
    told, verdicts = [], set()
    for table in found:
        arms = table.data["arms"]
        fixed = {
            arm["schedule"]["until"]: arm
            for name, arm in arms.items()
            if "values" in arm and (name == "swe-f" or name.startswith("swe-f tau "))
        }
        adaptive = {"SWE-A": arms.get("swe-a", {}), "SWE-M": arms.get("swe-m", {})}
        adaptive = {name: arm for name, arm in adaptive.items() if "values" in arm}
        if len(fixed) < 3 or not adaptive:
            continue
        best = min(fixed, key=lambda tau: fixed[tau]["loss"]["mean"])
        for name, arm in adaptive.items():
            seeds = [seed for seed in arm["values"] if seed in fixed[best]["values"]]
            gap = Interval.of([arm["values"][s] - fixed[best]["values"][s] for s in seeds])
            verdicts.add("worse" if (gap.low or 0) > 0 else "better" if (gap.high or 0) < 0 else "")
            untied = sorted({step for steps in arm["untied_at"].values() for step in steps})
            when = f"untied at {_span(untied)} of {arm['steps']}" if untied else "never untied"
            told.append(
                (
                    table,
                    f"{name} ({when}) minus the best fixed tau ({100 * best:g} %): "
                    f"{_signed(gap)} nats, n = {len(seeds)}",
                )
            )
    if not told:
        return None
    return _found(Verdict.whether("worse" not in verdicts), "small", told)


def _counted(told: list[tuple[Table, str]], holds: int, of: int, what: str) -> Told | None:
    if not told:
        return None
    verdict, count = share(holds, of, what)
    return _found(verdict, f"{count}, small" if count else "small", told)


def _found(verdict: Verdict, qualifier: str, told: list[tuple[Table, str]]) -> Told:
    words = [
        f"{table.data['study']['size']} {table.data['table']}{table.origin}"
        f"{', on the plateau' if on_plateau(table.data) else ''}: {text}"
        for table, text in told
    ]
    return Finding.measured(verdict, "; ".join(words), qualifier), told[0][0]


def _words(ends: dict[str, Any]) -> str:
    if ends["low"] is None:
        return f"{ends['mean']:.3f}"
    return f"{ends['mean']:.3f} ({ends['low']:.3f} to {ends['high']:.3f})"


def _signed(gap: Interval) -> str:
    known = "" if gap.low is None else f" ({gap.low:+.4f} to {gap.high:+.4f})"
    return f"{gap.mean:+.4f}{known}"


def _span(steps: list[int]) -> str:
    return f"{steps[0]} to {steps[-1]}" if len(steps) > 1 else str(steps[0])


def _record(
    identity: str,
    statement: str,
    source: str,
    judge: Callable[..., Told | None],
    found: Told | None,
    part: str,
) -> Record:
    claim = Claim(
        identity,
        statement,
        source,
        "",
        "docs/bert.md#does-the-theory-hold-there",
        judge,
        "python paper_repro.py sweep claims",
    )
    if found is None:
        return claim.told(None)
    return claim.told(found[0], figure=found[1].figure(part))
