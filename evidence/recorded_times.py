"""What the results of an area took where they were last measured, from a committed record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swe.base.files import read_json


def time_on_record(path: Path, results: Mapping[str, Iterable[str]]) -> str | None:
    """Say the processor time of ``results`` (by area) in a record of benchmarks.result_times.

    None when there is no record of any. Results that were ended at a limit count with it; where
    there are such, or ones that were never measured, the sum is a lower bound and called so. Raises
    ValueError naming a file that is no record.
    """
    if not path.exists():
        return None
    names = [f"{area}/{name}" for area in results for name in results[area]]
    try:
        record: dict[str, Any] = read_json(path)
        entries = {name: record["results"][name] for name in names if name in record["results"]}
        ended = [name for name, entry in entries.items() if "seconds" not in entry]
        total = sum(
            entry["longer_than"] if name in ended else entry["seconds"]
            for name, entry in entries.items()
        )
        device = record["environment"]["device"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a record of result times ({error!r})") from None
    if not entries:
        return None
    text = f"{_duration(total)} of processor time on {device}"
    unknown = [name for name in names if name not in entries]
    reasons = [
        f"{reason}: {', '.join(listed)}"
        for reason, listed in (("not to the end", ended), ("not measured", unknown))
        if listed
    ]
    return f"more than {text} ({'; '.join(reasons)})" if reasons else text


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
