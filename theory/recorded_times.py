"""What the results of an area took where they were last measured, from a committed record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.files import read_json


def time_on_record(path: Path, areas: Sequence[str]) -> str | None:
    """Say the processor time of all results of ``areas`` in a record of benchmarks.result_times.

    None when there is no record of them. Results that were ended at a limit count with it, and the
    sum is then a lower bound and called so. Raises ValueError naming a file that is no record.
    """
    if not path.exists():
        return None
    try:
        record: dict[str, Any] = read_json(path)
        entries = {
            name: entry for name, entry in record["results"].items()
            if name.partition("/")[0] in areas
        }  # fmt: skip
        ended = [name for name, entry in entries.items() if "seconds" not in entry]
        total = sum(entry.get("seconds", entry.get("longer_than")) for entry in entries.values())
        device = record["environment"]["device"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a record of result times ({error!r})") from None
    if not entries:
        return None
    text = f"{_duration(total)} of processor time on {device}, in {len(entries)} results"
    if ended:
        text = f"more than {text} (not to the end: {', '.join(ended)})"
    return text


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
