"""The claim table and the comparison table: one list of rows for report, README and CSV.

Rows hold raw values; :func:`comparison_cells` says them in words. CSV gets the raw ones.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.claim import Verdict
from evidence.plateau import verdict_of
from figures.base.results import arm_order
from figures.base.style import arm_look
from figures.base.wording import count, fixed, interval
from swe.base.files import write_text

COMPARISON_HEADINGS: dict[str, str] = {
    "arm": "Arm",
    "n": "n",
    "loss": "Final loss (nats)",
    "difference": "Difference to reference",
    "verdict": "Verdict",
    "accuracy": "Accuracy",
    "untied_at": "Untied at update",
    "parameters": "Parameters, start → end",
    "seconds": "Seconds a run",
}
CLAIM_HEADINGS: dict[str, str] = {
    "id": "Claim",
    "statement": "What it says",
    "source": "Source",
    "verdict": "Verdict",
    "rigour": "Rigour",
    "evidence": "Evidence",
    "grounds": "How it was checked",
    "figure": "Figure",
    "command": "Command",
}


def comparison_rows(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row an arm, raw values; None where there is no interval or no difference."""
    rows = []
    for arm in arm_order(comparison):
        entry = comparison["arms"][arm]
        loss, gap = entry["loss"], entry.get("difference")
        rows.append(
            {
                "arm": arm,
                "n": loss["n"],
                "loss": loss["mean"],
                "loss_half_width": None if loss["low"] is None else loss["high"] - loss["mean"],
                "difference": None if gap is None else gap["mean"],
                "difference_low": None if gap is None else gap["low"],
                "difference_high": None if gap is None else gap["high"],
                "verdict": verdict_of(comparison, arm),
                "accuracy": _mean(entry["accuracy"].values()),
                "untied_at": _untied(entry["untied_at"].values()),
                "parameters_at_start": entry["parameters_at_start"],
                "parameters_at_end": entry["parameters_at_end"],
                "seconds": _mean(entry["seconds"].values()),
            }
        )
    return rows


def comparison_cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the rows in words, keyed as COMPARISON_HEADINGS."""
    cells = []
    for row in rows:
        half = row["loss_half_width"]
        gap = {
            "mean": row["difference"],
            "low": row["difference_low"],
            "high": row["difference_high"],
        }
        cells.append(
            {
                "arm": arm_look(row["arm"]).label,
                "n": str(row["n"]),
                "loss": fixed(row["loss"]) + ("" if half is None else f" ± {fixed(half)}"),
                "difference": "—" if row["difference"] is None else interval(gap),
                "verdict": row["verdict"],
                "accuracy": f"{100 * row['accuracy']:.1f} %",
                "untied_at": row["untied_at"] or "—",
                "parameters": f"{count(row['parameters_at_start'])} → "
                f"{count(row['parameters_at_end'])}",
                "seconds": f"{row['seconds']:.0f}",
            }
        )
    return cells


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _untied(seeds: Iterable[Sequence[int]]) -> str:
    """Return "50", or "40-180" for several unties; seeds that differ are told one by one."""
    words = [
        "" if not steps else str(steps[0]) if len(steps) == 1 else f"{steps[0]}-{steps[-1]}"
        for steps in seeds
    ]
    return words[0] if len(set(words)) == 1 else " / ".join(word or "never" for word in words)


def verdict_counts(claims: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Count the ledger's verdicts, in the order of the words."""
    found = Counter(claim["verdict"] for claim in claims)
    return {str(word): found[word] for word in Verdict if found[word]}


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write raw rows under the keys of the first one."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def markdown(headings: Mapping[str, str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return a markdown table of the columns in ``headings``."""
    lines = [list(headings.values()), ["---"] * len(headings)]
    lines += [[plain_markdown(row[key]) for key in headings] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plain_markdown(text: str) -> str:
    """Return ``text`` on one line of markdown, with nothing in it that is markup."""
    for mark in "\\|*_<>`[]":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
