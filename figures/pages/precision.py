"""Table of what bfloat16 costs in quality: the record of ``benchmarks/precision.py``."""

from __future__ import annotations

from typing import Any

from evidence.plateau import told
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, interval, plain, size_of

HEADINGS = {
    "arm": "Arm",
    "rate": "Peak rate",
    "n": "Seeds",
    "wide": "float32",
    "narrow": "bfloat16",
    "cost": "Cost",
}


def table(record: dict[str, Any]) -> str:
    """Return final losses in nats, and the paired differences with their 95 % intervals."""
    if "not_run" in record:
        return f"not run: {record['not_run']}"
    rows: list[dict[str, str]] = []
    each: dict[str, Any] = {}
    for arm, found in record["arms"].items():
        cost = found["bfloat16"]["difference"]
        rows.append(
            {
                "arm": arm_look(arm).label,
                "rate": f"{found['rate']:g}",
                "n": str(cost["n"]),
                "wide": plain(found["float32"]["loss"]["mean"]),
                "narrow": plain(found["bfloat16"]["loss"]["mean"]),
                "cost": interval(cost),
            }
        )
        each |= {f"{arm}, {one}": found[one] for one in ("float32", "bfloat16")}
    here, study = record["environments"]["bfloat16"], record["study"]
    words = told({"blind": record["blind"], "arms": each})
    legend = (
        f"Held-out loss in nats after {count(study['steps'])} updates, and bfloat16's minus "
        f"float32's, paired by seed, with its 95 % interval. {size_of(study)}, {study['rows']} "
        f"rows of {study['length']} tokens{f'; {words}' if words else ''}. {here['device']}, "
        f"`{here['command']}`."
    )
    return f"{markdown(HEADINGS, rows)}\n\n{legend}"
