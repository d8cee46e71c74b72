"""Block ``forecasts-studies`` of docs/forecast.md: what was forecast of a study, and what came.

A forecast lies in ``studies/NAME.json`` of the forecasts' records, the study in
``records/studies/NAME``; one that was not run yet says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evidence.cells import ARM
from evidence.comparison import Interval, differences, word_of
from evidence.results import read_json, reading
from figures.base.tables import markdown
from figures.base.wording import count, size_of

START = "equal-start"
HEADINGS = {
    "study": "Study",
    "sign": "Forecast (of the known runs most like it)",
    "change": "Loss, times, 80 %",
    "until": "Share until",
    "rehearsed": "In the rehearsal itself, times",
    "right": "Such a forecast is right, kinds known, kind unknown",
    "came": "Came",
    "moved": "Loss, times",
    "at": "Tied until, best",
}

NOT_RUN = {"came": "not run", "moved": "—", "at": "—"}


def table(records: Path) -> str:
    """Return every forecast, a row each; ``records``: the folder of the forecasts."""
    paths = sorted((records / "studies").glob("*.json"))
    rows = [_row(path, records.parent / "studies") for path in paths]
    if not rows:
        return "not run"
    known = [row for row in rows if row["came"] != NOT_RUN["came"]]
    right = sum(row["came"].startswith(f"{row['sign'].partition(' (')[0]},") for row in known)
    ended = f"The sign came as forecast in {right} of {len(known)} studies. " if known else ""
    return (
        f"{markdown(HEADINGS, rows)}\n\n{ended}Against the better of baseline and equal start, in "
        "mean over paired seeds; the loss is above the least possible one where that is known. "
        "Forecast at one rate; in the study every arm has its own."
    )


def _row(path: Path, studies: Path) -> dict[str, str]:
    found = read_json(path)
    with reading(path):
        said, study = found["forecast"], found["study"]
        at = found["environment"]["commit"]
        row = {
            "study": f"{path.stem}: {size_of(study)}, {study['placement'].capitalize()}-LN, "
            f"{count(found['measured']['updates'])} updates, forecast at {at[:10]}",
            "sign": f"{said['verdict']} ({said['sureness']:.0%})",
            "change": f"{10 ** said['change']:.2f} ({10 ** said['low']:.2f} to "
            f"{10 ** said['high']:.2f})",
            "until": f"{said['until']:.0%}",
            "rehearsed": rehearsed(found["measured"]["long"]),
            "right": f"{said['right']:.0%}, {said['right_unseen']:.0%}",
        }
    source = studies / path.stem / f"{found['table']}.json"
    data = read_json(source)
    if data is None:
        return row | NOT_RUN
    with reading(source):
        return row | came(data)


def rehearsed(ends: Mapping[str, float]) -> str:
    """Return the best tau's loss over the better control's in the longer rehearsal, and the tau.

    ``ends``: decades of the loss by arm, as a forecast's record has them.
    """
    tied = {arm: end for arm, end in ends.items() if arm.startswith(f"{ARM} ")}
    best = min(tied, key=lambda arm: tied[arm])
    change = tied[best] - min(ends["baseline"], ends[START])
    return f"{10**change:.3f}, until {float(best.removeprefix(f'{ARM} ')):.0%}"


def came(data: Mapping[str, Any]) -> dict[str, str]:
    """Return what a study's table says of SWE-F, at the tau that came out best.

    The verdict is that of its paired difference to the control whose mean loss is less.
    """
    arms = {name: arm for name, arm in data["arms"].items() if "loss" in arm}
    controls = [name for name in (data["reference"], START) if name in arms]
    tied = [name for name in arms if name == ARM or name.startswith(f"{ARM} tau")]
    if not tied:
        return NOT_RUN
    control, best = (
        min(names, key=lambda name: float(arms[name]["loss"]["mean"])) for names in (controls, tied)
    )
    gap = Interval.of(differences(data, best, control))
    return {
        "came": f"{word_of(gap, data)}, n = {gap.n}",
        "moved": _times(arms[best], arms[control]),
        "at": _tau(best, data["study"]),
    }


def _times(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the ratio of two mean losses above their floor, where that is known."""
    losses = [arm["loss"]["mean"] - (arm.get("floor") or 0.0) for arm in (one, other)]
    return f"{losses[0] / losses[1]:.2f}" if min(losses) > 0 else "—"


def _tau(arm: str, study: Mapping[str, Any]) -> str:
    """Return until when an arm is tied: by its name, or the study's tau."""
    _, _, named = arm.partition(" tau ")
    return named or f"{study['tau']:.0%}"
