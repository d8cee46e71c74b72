"""Are these results those that come with the package? Each quantity with its tolerance, in a table.

``python paper_repro.py check RESULTS`` compares claims.json, the data of the figures and the BERT
comparison of a results folder with records/default/. Tolerances are arguments about processors:

* Words (verdict, rigour): equal. They are decided by numbers with room, so that rounding moves
  none; one that moves is a finding.
* theory/, closed forms and descent on them: float64, good to 1e-10 by their own tests; what differs
  between processors is the last bit of exp, log and sums. Relative 1e-6, because step counts and
  simulations amplify that over thousands of steps; absolute 1e-9, because some quantities ARE
  rounding (the largest difference of two equal descents).
* toy/, trained on the core: sums in another order change the last digits, a few hundred updates
  amplify them: relative 1e-3. Where a grid of rates reaches the edge of stability, its last runs
  are chaotic, and so is what is read off them: wider for those results, and the losses at every
  rate of a grid (mean_by_rate) are left out.
* Seen with all vector instructions of torch, numpy and BLAS switched off on one machine, against
  all of them: theory within 2e-9 but for gradient noise (1 %), toys within 1e-3 but for moments
  (0.006 absolute), predictions (1 %) and mean_by_rate (any).
* bert/: 3000 updates in float32 are chaotic, and the same run on another processor is another draw.
  So arms are compared as two samples: the 95 % intervals of the final loss, and of the difference
  to the reference, must overlap.

Seconds are never compared. records/default/figures.json, which ``python -m figures.pages.readme
--from RESULTS`` writes anew, holds every caption's numbers, and a sample of the others, of each
result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from swe.base.environment import host
from swe.base.errors import SweError
from swe.base.files import plain_name, read_json

FORMAT, VERSION = "share-then-unshare figure data", 1
SAMPLE = 60
"""Numbers of a result that are kept beside those of its caption, evenly spaced."""


class Tolerance(NamedTuple):
    """Room for |one - other|: relative to the larger, or absolute."""

    relative: float
    absolute: float

    def holds(self, one: float, other: float) -> bool:
        """Whether two numbers are within it; two infinities or NaNs are one number."""
        if not (math.isfinite(one) and math.isfinite(other)):
            return repr(one) == repr(other)
        room = max(self.absolute, self.relative * max(abs(one), abs(other)))
        return abs(one - other) <= room

    def __str__(self) -> str:
        return f"{self.relative:g} relative, {self.absolute:g} absolute"


TOLERANCES = {
    "theory": Tolerance(1e-6, 1e-9),
    "theory/gradient_noise": Tolerance(0.05, 1e-3),
    "toy": Tolerance(1e-3, 1e-6),
    "toy/moments": Tolerance(0.05, 0.03),
    "toy/predictions": Tolerance(0.05, 1e-3),
}
"""By result, or by area."""
CHAOTIC = "mean_by_rate"


class Row(NamedTuple):
    """One quantity of the table."""

    quantity: str
    shipped: str
    yours: str
    tolerance: str
    ok: bool


class CheckError(SweError, ValueError):
    """What should be compared is no result of this program, or of another scale or version."""


def check(results: Path, shipped: Path, say: Callable[[str], None] = print) -> int:
    """Compare a results folder with the shipped records; print the table, return 0 or 1.

    CheckError, in one line, for a folder that cannot be compared.
    """
    if not results.is_dir():
        raise CheckError(f"{results}: is no folder of results")
    rows = [
        *_claims(results, shipped),
        *_figures(results, shipped),
        *_comparison(results, shipped),
    ]
    for line in table(rows):
        say(line)
    bad = sum(not row.ok for row in rows)
    say(f"\n{results}: " + (f"{bad} quantities differ" if bad else "agrees with the records"))
    return 1 if bad else 0


def table(rows: Sequence[Row]) -> list[str]:
    """Return the table's lines, columns aligned."""
    head = Row("quantity", "shipped", "yours", "tolerance", True)
    widths = [max(len(str(row[i])) for row in (head, *rows)) for i in range(4)]
    lines = []
    for row in (head, *rows):
        last = "" if row is head else ("ok" if row.ok else "DIFFERS")
        cells = [str(cell).ljust(width) for cell, width in zip(row[:4], widths, strict=True)]
        lines.append("  ".join([*cells, last]).rstrip())
    return lines


def numbers_in(data: Any, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield (path, number) of everything numeric in JSON data, in a fixed order."""
    if isinstance(data, bool) or data is None or isinstance(data, str):
        return
    if isinstance(data, int | float):
        yield where, float(data)
    elif isinstance(data, dict):
        for name in sorted(data):
            yield from numbers_in(data[name], f"{where}.{name}" if where else name)
    else:
        for i, value in enumerate(data):
            yield from numbers_in(value, f"{where}[{i}]")


def thinned(data: Any) -> dict[str, float]:
    """Return a result's numbers: all of its caption, and ``SAMPLE`` others, evenly spaced."""
    found = [pair for pair in numbers_in(data) if CHAOTIC not in pair[0]]
    caption = [pair for pair in found if pair[0].startswith("caption_numbers")]
    others = [pair for pair in found if not pair[0].startswith("caption_numbers")]
    step = max(1, math.ceil(len(others) / SAMPLE))
    return dict([*caption, *others[::step]])


def figure_data(results: Path) -> dict[str, Any]:
    """Return the record of a results folder's figure data, as it ships with the package."""
    kept = {}
    for area in ("theory", "toy"):
        for path in sorted((results / area).glob("*.json")):
            record = read_json(path)
            if not path.stem.endswith("claims"):
                scale = record["config"]["scale"]
                kept[f"{area}/{path.stem}"] = thinned(record["data"])
    if not kept:
        raise CheckError(f"{results}: holds no results of theory and toys")
    return {
        "format": FORMAT, "version": VERSION, "scale": scale, "environment": host(),
        "results": kept,
    }  # fmt: skip


def _claims(results: Path, shipped: Path) -> Iterator[Row]:
    ours = _by_id(shipped / "claims.json")
    path = results / "claims.json"
    if not path.exists():
        yield Row("claims.json", f"{len(ours)} claims", "missing", "", False)
        return
    theirs = _by_id(path)
    same = 0
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        one, other = (_words(found.get(name)) for found in (ours, theirs))
        same += one == other
        if one != other:
            yield Row(name, one, other, "equal", False)
    yield Row("claims, words of all others", str(same), str(same), "equal", True)


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    found = _read(path)
    try:
        return {record["id"]: record for record in found}
    except (TypeError, KeyError):
        raise CheckError(f"{path}: is no ledger of claims") from None


def _words(record: Mapping[str, Any] | None) -> str:
    """Return the words of a claim that must be equal."""
    if record is None:
        return "missing"
    return ", ".join(str(record[name]) for name in ("verdict", "rigour") if record.get(name))


def _figures(results: Path, shipped: Path) -> Iterator[Row]:
    path = shipped / "figures.json"
    record = _read(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise CheckError(f"{path}: is no {FORMAT}")
    if record.get("version") != VERSION:
        raise CheckError(f"{path}: version {record.get('version')!r}; this program reads {VERSION}")
    for name, ours in record["results"].items():
        tolerance = TOLERANCES.get(name, TOLERANCES[name.split("/")[0]])
        file = results / f"{name}.json"
        if not file.exists():
            yield Row(name, f"{len(ours)} numbers", "missing", str(tolerance), False)
            continue
        theirs = _read(file)
        try:
            scale, data = theirs["config"]["scale"], theirs["data"]
        except (TypeError, KeyError):
            raise CheckError(f"{file}: is no result of this program") from None
        if scale != record["scale"]:
            raise CheckError(
                f"{file}: is of scale {scale}; those on record are of scale {record['scale']}"
            )
        yield from _compared(name, ours, dict(numbers_in(data)), tolerance)


def _compared(
    name: str, ours: Mapping[str, float], theirs: Mapping[str, float], tolerance: Tolerance
) -> Iterator[Row]:
    """One row for each number outside, and one for all that are within."""
    within, worst = 0, 0.0
    for place, value in ours.items():
        other = theirs.get(place)
        if other is None or not tolerance.holds(value, other):
            yours = "missing" if other is None else f"{other:.9g}"
            yield Row(f"{name}: {place}", f"{value:.9g}", yours, str(tolerance), False)
        else:
            within += 1
            size = max(abs(value), abs(other))
            worst = max(worst, abs(value - other) / size if size and math.isfinite(size) else 0.0)
    yield Row(name, f"{within} numbers", f"within {worst:.1e}", str(tolerance), True)


def _comparison(results: Path, shipped: Path) -> Iterator[Row]:
    ours = _read(shipped / "comparison.json")
    pointer = results / "bert" / "current.json"
    if not pointer.exists():
        yield Row("bert comparison", f"{len(ours['arms'])} arms", "missing", "", False)
        return
    try:
        folder = plain_name(_read(pointer)["folder"])
    except (TypeError, KeyError, ValueError) as error:
        raise CheckError(f"{pointer}: names no folder ({error})") from None
    path = results / "bert" / folder / "comparison.json"
    theirs = _read(path)
    try:
        if theirs["study"] != ours["study"]:
            raise CheckError(
                f"{path}: is another study than the one on record (its settings differ)"
            )
        for arm, entry in ours["arms"].items():
            for what in ("loss", "difference"):
                if what in entry:
                    one, other = (
                        _interval(e["arms"].get(arm, {}).get(what)) for e in (ours, theirs)
                    )
                    yield Row(
                        f"bert: {arm}, {what}", _text(one), _text(other), "intervals overlap",
                        other is not None and one is not None
                        and one[0] <= other[1] and other[0] <= one[1],
                    )  # fmt: skip
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckError(f"{path}: is no comparison ({error!r})") from None


def _interval(entry: Mapping[str, Any] | None) -> tuple[float, float] | None:
    if entry is None or entry["low"] is None:
        return None
    return float(entry["low"]), float(entry["high"])


def _text(interval: tuple[float, float] | None) -> str:
    return "missing" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise CheckError(f"{path}: cannot be read ({error})") from None
