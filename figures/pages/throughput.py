"""Table of the side-by-side throughput records: ``python -m figures.pages.throughput RECORD ...``.

Every contestant has a row; one without a run says "not run", one that failed the gate says so.
Times are medians over all timed steps with the 10th and 90th percentile. A ratio is the quotient
of two contestants' median step times, taken within each round (a block on the CPU, a process on
CUDA) and then summed up by median and range, so that a slow spell of the machine hits both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evidence.results import read_json, reading
from figures.base.tables import markdown
from figures.base.wording import plain
from swe.base.errors import ResultError
from swe.base.options import Parser

HEADINGS = {
    "name": "Contestant",
    "step": "Step (ms), p10-p90",
    "tokens": "Tokens/s",
    "mfu": "Useful share of peak",
    "memory": "Peak memory (GB)",
    "compile": "First step (s)",
    "a0": "Stock takes × ours",
    "a1": "Stock, gathered, takes × ours",
}
BARS: dict[tuple[str, str, int], dict[str, float]] = {
    ("cpu", "12x64", 64): {"a0": 1.5, "a1": 1.0},
    ("cpu bfloat16", "12x256", 128): {"a0": 2.0, "a1": 1.5, "a6": 2.0},
    ("cpu", "12x256", 128): {"a1": 1.1},
    ("cuda", "large", 128): {"tokens": 250e3, "a0": 1.3, "a1": 1.1},
    ("cuda", "large", 512): {"tokens": 225e3, "a0": 1.3, "a1": 1.1},
    ("cuda", "base", 128): {"tokens": 760e3, "a0": 1.3, "a1": 1.1},
    ("cuda", "base", 512): {"tokens": 690e3, "a0": 1.3, "a1": 1.1},
}
"""What was set beforehand, by (device, size, length), the CPU's in float32 unless it says else: at
least so many tokens a second, and times
the stock contestants' step. Judged on the fastest of ours that is untied."""
OURS = ("a2", "a3", "a5")
STALL = "two median steps plus one second"
SHOWN = 8
"""Operators of a profile that the page names."""
PROBE_INTERVAL = 1000
"""Updates between two probes in the paper."""


def summary(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return raw numbers a contestant: {"status"} alone where there is no measurement."""
    settings = record["settings"]
    tokens = settings["rows"] * settings["length"]
    out: dict[str, dict[str, Any]] = {}
    for name in record["names"]:
        turns = [t for t in record["turns"] if t["name"] == name]
        blocks = [b["seconds"] for t in turns for b in t["blocks"] if "seconds" in b]
        gate = record["gates"].get(name)
        if not blocks:
            failed = gate is not None and not gate.get("passed")
            out[name] = {"status": "failed the gate: not timed" if failed else "not run"}
            continue
        steps = np.array(blocks).ravel()
        median = float(np.median(steps))
        peaks = [
            value
            for t in turns
            for part in ("warm", "end")
            if (value := t.get(part, {}).get("product_flops"))
        ]
        firsts = [t["warm"]["first_step_seconds"] for t in turns]
        out[name] = {
            "status": "measured",
            "n": len(steps),
            "median": median,
            "p10": float(np.quantile(steps, 0.1)),
            "p90": float(np.quantile(steps, 0.9)),
            "tokens_per_second": tokens / median,
            "peak_flops": [min(peaks), max(peaks)],
            "useful_share": settings["flops_per_token"] * tokens / median / float(np.median(peaks)),
            "peak_memory_bytes": max(t["end"].get("peak_memory_bytes", 0) for t in turns),
            "first_step_seconds": max(firsts),
            "probe": _first(turns, "probe"),
            "untie": _first(turns, "untie"),
            "rounds": _rounds(settings["device"], turns),
        }
    return out


def _first(turns: Sequence[dict[str, Any]], what: str) -> dict[str, Any] | None:
    return next((t["end"][what] for t in turns if what in t["end"]), None)


def _rounds(device: str, turns: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Median step of each round: of a block on the CPU, of a process on CUDA."""
    if device == "cpu":
        return {
            f"{t['turn']}.{i}": float(np.median(b["seconds"]))
            for t in turns
            for i, b in enumerate(t["blocks"])
            if "seconds" in b
        }
    return {
        str(t["turn"]): float(np.median([b["seconds"] for b in t["blocks"] if "seconds" in b]))
        for t in turns
    }


def ratio(rows: dict[str, dict[str, Any]], stock: str, name: str) -> list[float] | None:
    """Return [median, lowest, highest] of stock's over ``name``'s step; None without both."""
    if "rounds" not in rows[stock] or "rounds" not in rows[name]:
        return None
    one, other = rows[stock]["rounds"], rows[name]["rounds"]
    quotients = [one[key] / other[key] for key in one if key in other]
    if not quotients:
        return None
    return [float(np.median(quotients)), min(quotients), max(quotients)]


def bars(record: dict[str, Any]) -> list[str]:
    """Return a line a bar: met, missed, or not run."""
    settings, rows = record["settings"], summary(record)
    narrow = settings["device"] == "cpu" and settings.get("precision") == "bfloat16"
    device = "cpu bfloat16" if narrow else settings["device"]
    key = (device, settings["size"], settings["length"])
    lines = []
    timed = [name for name in OURS if rows[name]["status"] == "measured"]
    best = min(timed, key=lambda name: rows[name]["median"]) if timed else None
    for what, least in BARS.get(key, {}).items():
        if what == "tokens":
            words = f"at least {plain(least)} tokens/s"
            value = rows[best]["tokens_per_second"] if best else None
        else:
            words = f"{record['names'][what]} takes at least {least} × our time a step"
            found = ratio(rows, what, best) if best else None
            value = found[0] if found else None
        verdict = "not run"
        if value is not None:
            verdict = f"{'met' if value >= least else 'missed'} ({plain(value)}, {best})"
        lines.append(f"{words}: {verdict}")
    untie = rows["a4"].get("untie")
    if untie is None:
        lines.append(f"stall at the untie under {STALL}: not run")
    else:
        limit = 2 * untie["usual_after"] + 1.0
        word = "met" if untie["stall_seconds"] < limit else "missed"
        lines.append(
            f"stall at the untie under {STALL}: {word} ({plain(untie['stall_seconds'])} s, "
            f"{plain(untie['stall_seconds'] / untie['usual_after'])} steps, "
            f"{untie['graphs']} graphs compiled)"
        )
    probes = {n: rows[n]["probe"]["steps"] for n in rows if rows[n].get("probe")}
    share = max(probes.values()) / PROBE_INTERVAL if probes else None
    found_words = (
        "not run"
        if share is None
        else f"{'met' if share < 0.01 else 'missed'} ({plain(100 * share, 2)} %, at most "
        f"{plain(max(probes.values()))} steps each)"
    )
    lines.append(f"probes every {PROBE_INTERVAL} steps cost under 1 % of the run: {found_words}")
    return lines


def cells(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows in words, keyed as HEADINGS."""
    rows = summary(record)
    out = []
    for name, row in rows.items():
        line = dict.fromkeys(HEADINGS, "—") | {"name": f"{name} {record['names'][name]}"}
        if row["status"] != "measured":
            out.append(line | {"step": row["status"]})
            continue
        line |= {
            "step": f"{plain(1e3 * row['median'])} ({plain(1e3 * row['p10'])}-"
            f"{plain(1e3 * row['p90'])}), n = {row['n']}",
            "tokens": plain(row["tokens_per_second"]),
            "mfu": f"{100 * row['useful_share']:.1f} %",
            "memory": plain(row["peak_memory_bytes"] / 1e9),
            "compile": plain(row["first_step_seconds"]),
        }
        for stock in ("a0", "a1"):
            found = ratio(rows, stock, name)
            if found:
                line[stock] = f"{found[0]:.2f} ({found[1]:.2f}-{found[2]:.2f})"
        out.append(line)
    return out


def table(record: dict[str, Any]) -> str:
    """Return the whole record as markdown: what ran, the table, the bars."""
    settings, here = record["settings"], record.get("environment", {})
    precision = f"{settings['precision']}, " if "precision" in settings else ""
    head = (
        f"{settings['size']}, length {settings['length']}, {settings['rows']} rows, dropout "
        f"{settings['dropout']:g}, {precision}{'compiled' if settings['compiled'] else 'eager'}, "
        f"{settings['device']} ({here.get('device', 'not run')}), torch "
        f"{here.get('torch', 'not run')}, commit {str(here.get('commit'))[:10]}"
    )
    note = (
        "Time of the process; the peak is of one thread."
        if settings["device"] == "cpu"
        else "Time between device events."
    )
    if "attention" in settings and settings["device"] == "cpu":
        note += (
            f" Attention of ours, measured: {settings['attention']}; of the others, torch's own."
        )
    if "not_run" in record:
        note += f" Not run: {record['not_run']}."
    points = "\n".join(f"- {line}" for line in [*bars(record), *profiles(record)])
    return f"{head}. {note}\n\n{markdown(HEADINGS, cells(record))}\n\n{points}"


def profiles(record: dict[str, Any]) -> list[str]:
    """Return a line a contestant whose steps were profiled: where their time went."""
    lines = []
    for turn in record["turns"]:
        found = turn["end"].get("profile")
        if found:
            first = sorted(found, key=found.__getitem__, reverse=True)[:SHOWN]
            words = ", ".join(f"{name} {100 * found[name]:.0f} %" for name in first)
            lines.append(f"profile of {record['names'][turn['name']]}: {words}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of each record."""
    parser = Parser(prog="python -m figures.pages.throughput", description=__doc__)
    parser.add_argument("records", type=Path, nargs="+")
    for path in parser.parse_args(arguments).records:
        try:
            record = read_json(path)
            if record is None:
                raise ResultError(f"{path}: is missing")
            with reading(path):
                text = table(record)
        except ResultError as error:
            parser.exit(1, f"figures.pages.throughput: {error}\n")
        print(text, end="\n\n")


if __name__ == "__main__":
    main()
