"""Does bfloat16 cost quality? A table of one study in float32 beside the same in bfloat16.

Both begin with the same weights by seed and see the same batches and masked tokens; dropout, where
there is any, differs where another attention kernel draws it (swe.run.plain_attention). Arms that
both tables have at one rate are compared at equal updates, paired by seed:

    python paper_repro.py headline --text wiki.txt.xz --out f32 --set rates=2e-3
    python paper_repro.py headline --text wiki.txt.xz --out bf16 --set rates=2e-3 precision=bfloat16
    python -m benchmarks.precision F32/headline.json BF16/headline.json \\
        --out records/precision.json
"""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert.study.asked import GROWING
from bert.study.table_study import TableStudy
from evidence.commands import ended
from evidence.comparison import compare
from evidence.results import read_json, reading
from figures.pages.studies import without_folders
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import write_json
from swe.base.interrupt import Stop
from swe.base.options import Parser

NAME = "benchmarks.precision"
BOTH = ("float32", "bfloat16")
MAY_DIFFER = ("precision", *GROWING)
"""Fields of the two studies."""


def beside(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record holds, of tables as ``bert.study.tables`` writes them.

    ConfigError for studies that differ in more than their precision, for other precisions, and
    where no arm is in both.
    """
    tables = dict(zip(BOTH, (wide, narrow), strict=True))
    for precision, table in tables.items():
        if table["study"]["precision"] != precision:
            raise ConfigError(
                f"precision = {table['study']['precision']!r}: must be {precision!r}, the first "
                "table float32, the second bfloat16"
            )
    one, two = (to_dict(from_dict(TableStudy, table["study"])) for table in tables.values())
    for name in one.keys() | two.keys():
        if name not in MAY_DIFFER and one.get(name) != two.get(name):
            raise ConfigError(
                f"{name}: must be the same in both tables, is {one.get(name)!r} and "
                f"{two.get(name)!r}"
            )
    if wide.get("blind") != narrow.get("blind"):
        raise ConfigError("text: must be the same in both tables; their best blind losses differ")
    arms = {}
    for name, arm in wide["arms"].items():
        other = narrow["arms"].get(name, {})
        if "values" in arm and "values" in other and arm["rate"] == other["rate"]:
            values = dict(zip(BOTH, (arm["values"], other["values"]), strict=True))
            losses = {p: {int(seed): v for seed, v in own.items()} for p, own in values.items()}
            arms[name] = {"rate": arm["rate"]} | compare(losses, BOTH[0])
    if not arms:
        raise ConfigError("arms: must be in both tables, at one rate; none is")
    return {
        "environments": {precision: _where(table) for precision, table in tables.items()},
        "study": two,
        "blind": narrow.get("blind"),
        "arms": arms,
    }


def _where(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a table was made; folders on that machine are nobody's business."""
    found = dict(table["environment"])
    return found | {"command": without_folders(found["command"])}


def main() -> int:
    """Compare and write the record."""
    parser = Parser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("float32", type=Path, help="table of the runs in float32")
    parser.add_argument("bfloat16", type=Path, help="table of the runs in bfloat16")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    given = parser.parse_args()

    def work(late: Stop) -> None:
        tables = []
        for path in (given.float32, given.bfloat16):
            table = read_json(path)
            if table is None:
                raise ConfigError(f"{path}: is not there; name a table of finished runs")
            with reading(path):
                _ = table["study"]["precision"], table["arms"], table["environment"]
            tables.append(table)
        write_json(given.out, beside(*tables))

    return ended(NAME, work)


if __name__ == "__main__":
    sys.exit(main())
