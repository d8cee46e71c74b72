"""How long the commands took where they were last measured, from committed records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swe.base.environment import host
from swe.base.files import read_json, write_json


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


def announced(records: Path, scale: str, areas: Mapping[str, Iterable[str]], *, whole: bool) -> str:
    """Return lines on how long this took where it was last measured, ending in a line's end.

    ``records`` is the package's folder of records, ``areas`` the results to be computed, by area;
    ``whole``: whether it is the default run. Empty where nothing is on record.
    """
    times = records / "default" / "times.json"
    if scale == "small" and whole and times.exists():
        known = read_json(times)
        text = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in known["steps"].items())
        return f"all verbs took, on {known['device']} with {known['cores']} processes: {text}\n"
    if scale == "full" and areas:
        known_time = time_on_record(records / "full" / "result_times.json", areas)
        return f"{' and '.join(areas)} took {known_time}\n" if known_time else ""
    return ""


def note_times(path: Path, seconds: Mapping[str, float], jobs: int, device: str | None) -> None:
    """Write how long each step of this command took, and on what.

    Where the file is of the same code, device and number of processes, its steps stay: of a step in
    both the longer time, since what was there already takes none. A torn file is replaced.
    """
    here = host() | ({"device": device} if device else {})
    same = {"cores": jobs, **{name: here[name] for name in ("device", "commit", "dirty")}}
    steps = {name: round(value, 1) for name, value in seconds.items()}
    try:
        before: dict[str, Any] = read_json(path)
        if all(before[name] == value for name, value in same.items()):
            earlier: dict[str, float] = before["steps"]
            steps = earlier | {
                name: max(one, earlier.get(name, one)) for name, one in steps.items()
            }
    except (OSError, ValueError, TypeError, KeyError):
        pass  # none, or no record
    total = round(sum(steps.values()), 1)
    when = {name: here[name] for name in ("command", "time")}
    write_json(path, {"steps": steps, "total": total, **same, **when})


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
