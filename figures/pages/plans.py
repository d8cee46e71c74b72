"""A plan on record, and how its model of time did on ranks that are here: blocks of a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.results import read_json, reading
from figures.base.tables import markdown
from figures.base.wording import count, plain

RANKS = "ranks-*.json"
"""Records of ``benchmarks/communication.py --rounds``, one a number of ranks."""


def plan(record: dict[str, Any]) -> str:
    """What each verb would take, and what tying saves by bandwidth."""
    rows, bandwidths = record["verbs"], record["bandwidths"]
    headings = {
        "verb": "Verb",
        "runs": "Runs",
        "updates": "Updates",
        "tokens": "Tokens (G)",
        "flops": "FLOP",
        "memory": "GB a GPU",
        "compute": "GPU-hours",
        **{f"{b:g}": f"Hours at {b:g} GB/s" for b in bandwidths},
    }
    cells = [_cells(row["verb"], row, bandwidths) for row in rows]
    cells.append(_cells("together", record["together"], bandwidths))
    first = rows[0]
    speeds = "; ".join(dict.fromkeys(_speed(row) for row in rows))
    command = record["environment"]["command"]
    here = first["model"]["rows"] * first["model"]["length"] // first["gpus"]
    return (
        f"`{command}`: {first['gpus']} GPUs, {speeds}. A micro-batch on a GPU has {plain(here)} "
        f"tokens here, {plain(first['speed']['tokens'])} where the speed was measured."
        f"\n\n{markdown(headings, cells)}\n\n"
        f"{_saving(first, bandwidths)}"
    )


def trained(record: dict[str, Any]) -> str:
    """A plan's speed beside that of whole runs on record, the same model on the same device."""
    headings = {
        "model": "Model, device",
        "planned": "Planned, tokens/s",
        "run": "A run, tokens/s",
        "jobs": "Runs at a time, at most",
        "all": "Together, at most",
        "ratio": "Planned over that",
        "source": "Runs",
    }
    cells = [
        {
            "model": f"{row['model']['size']}, {row['speed']['device']}",
            "planned": plain(row["tokens_per_second"]),
            "run": plain(one["tokens_per_second"]),
            "jobs": str(one["jobs"]),
            "all": plain(one["at_most"]),
            "ratio": f"{row['tokens_per_second'] / one['at_most']:.1f}",
            "source": f"records/{one['source']}, {plain(one['tokens'])} tokens a micro-batch",
        }
        for row in record["verbs"]
        for one in row["trained"]
    ]
    if not cells:
        return "not run"
    return f"`{record['environment']['command']}`:\n\n{markdown(headings, cells)}"


def prices(record: dict[str, Any]) -> str:
    """What each verb would take on one process of a machine whose tokens a second were given."""
    headings = {"verb": "Verb", "runs": "Runs", "updates": "Updates", "hours": "Core-hours"}
    rows = [(row["verb"], row) for row in record["verbs"]] + [("together", record["together"])]
    cells = [
        {
            "verb": verb,
            "runs": str(row["runs"]),
            "updates": count(row["updates"]),
            "hours": f"{row['compute_gpu_hours']:.1f}",
        }
        for verb, row in rows
    ]
    speed = plain(record["verbs"][0]["tokens_per_second"])
    return (
        f"{markdown(headings, cells)}\n\nAt {speed} tokens a second of one core, as given: "
        f"`{record['environment']['command']}`. Together: runs that tables share are made once."
    )


def _cells(verb: str, row: dict[str, Any], bandwidths: Sequence[float]) -> dict[str, str]:
    held = row.get("memory")
    return {
        "verb": verb,
        "runs": str(row["runs"]),
        "updates": f"{row['updates']:,}".replace(",", " "),
        "tokens": plain(row["tokens"] / 1e9),
        "flops": f"{row['flops']:.2e}",
        "memory": f"{(held['state'] + held['activations']) / 1e9:.1f}" if held else "—",
        "compute": plain(row["compute_gpu_hours"]),
        **{f"{b:g}": _range(hours, 0) for b, hours in zip(bandwidths, row["hours"], strict=True)},
    }


def _speed(row: dict[str, Any]) -> str:
    speed, model = row["speed"], row["model"]
    return (
        f"{speed['device']}, {model['size']}, {model['placement'].capitalize()}-LN, length "
        f"{model['length']}: {plain(row['tokens_per_second'])} tokens/s a GPU, from "
        f"{plain(speed['tokens_per_second'])} at length {speed['length']} "
        f"(`records/{speed['source']}`)"
    )


def _saving(row: dict[str, Any], bandwidths: Sequence[float]) -> str:
    sent, found = row["reduced_bytes"], row["swe_f"]
    headings = {
        "bandwidth": "GB/s",
        "untied": "Untied update (s)",
        "tied": "Tied update (s)",
        "saved": f"SWE-F, tau {found[0]['tau']:g}, saves of a run",
    }
    cells = [
        {
            "bandwidth": f"{b:g}",
            "untied": _range(one["untied_update"], 3),
            "tied": _range(one["tied_update"], 3),
            "saved": _range([100 * part for part in one["saved"]], 2) + " %",
        }
        for b, one in zip(bandwidths, found, strict=True)
    ]
    return (
        f"An update averages {sent['untied'] / 1e9:.3f} GB, {sent['tied'] / 1e9:.3f} GB while "
        f"tied, and computes {plain(found[0]['compute_seconds'])} s:\n\n"
        f"{markdown(headings, cells)}"
    )


def _range(ends: Sequence[float], places: int) -> str:
    one, other = (f"{end:.{places}f}" for end in ends)
    return one if one == other else f"{one} to {other}"


def ranks(records: Path) -> str:
    """What the model of time says of an update, and what it took, by number of ranks."""
    headings = {
        "ranks": "Ranks",
        "layout": "Layout",
        "bytes": "MB sent, planned",
        "compute": "Computing (s)",
        "reduce": "Averaging, planned (s)",
        "planned": "Update, planned (s)",
        "whole": "Measured (s)",
        "ratio": "Measured over planned",
    }
    cells, where, same = [], "", True
    for path in sorted(records.glob(RANKS)):
        record = read_json(path)
        with reading(path):
            timed = [update for update in record["updates"] if "seconds" in update]
            same &= all(u["all_reduced_bytes"] == u["planned_bytes"] for u in record["updates"])
            cells += [_measured(record["ranks"], update) for update in timed]
            here = record["environment"]
            where = (
                f"{record['size']}, {record['rows_each_rank']} rows of {record['length']} tokens "
                f"a rank, gloo, {here['device']}, torch {here['torch']}, commit "
                f"{here['commit'][:10]}; medians of n = {len(timed[0]['seconds']['whole'])}"
            )
    if not cells:
        return "not run"
    exact = "the planned ones, to the byte" if same else "NOT the planned ones"
    return f"{markdown(headings, cells)}\n\n{where}. The bytes sent are {exact}."


def _measured(count: int, update: dict[str, Any]) -> dict[str, str]:
    median, planned = update["median_seconds"], update["planned_seconds"]
    ratios = [median["whole"] / end for end in reversed(planned)]
    return {
        "ranks": str(count),
        "layout": update["layout"],
        "bytes": f"{update['all_reduced_bytes'] / 1e6:.1f}, {update['planned_bytes'] / 1e6:.1f}",
        "compute": f"{median['compute']:.3f}",
        "reduce": f"{update['reduce_seconds']:.3f}",
        "planned": _range(planned, 3),
        "whole": f"{median['whole']:.3f}",
        "ratio": _range(ratios, 2),
    }
