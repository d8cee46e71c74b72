"""Where and how the runs behind the report were made, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evidence.results import Table, comparison_source, read_json, reading
from figures.base.results import arm_order
from figures.base.style import arm_look
from figures.base.wording import count, plain

RUN_HEADINGS = {
    "run": "Run",
    "steps": "Updates",
    "tokens": "Tokens",
    "flops": "FLOP",
    "seconds": "Seconds",
    "device": "Device",
    "versions": "Versions",
    "commit": "Commit",
    "command": "Command",
}


def of_comparison(out: Path, comparison: dict[str, Any]) -> list[dict[str, str]]:
    """Return the record of every run that has a summary, in words."""
    folder = (out / str(comparison_source(out))).parent
    records = []
    for arm in arm_order(comparison):
        for seed in comparison["arms"][arm]["values"]:
            path = folder / f"{arm}-s{seed}" / "summary.json"
            summary = read_json(path)
            if summary is None:
                continue
            with reading(path):
                record = {
                    "run": f"{arm_look(arm).label}, seed {seed}",
                    "steps": count(summary["steps"]),
                    "tokens": count(summary["tokens"]),
                    "flops": plain(summary["flops"], 3),
                    "seconds": f"{summary['seconds']:.0f}",
                }
            environment = path.with_name("environment.json")
            records.append(record | _origin(read_json(environment) or {}, environment))
    return records


def of_table(result: Table) -> dict[str, str]:
    """Return one row for the headline runs of a table, all together."""
    with reading(result.path):
        arms = [arm for arm in result.data["arms"].values() if "values" in arm]
        runs = [(arm, seed) for arm in arms for seed in arm["values"]]
        record = {
            "run": f"{result.study or 'own'} {result.table}: {len(runs)} runs, tuning apart",
            "steps": count(sum(arm["steps"] for arm, _ in runs)),
            "tokens": count(sum(arm["tokens"] for arm, _ in runs)),
            "flops": plain(sum(arm["flops"][seed] for arm, seed in runs), 3),
            "seconds": f"{sum(arm['seconds'][seed] for arm, seed in runs):.0f}",
        }
    return record | _origin(result.data.get("environment") or {}, result.path)


def _origin(where: dict[str, Any], path: Path) -> dict[str, str]:
    """Return device, versions, commit and command of a run, in words."""
    with reading(path):
        versions = [
            f"{name} {where[name]}"
            for name in ("python", "torch", "numpy", "cuda")
            if where.get(name)
        ]
        threads = f", {where['threads']} thread(s)" if where.get("threads") else ""
        changed = {True: ", with changes", False: "", None: ""}[where.get("dirty")]
        return {
            "device": f"{where.get('device') or 'unknown'}{threads}",
            "versions": ", ".join(versions) or "unknown",
            "commit": f"{where['commit'][:10]}{changed}" if where.get("commit") else "unknown",
            "command": where.get("command") or "unknown",
        }
