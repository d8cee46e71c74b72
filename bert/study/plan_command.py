"""The verb ``plan``: its options, what it refuses, and how a plan reads."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert.study.plan import VERBS, Machine, plan, planned
from evidence.commands import add_several
from swe.base.config import require_between, require_count
from swe.base.environment import host
from swe.base.errors import ConfigError

FORMAT = "share-then-unshare plan"
FILE = "plan.json"
BANDWIDTHS = (10.0, 50.0, 200.0)
"""GB/s planned with unless others are named."""
CARRIED = ("size", "length", "vocabulary")
"""In which a planned model may differ from the measured one."""
OPTIONS = ("on", "tokens_per_second", "gpus", "bandwidth", "price")
"""Of the verb alone."""


def add_plan(parser: argparse._ActionsContainer) -> None:
    """Add the options of the verb."""
    parser.add_argument("--on", metavar="DEVICE", help="a device on record, such as h200")
    parser.add_argument(
        "--tokens-per-second", type=float, metavar="N", help="of one GPU, in place of a record's"
    )
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of a run (default: 1)")
    add_several(
        parser,
        "--bandwidth",
        type=float,
        metavar="GB/s",
        help="that each GPU sends while ranks average gradients (default: "
        f"{' '.join(f'{b:g}' for b in BANDWIDTHS)})",
    )
    parser.add_argument("--price", type=float, help="of a GPU-hour, in any currency")


def refuse_without_plan(given: argparse.Namespace) -> None:
    """Raise ConfigError for an option of the verb where it is not asked for."""
    for name in OPTIONS:
        if getattr(given, name) not in (None, []):
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option}: is of the verb plan; add plan, or leave {option} out")


def plan_command(
    given: argparse.Namespace, settings: Mapping[str, Any], records: Path
) -> dict[str, Any]:
    """Print the plan of the named verbs, of all without any; returns what FILE is to hold.

    ConfigError for a verb, a scale or a machine that cannot be planned.
    """
    verbs = _verbs(given)
    machine = _machine(given)
    plans = [planned(verb, given.scale, given.seed, settings, machine, records) for verb in verbs]
    made = {
        "format": FORMAT,
        "scale": given.scale,
        "price": given.price,
        **plan(plans, machine.bandwidths),
        "environment": host(),
    }
    print(in_text(made))
    return made


def _verbs(given: argparse.Namespace) -> list[str]:
    named = [verb for verb in given.verbs if verb != "plan"]
    for verb in named:
        if verb not in VERBS:
            raise ConfigError(f"plan {verb}: must be of {', '.join(VERBS)}")
    if given.scale == "demo":
        raise ConfigError("--scale demo: is of languages alone; plan smoke, small, gpu or full")
    if given.scale == "gpu" and "bert" in named:
        raise ConfigError("--scale gpu: has no bert, only tables; leave bert out")
    return named or [verb for verb in VERBS if (verb, given.scale) != ("bert", "gpu")]


def _machine(given: argparse.Namespace) -> Machine:
    if (given.on is None) == (given.tokens_per_second is None):
        word = "needs" if given.on is None else "takes one of"
        raise ConfigError(f"plan: {word} --on DEVICE (such as h200) or --tokens-per-second N")
    gpus = 1 if given.gpus is None else given.gpus
    require_count("--gpus", gpus)
    for bandwidth in given.bandwidth:
        require_between("--bandwidth", bandwidth, 0, float("inf"), open_low=True, open_high=True)
    if given.price is not None:
        require_between("--price", given.price, 0, float("inf"), open_high=True)
    chosen = tuple(dict.fromkeys(given.bandwidth)) or BANDWIDTHS
    return Machine(given.on, given.tokens_per_second, gpus, chosen if gpus > 1 else ())


def in_text(made: Mapping[str, Any]) -> str:
    """Return a plan as lines for a terminal."""
    rows, bandwidths = made["verbs"], made["bandwidths"]
    gpus = rows[0]["gpus"]
    lines = [
        f"plan at scale {made['scale']}: runs one after another, each on {gpus} GPU"
        f"{'s, whole weights on each' if gpus > 1 else ''}"
    ]
    lines += dict.fromkeys(_speed_line(row) for row in rows)
    rate = None if made["price"] is None else gpus * made["price"]
    table = [_cells(row, row["verb"], rate) for row in rows]
    if len(rows) > 1:
        table.append(_cells(made["together"], "together", rate))
    heads = ["verb", "runs", "updates", "tokens", "FLOP", "GB a GPU", "GPU-hours"]
    for what in ("hours", "price")[: 1 if made["price"] is None else 2]:
        heads += [f"{what} at {b:g} GB/s" for b in bandwidths] or [what]
    lines += ["", *_aligned([heads, *table])]
    lines += ["", *_notes(made)]
    if bandwidths:
        lines += ["", *_reduction(made)]
    return "\n".join(lines)


def _speed_line(row: Mapping[str, Any]) -> str:
    speed, model = row["speed"], row["model"]
    if speed["device"] is None:
        return f"{row['tokens_per_second']:,.0f} tokens/s a GPU, as given"
    line = (
        f"{model['size']}, {model['placement'].capitalize()}-LN, length {model['length']}: "
        f"{row['tokens_per_second']:,.0f} tokens/s a GPU, {speed['device']}, "
    )
    where = f"records/{speed['source']}"
    if _as_measured(row):
        return f"{line}as in {where}"
    return (
        f"{line}at the {speed['flops'] / 1e12:.3g} TFLOP/s of {speed['size']}, length "
        f"{speed['length']}, vocabulary {speed['vocabulary']}\n"
        f"  ({where}: {speed['tokens_per_second']:,.0f} tokens/s)"
    )


def _as_measured(row: Mapping[str, Any]) -> bool:
    return all(row["speed"][name] == row["model"][name] for name in CARRIED)


def _cells(row: Mapping[str, Any], name: str, rate: float | None) -> list[str]:
    """``rate``: price of an hour of all GPUs."""
    held, whole = row.get("memory"), row["compute_gpu_hours"]
    hours = row["hours"] or [[whole, whole]]
    return [
        name,
        str(row["runs"]),
        f"{row['updates']:,}",
        f"{row['tokens'] / 1e9:,.4g} G",
        f"{row['flops']:.2e}",
        f"{(held['state'] + held['activations']) / 1e9:.1f}" if held else "-",
        f"{whole:,.1f}",
        *(_range(ends, 1) for ends in hours),
        *(_range([rate * end for end in ends], 0) for ends in hours if rate is not None),
    ]


def _notes(made: Mapping[str, Any]) -> list[str]:
    """What the numbers leave out, and where they are carried beyond what was measured."""
    notes = [
        "GPU-hours: computing alone. Hours: with the averaging of gradients, from all hidden",
        "behind the backward pass that can be to nothing hidden; SWE-A and SWE-M untie when they",
        "will, and have both ends. Probes, evaluations and checkpoints are not counted.",
    ]
    if len(made["verbs"]) > 1:
        notes.append("together: runs that tables share are counted once, as they are made once.")
    if any(row["speed"]["device"] and not _as_measured(row) for row in made["verbs"]):
        notes.append("A model that was not measured is taken at the FLOP/s of the one that was: a")
        notes.append("smaller one is slower than that.")
    notes += dict.fromkeys(_trained(row, one) for row in made["verbs"] for one in row["trained"])
    rows = [row for row in made["verbs"] if row["memory"]]
    if rows:
        notes.append(
            "GB a GPU: float32 weights, gradients and Adam's moments, exactly; activations in "
            "proportion to\nthe record's peak, by tokens, layers and width (heuristic)."
        )
    for row in rows:
        model, tokens = row["model"], row["speed"]["tokens"]
        here = model["rows"] * model["length"] // row["gpus"]
        if here < tokens:
            notes.append(
                f"{row['verb']}: {here:,} tokens of a micro-batch on a GPU, {tokens:,} where the "
                "speed was measured: slower\nthan planned, unless --set rows= is raised and "
                "accumulation= lowered alike."
            )
            break
    return notes


def _trained(row: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """A plan's speed beside that of runs on record."""
    return (
        f"{row['model']['size']} trained at {one['tokens_per_second']:,.0f} tokens/s a run, "
        f"{one['jobs']} at a time at most, so that the GPU did\nat most {one['at_most']:,.0f} "
        f"({one['tokens']:,} tokens a micro-batch, records/{one['source']}): the plan's\nspeed is "
        f"{row['tokens_per_second'] / one['at_most']:.2g} times that."
    )


def _reduction(made: Mapping[str, Any]) -> list[str]:
    """The tied phase's saving, by bandwidth: a block for each model."""
    lines: list[str] = []
    seen: set[tuple[Any, ...]] = set()
    for row in made["verbs"]:
        key = (*row["model"].values(), row["swe_f"][0]["tau"])
        if key in seen:
            continue
        seen.add(key)
        sent, model = row["reduced_bytes"], row["model"]
        first = row["swe_f"][0]
        lines += [
            f"{row['verb']} ({model['size']}, {model['placement'].capitalize()}-LN): an update "
            f"averages {sent['untied'] / 1e9:.3f} GB, {sent['tied'] / 1e9:.3f} GB while tied, and "
            f"computes {first['compute_seconds']:.3g} s",
            *_aligned(
                [
                    [
                        "GB/s",
                        "untied update (s)",
                        "tied (s)",
                        f"SWE-F, tau {first['tau']:g}, saves",
                    ],
                    *(
                        [
                            f"{bandwidth:g}",
                            _range(found["untied_update"], 3),
                            f"{found['tied_update'][0]:.3f}",
                            _range([100 * part for part in found["saved"]], 2) + " %",
                        ]
                        for bandwidth, found in zip(made["bandwidths"], row["swe_f"], strict=True)
                    ),
                ]
            ),
        ]
    return lines


def _range(ends: Sequence[float], places: int) -> str:
    one, other = (f"{end:,.{places}f}" for end in ends)
    return one if one == other else f"{one} to {other}"


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
