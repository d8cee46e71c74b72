"""Fit the forecast to measured cells, or see how it does on others.

    python -m benchmarks.forecast_fit --fit fit.jsonl
    python -m benchmarks.forecast_fit --judge judge.jsonl --out records/forecast/scores.json

`--fit` writes the calibration that `swe.predict` ships, one for each length of rehearsals.
`--judge` writes how often it and simpler rules are right on cells that it was not fitted to.
"""

import argparse
from pathlib import Path

from swe.base.environment import host
from swe.base.files import read_json, read_lines, write_json
from swe.predict.calibration import SHIPPED, load, save
from swe.predict.measured import SHARES
from theory.toys.forecasting import calibration, scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, help="cells to fit the calibration to, JSON lines")
    parser.add_argument("--judge", type=Path, help="cells to judge it on")
    parser.add_argument("--out", type=Path, help="JSON record of the judging")
    given = parser.parse_args()
    if given.fit is not None:
        entries = read_lines(given.fit)
        save(SHIPPED, {share: calibration(entries, share) for share in SHARES})
        print(f"wrote {SHIPPED}: {len(entries)} cells")
    if given.judge is not None and given.out is not None:
        entries = read_lines(given.judge)
        measured = read_json(given.judge.with_suffix(".environment.json"))
        found = [scores(entries, load(share)) for share in SHARES]
        given.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(given.out, {"environment": host(), "measured": measured, "scores": found})
        print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
