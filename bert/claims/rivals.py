"""Which method gets the most out of equal compute: a ledger record each, from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.cells import LANGUAGE_SEEDS, demonstration
from evidence.claim import Claim, Finding, Record, Verdict
from evidence.comparison import Interval, is_tuned, paired
from evidence.results import Table, own_rivals, recorded_rivals
from evidence.rivals import METHODS, RIVALS, Rival, language_of, saving, through

VERDICTS = {"helps": Verdict.HOLDS, "no gain": Verdict.NO_GAIN, "hurts": Verdict.FAILS}
UNCHARGED = "uncharged"


def rival_claims(out: Path, studies: Path | None) -> list[Record]:
    """Return a record a method, judged by the first table of each language that can tell."""
    recorded = sorted(recorded_rivals(studies), key=_weight, reverse=True)
    tables = [table for table in (*own_rivals(out), *recorded) if table.table in RIVALS]
    return [judge_method(rival, tables) for rival in METHODS.values()]


def _weight(table: Table) -> tuple[bool, int, int]:
    arms = table.data["arms"]
    n = int(arms[table.data["reference"]].get("loss", {}).get("n", 0))
    return is_tuned(table.data["study"]), n, len(arms)


def judge_method(rival: Rival, tables: Sequence[Table]) -> Record:
    """Judge whether a method ends below the baseline at equal FLOPs, its source charged.

    On each language the first table with LANGUAGE_SEEDS paired seeds of it speaks, else the first.
    The claim holds where the interval lies below zero on all languages, with limits where it does
    on some, which the qualifier names, or one alone has been judged; where it does on none it
    fails if one interval lies above zero, else there is no gain. Fewer seeds are a demonstration
    and leave it open.
    """
    spoken: dict[str, tuple[Table, Interval]] = {}
    for enough in (True, False):
        for table in tables:
            gap = paired(table.data, rival.name, table.data["reference"])
            if gap is not None and (gap.n >= LANGUAGE_SEEDS) == enough:
                spoken.setdefault(language_of(table.data), (table, gap))
    claim = _claim(rival)
    if not spoken:
        return claim.told(None)
    spoken = dict(sorted(spoken.items()))
    judged = {
        name: VERDICTS[gap.verdict()]
        for name, (_, gap) in spoken.items()
        if gap.n >= LANGUAGE_SEEDS
    }
    evidence = "; ".join(
        f"{name}: {_evidence(table.data, rival.name, gap)}{table.origin}"
        for name, (table, gap) in spoken.items()
    )
    claimed = f"; claimed: {rival.claimed}" if rival.claimed else "; no saving is claimed"
    if judged:
        verdict, named = _together(judged)
    else:
        least = min(gap.n for _, gap in spoken.values())
        verdict, named = Verdict.OPEN, f"{demonstration(least)}, {LANGUAGE_SEEDS} needed"
    table = next(iter(spoken.values()))[0]
    figure = f"study_{table.study}_rivals" if table.study else "bert_rivals"
    return claim.told(Finding.measured(verdict, evidence + claimed, named), figure=figure)


def _together(judged: dict[str, Verdict]) -> tuple[Verdict, str]:
    """The verdict over the languages, and which of them it is about: "" for all."""
    for verdict in (Verdict.HOLDS, Verdict.FAILS, Verdict.NO_GAIN):
        named = [name for name, found in judged.items() if found == verdict]
        if named:
            every = len(named) == len(RIVALS)
            limited = verdict == Verdict.HOLDS and not every
            return (Verdict.LIMITS if limited else verdict), "" if every else ", ".join(named)
    raise AssertionError(judged)


def _evidence(data: dict[str, Any], arm: str, gap: Interval) -> str:
    entry = data["arms"][arm]
    free = paired(data, f"{arm} {UNCHARGED}", data["reference"])
    beside = "" if free is None else f", source not charged {_words(free)}"
    learnt = f"{through(data, arm)} of {entry['loss']['n']} through" if "reached" in entry else ""
    return (
        f"final held-out loss in nats minus baseline's {_words(gap)}{beside}; {learnt}; saving at "
        f"equal loss {_saving(data, arm)}; {data['study']['size']} model, {entry['steps']} updates"
    )


def _saving(data: dict[str, Any], arm: str) -> str:
    found = saving(data, arm)
    if found is None:
        return "not run"
    if found.mean is None:
        return (
            f"not bracketed ({found.worse} of {found.n} seeds worse than the baseline's least "
            f"budget, {found.better} better than its largest)"
        )
    ends = "" if found.low is None else f" (95 % {found.low:+.0f} to {found.high:+.0f} %)"
    return f"{found.mean:+.0f} %{ends}"


def _words(gap: Interval) -> str:
    if gap.low is None:
        return f"{gap.mean:+.4f} (n = 1)"
    return f"{gap.mean:+.4f} (95 % {gap.low:+.4f} to {gap.high:+.4f}, n = {gap.n})"


def _claim(rival: Rival) -> Claim:
    claimed = f" (claimed saving: {rival.claimed})" if rival.claimed else ""
    return Claim(
        rival.claim,
        f"At equal FLOPs, any source charged, {rival.title} ends below the tuned baseline on the "
        f"made languages{claimed}",
        rival.paper,
        "",
        "docs/rivals.md#what-came",
        judge_method,
        "python paper_repro.py rivals claims --budgets 0.5,1,2",
    )
