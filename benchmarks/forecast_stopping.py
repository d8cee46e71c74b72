"""Judge the fitted untie rule of `theory.toys.stopping` on measured cells, beside the cosine rule.

    python -m benchmarks.forecast_stopping --fit results/fit.jsonl --judge results/judge.jsonl \\
        --record records/forecast

The cells are those of `benchmarks.forecast_fit`. Writes `stopping.json` into the record's folder,
and what the rule sees of the cells beside its module, so that a default run judges it again.
"""

from pathlib import Path

from swe.base.environment import host
from swe.base.files import read_json, read_lines, write_json
from swe.base.options import Parser
from theory.toys.stopping import JUDGED, KNOWN, SHIPPED, Watched, save, study


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", type=Path, required=True, help="cells that are known, JSON lines")
    parser.add_argument("--judge", type=Path, required=True, help="cells to judge it on")
    parser.add_argument("--record", type=Path, required=True, help="folder of the JSON records")
    given = parser.parse_args()
    files = {KNOWN: given.fit, JUDGED: given.judge}
    save(SHIPPED, {name: Watched.of(read_lines(path)) for name, path in files.items()})
    found = study(0, "full")
    record = {
        "environment": host(),
        "measured": {
            name: read_json(path.with_suffix(".environment.json")) for name, path in files.items()
        },
        **found,
    }
    write_json(given.record / "stopping.json", record)
    for name, split in found["splits"].items():
        for family, row in split.items():
            gap = row["difference"]
            print(
                f"{name}, {family}: fitted {row['fitted']:.3f}, cosine {row['cosine']:.3f}, "
                f"difference {gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}], "
                f"{row['verdict']}"
            )


if __name__ == "__main__":
    main()
