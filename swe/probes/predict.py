"""Will sharing help my run? One command.

    python -m swe.probes.predict my_run.py:make --updates 20000

``my_run.py`` has a function ``make()`` that returns a ``swe.Run``. Exit status: 0 with a forecast,
whatever it says; 2 for what cannot be done, in one line; 130 interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from swe.base.errors import ConfigError, SweError
from swe.base.options import Parser
from swe.base.progress import Bars
from swe.predict.forecast import Forecast, forecast
from swe.predict.measured import SHARES
from swe.probes.measure import cost, measure
from swe.probes.run import Make

FAR = 3.0
"""Distance above which a run is said to be far from all that is known."""


def load_make(where: str) -> Make:
    """Return the function that ``FILE.py:NAME`` names. Raises ConfigError where there is none."""
    path, colon, name = where.rpartition(":")
    file = Path(path)
    if not colon or file.suffix != ".py":
        raise ConfigError(f"{where}: must be FILE.py:FUNCTION, such as my_run.py:make")
    if not file.is_file():
        raise ConfigError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    make = getattr(module, name, None)
    if not callable(make):
        raise ConfigError(f"{path}: has no function {name}")
    found: Make = make
    return found


def in_words(found: Forecast, updates: int, floor: float) -> str:
    """Say a forecast as a person would: three lines, four where the run is like no known one."""
    above = "held-out loss" if floor == 0 else f"held-out loss above {floor:g}"
    verb = {"helps": "helps", "hurts": "hurts", "no gain": "brings nothing"}[found.verdict]
    kin = ", ".join(f"{name} {weight:.0%}" for name, weight in found.families)
    lines = [
        f"Sharing {verb}, by {found.sureness:.0%} of the known runs most like this one; if at all, "
        f"share for the first {found.until:.0%} ({round(found.until * updates)} of {updates} "
        "updates).",
        f"Expected {above}, against the better of baseline and equal start: "
        f"x {10**found.change:.2f} (80 % interval {10**found.low:.2f} to {10**found.high:.2f}).",
        f"Such a forecast was right {found.right:.0%} of the time on models of kinds it knew, "
        f"{found.right_unseen:.0%} on a kind it did not; chance is 33%. Most like: {kin}.",
    ]
    if found.distance > FAR:
        lines.append(
            f"This run is {found.distance:.1f} times as far from all known ones as they are from "
            "one another: take the second figure, or less."
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    assert __doc__ is not None
    parser = Parser(prog="predict", description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="FILE.py:FUNCTION", help="makes the run: returns a swe.Run")
    parser.add_argument("--updates", type=int, required=True, help="updates of the whole run")
    parser.add_argument(
        "--share",
        type=float,
        default=SHARES[0],
        help=f"length of the longer rehearsals, as a fraction of the run: one of {SHARES}",
    )
    parser.add_argument("--floor", type=float, default=0.0, help="least possible held-out loss")
    parser.add_argument("--json", action="store_true", help="print the forecast as JSON")
    given = parser.parse_args(arguments)
    try:
        make = load_make(given.run)
        price = cost(given.updates, given.share)
        print(f"rehearsals: {price.updates} updates, {price.share:.0%} of one run", file=sys.stderr)
        with Bars({"rehearsals": "updates"}) as bars:
            measured = measure(
                make,
                given.updates,
                share=given.share,
                floor=given.floor,
                progress=lambda done, total, what: bars("rehearsals", done, total, what),
            )
        found = forecast(measured)
    except SweError as error:
        print(f"predict: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("\npredict: stopped", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps(asdict(found)))
    else:
        print(in_words(found, given.updates, given.floor))
    return 0


if __name__ == "__main__":
    sys.exit(main())
