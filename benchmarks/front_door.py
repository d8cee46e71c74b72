"""How long does ``import swe`` take, beside an empty program and beside torch?

    python -m benchmarks.front_door --out records/front_door.json

Processor seconds of whole processes, in turn, so that the machine's drift meets all alike.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser

PROGRAMS = {
    "nothing": "pass",
    "import swe": "import swe",
    "import torch": "import torch",
    "a name": "from swe import adopt",
}


def processor_seconds(program: str) -> float:
    """Return the processor time of one fresh interpreter that runs ``program``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="runs of each program")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(options.runs):
        for name, program in PROGRAMS.items():
            seconds[name].append(processor_seconds(program))
    summary = {
        name: {
            "median": round(statistics.median(values), 4),
            "least": round(min(values), 4),
            "most": round(max(values), 4),
            "n": len(values),
        }
        for name, values in seconds.items()
    }
    write_json(options.out, {"environment": host(), "processor_seconds": summary})
    for name, row in summary.items():
        print(f"{name:<14} {row['median']:.3f} s ({row['least']:.3f} to {row['most']:.3f})")


if __name__ == "__main__":
    main()
