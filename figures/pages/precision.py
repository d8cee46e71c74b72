"""Table of what bfloat16 costs in quality: the record of ``benchmarks/precision.py``."""

from __future__ import annotations

from typing import Any

from evidence.plateau import told
from figures.base.tables import markdown
from figures.base.wording import count, interval, plain

HEADINGS = {"arm": "Arm", "n": "Seeds", "wide": "float32", "narrow": "bfloat16", "cost": "Cost"}


def table(record: dict[str, Any]) -> str:
    """Return final losses in nats, and the paired differences with their 95 % intervals."""
    if "not_run" in record:
        return f"not run: {record['not_run']}"
    rows = []
    for arm, found in record["arms"].items():
        cost = found["bfloat16"]["difference"]
        rows.append(
            {
                "arm": arm,
                "n": str(cost["n"]),
                "wide": plain(found["float32"]["loss"]["mean"]),
                "narrow": plain(found["bfloat16"]["loss"]["mean"]),
                "cost": interval(cost),
            }
        )
    here, runs = record["environment"], record["settings"]
    each = {
        f"{arm}, {one}": entry
        for arm, both in record["arms"].items()
        for one, entry in both.items()
    }
    words = told({"blind": record["blind"], "arms": each})
    legend = (
        f"Held-out loss in nats after {count(record['steps'])} updates at {record['rate']:g}, and "
        "bfloat16's minus float32's, paired by seed, with its 95 % interval. "
        f"{runs['model']['layers']}x{runs['model']['hidden']}, {runs['rows']} rows of "
        f"{runs['data']['length']} tokens, dropout {runs['model']['dropout']:g}; {words}. "
        f"{here['device']}."
    )
    return f"{markdown(HEADINGS, rows)}\n\n{legend}"
