"""The paper's claims about fine-tuned tasks, judged by the scores of bert.finetune.arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evidence.claim import Claim, Finding, Record, Verdict, code_of
from evidence.comparison import Interval
from evidence.results import Scores, own_scores, recorded_scores

DOUBLE = "baseline x2"


def find_scores(out: Path, studies: Path | None, tables: Sequence[str]) -> list[Scores]:
    """Return the scores of the named tables: a results folder's newest, then those on record."""
    own = {scores.table: scores for scores in own_scores(out)}
    recorded = [found for found in recorded_scores(studies) if found.data["table"] in tables]
    return [own[table] for table in tables if table in own] + recorded


def by_tasks(record: Record, out: Path, studies: Path | None) -> Record:
    """Return the claim on Table 2 as fine-tuned scores judge it, where there are any.

    It speaks of tasks; what the losses say stands behind. Other claims come back as they are.
    """
    if record.id != "TAB2":
        return record
    for scores in find_scores(out, studies, ("table2",)):
        found = judge_tasks(scores.data, ("swe-f", "swe-m"))
        if found is not None:
            losses = f"; {record.evidence}" if record.figure else ""
            told = {
                "evidence": found.evidence + scores.origin + losses,
                "figure": scores.name,
                "command": _command("table2"),
                "code": code_of(judge_tasks),
            }
            return replace(record, **{**vars(found), **told})
    return record


def first_table_tasks(out: Path, studies: Path | None) -> Record:
    """Return the ledger record on the fine-tuned tasks of Table 1, by any table of its arms."""
    for scores in find_scores(out, studies, ("table1", "sweep", "headline")):
        there = {arm for line in scores.data["tasks"].values() for arm in line["arms"]}
        arms = [arm for arm in ("swe-f", "swe-a", "swe-m") if arm in there]
        found = judge_tasks(scores.data, arms) if arms else None
        if found is not None:
            return TASKS_CLAIM.told(
                found,
                evidence=found.evidence + scores.origin,
                figure=scores.name,
                command=_command(scores.data["table"]),
            )
    return TASKS_CLAIM.told(None)


def _command(table: str) -> str:
    return (
        f"python paper_repro.py {table}; python -m bert.finetune.arms {table} --task TASK "
        "--data FOLDER; python paper_repro.py claims"
    )


def judge_tasks(scores: dict[str, Any], arms: Sequence[str]) -> Finding | None:
    """Judge "better than the baseline on most tasks"; None without runs.

    "holds": every arm's paired interval lies above the baseline's score on more than
    half of the tasks and, where the doubled baseline was fine-tuned, the arm's mean reaches that
    baseline's on more than half too. "fails": some arm is worse on more than half. Else
    "no gain". A task whose fine-tunes are all degenerate counts for nobody.
    """
    counts = {arm: _count(scores, arm) for arm in arms}
    if not all(found["tasks"] for found in counts.values()):
        return None
    words, ahead, behind = [], [], []
    for arm, found in counts.items():
        n, reached = found["tasks"], found["reached"]
        text = f"{arm} better on {found['better']} of {n} tasks, worse on {found['worse']}"
        if found["doubled"]:
            text += f", at or above {DOUBLE} on {reached} of {found['doubled']}"
        words.append(text)
        ahead.append(2 * found["better"] > n and (not found["doubled"] or 2 * reached > n))
        behind.append(2 * found["worse"] > n)
    verdict, qualifier = Verdict.FAILS if any(behind) else Verdict.NO_GAIN, "small"
    if all(ahead):
        verdict = Verdict.HOLDS
    if not any(found["intervals"] for found in counts.values()):
        verdict, qualifier = Verdict.OPEN, "one seed: no interval"
    seeds = sorted(
        {
            line["arms"][arm]["score"]["n"]
            for line in scores["tasks"].values()
            for arm in arms
            if arm in line["arms"]
        }
    )
    size = scores["study"]["size"]
    return Finding.measured(
        verdict,
        f"fine-tuned scores: {'; '.join(words)}; n = {', '.join(map(str, seeds))} paired "
        f"pre-training seeds, {size} model",
        qualifier,
    )


def _count(scores: dict[str, Any], arm: str) -> dict[str, int]:
    """Count tasks by verdict, further parts of a task not counted; ``reached``: the doubled's."""
    found = {"tasks": 0, "better": 0, "worse": 0, "doubled": 0, "reached": 0, "intervals": 0}
    for name, line in scores["tasks"].items():
        entry = line["arms"].get(arm)
        if name != line["task"] or entry is None or "difference" not in entry:
            continue
        found["tasks"] += 1
        found["intervals"] += entry["difference"]["low"] is not None
        if entry["verdict"] in ("better", "worse"):
            found[entry["verdict"]] += 1
        double = line["arms"].get(DOUBLE)
        if double is not None:
            values, over = entry["values"], double["values"]
            gap = Interval.of([values[seed] - over[seed] for seed in values if seed in over])
            found["doubled"] += 1
            found["reached"] += gap.mean >= 0 and entry["verdict"] != "all degenerate"
    return found


TASKS_CLAIM = Claim(
    "TAB1-TASKS",
    "Wikipedia + BookCorpus, Pre-LN, 500k updates: SWE-F, SWE-A and SWE-M beat the baseline at "
    "500k and reach that at 1M on most tasks",
    "Table 1",
    "",
    "docs/finetune.md#what-it-gave-here",
    judge_tasks,
    _command("table1"),
)
