"""The factors' cells on record in words: the block ``factors`` of docs/languages.md."""

from __future__ import annotations

from pathlib import Path

from figures.base.tables import markdown
from figures.bert.factors import in_words, rows

HEADINGS = {
    "cell": "Cell",
    "n": "n",
    "baseline": "SWE-F minus baseline, 95 %",
    "equal-start": "SWE-F minus equal start, 95 %",
    "expected": "Gain beside the centre's, expected",
    "beside": "Came, 95 %",
    "agrees": "As expected",
}


def table(records: Path) -> str:
    """Return every cell, run or not; ``records`` is the folder of the studies beside theirs."""
    found = rows(records.parent / "factors")
    if not found:
        return "not run"
    fraction = "; ".join(
        f"{row.name}: {in_words(row)['differs']}"
        for row in found
        if row.differs and not row.expected
    )
    said = [row.agrees for row in found if row.expected != "same" and row.agrees is not None]
    came = (
        f"{sum(said)} of {len(said)} cells expected larger or smaller came so by the sign of the "
        "mean; all are held against one centre, whose own seeds move them together. "
        if said
        else ""
    )
    rest = f"{came}The fraction: {fraction}."
    return f"{markdown(HEADINGS, [in_words(row) for row in found])}\n\n{rest}"
