"""What the methods' own machinery costs, from records: transforms once, samplers an update, and
what a fit gives for its cost."""

from __future__ import annotations

from typing import Any

from figures.base.tables import markdown
from figures.base.wording import fixed, interval, listing

SECONDS = 2.0
"""Bar of a transform of a BERT of 12 x 768, set beforehand; of memory beside source and target it
is a layer, of a sampler this share of an update:"""
SHARE = 0.01


def transforms(record: dict[str, Any]) -> str:
    """Every transform, one a row, and which miss the bars."""
    headings = {
        "name": "Transform",
        "source": "From",
        "seconds": "Seconds",
        "products": "Of them matrix products, alone",
        "beyond": "Memory beside both models, MiB",
    }
    rows = [
        {
            "name": name,
            "source": one["source"],
            "seconds": fixed(one["seconds"], 2),
            "products": fixed(one["product_seconds"], 2) if one["product_flops"] else "—",
            "beyond": f"{max(0, one['beyond_bytes']) / 2**20:.0f}",
        }
        for name, one in sorted(record["transforms"].items(), key=lambda item: item[1]["seconds"])
    ]
    found = record["transforms"]
    layer = max(one["layer_bytes"] for one in found.values())
    slow = [name for name, one in found.items() if one["seconds"] > SECONDS]
    large = [name for name, one in found.items() if one["beyond_bytes"] > one["layer_bytes"]]
    return (
        f"{markdown(headings, rows)}\n\nTo a BERT of {record['target']}, weights and both moments, "
        f"processor time of one thread on {record['environment']['device']}. The bars, "
        f"{SECONDS:g} s and one layer ({layer / 2**20:.0f} MiB): {_missed(slow)}; "
        f"{_missed(large)}."
    )


def samplers(record: dict[str, Any]) -> str:
    """What a sampler and the penalty add to an update."""
    headings = {"model": "Model", "sampler": "Layer drop adds", "penalty": "The penalty adds"}
    rows = [
        {"model": row["model"]} | {name: _share(row[name]) for name in ("sampler", "penalty")}
        for row in record["rows"]
    ]
    slow = [row["model"] for row in record["rows"] if row["sampler"]["overhead"] > SHARE]
    return (
        f"{markdown(headings, rows)}\n\nOf an update that runs every layer, least and most of n = "
        f"{record['rows'][0]['n']}, processor time on {record['environment']['device']}. The bar "
        f"of a sampler, {100 * SHARE:g} %: {_missed(slow)}."
    )


def fits(record: dict[str, Any]) -> str:
    """Fitted maps against their own starts, copies, and copies trained for as many updates."""
    headings = {
        "fitted": "Fitted map",
        "against": "Against",
        "difference": "Held-out loss minus its, 95 %",
        "verdict": "Verdict",
    }
    rows = []
    for pair, arms in record["pairs"].items():
        fitted, against = pair.split(" - ")
        found = arms["fitted"]
        gap = found["difference"]
        rows.append(
            {
                "fitted": fitted.removesuffix(" fitted"),
                "against": against,
                "difference": f"{interval(gap, 3)}, n = {gap['n']}",
                "verdict": found["verdict"],
            }
        )
    small, large = record["sizes"]
    prices = listing(
        f"{method} {fixed(updates, 2)}" for method, updates in record["updates a step"].items()
    )
    return (
        f"{markdown(headings, rows)}\n\nFrom {small} to {large} on the composition language, "
        f"{record['fit']} updates of the fit, or of the copies. One of the fit costs as many "
        f"updates of the large model: {prices}. {record['environment']['device']}."
    )


def _share(found: dict[str, float]) -> str:
    mean, least, most = (
        fixed(100 * found[name], 1, sign=True) for name in ("overhead", "least", "most")
    )
    return f"{mean} % ({least} to {most})"


def _missed(names: list[str]) -> str:
    return f"missed by {listing(sorted(names))}" if names else "met by all"
