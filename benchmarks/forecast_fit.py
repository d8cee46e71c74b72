"""Fit the forecast to measured cells, or see how it does on others.

    python -m benchmarks.forecast_fit --fit fit.jsonl --record records/forecast
    python -m benchmarks.forecast_fit --judge judge.jsonl --record records/forecast

`--fit` writes the calibration that `swe.predict` ships, one for each length of rehearsals, and
where its cells were measured. `--judge` writes how often it and simpler rules are right on cells
that it was not fitted to.
"""

from pathlib import Path

from swe.base.environment import host
from swe.base.files import read_json, read_lines, write_json
from swe.base.options import Parser
from swe.predict.calibration import SHIPPED, load, save
from swe.predict.measured import SHARES
from theory.toys.cells import FITTED
from theory.toys.forecasting import calibration, scores


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, help="cells to fit the calibration to, JSON lines")
    parser.add_argument("--judge", type=Path, help="cells to judge it on")
    parser.add_argument("--name", default="forecasts", help="of the judging's record")
    parser.add_argument("--record", type=Path, required=True, help="folder of the JSON records")
    given = parser.parse_args()
    given.record.mkdir(parents=True, exist_ok=True)
    fitted = given.record / "fitted.json"
    if given.fit is not None:
        entries = read_lines(given.fit)
        save(SHIPPED, {share: calibration(entries, share) for share in SHARES})
        write_json(fitted, read_json(given.fit.with_suffix(".environment.json")))
        print(f"wrote {SHIPPED}: {len(entries)} cells")
    if given.judge is not None:
        entries = read_lines(given.judge)
        record = {
            "unseen": sorted({entry["family"] for entry in entries} - {*FITTED}),
            "environment": host(),
            "fitted": read_json(fitted),
            "measured": read_json(given.judge.with_suffix(".environment.json")),
            "scores": [scores(entries, load(share)) for share in SHARES],
        }
        write_json(given.record / f"{given.name}.json", record)


if __name__ == "__main__":
    main()
