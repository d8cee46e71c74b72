"""Which models of other people, optimisers and wrappers can be tied, and how.

    python -m benchmarks.foreign --out records/foreign/catalogue.json [--only wrappers ...]

Each is trained tied and untied for four updates and held against untied copies that average
(`benchmarks/foreign/route.py`). What is not installed is left out; ``--only`` keeps the other
sections that the record has.
"""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers

from benchmarks.foreign import families, optimisers, vision, wrappers
from benchmarks.foreign.apart import apart
from benchmarks.foreign.route import NEAR, STEPS, UNTIE
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from swe.run.record import environment

PACKAGES = ("torch", "transformers", "timm", "torchvision", "peft", "accelerate", "lightning")
Jobs = Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]


def of_transformers() -> Jobs:
    for family, names in families.classes().items():
        for name in names:
            yield {"family": family, "class": name}, partial(families.judged, family, name)


def of_timm() -> Jobs:
    for family, name in vision.timm_families().items():
        yield {"family": family, "class": name}, partial(vision.judged_timm, family)
    dropped = [f for f in vision.timm_families() if f in ("vision_transformer", "beit", "convnext")]
    for family in dropped:
        yield {"family": family}, partial(vision.judged_timm, family, dropped=True)


def of_torchvision() -> Jobs:
    for family in vision.torchvision_models():
        yield {"family": family}, partial(vision.judged_torchvision, family)


def of_wrappers() -> Jobs:
    for name in wrappers.WRAPPERS:
        for family in wrappers.MODELS:
            yield {"wrapper": name}, partial(wrappers.judged_wrapper, name, family)


def of_optimisers() -> Jobs:
    for name in optimisers.optimisers():
        yield {"optimiser": name}, partial(optimisers.judged_optimiser, name)


SECTIONS = {
    "transformers": of_transformers,
    "timm": of_timm,
    "torchvision": of_torchvision,
    "wrappers": of_wrappers,
    "optimisers": of_optimisers,
}


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = Parser(prog="python -m benchmarks.foreign")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    record: dict[str, Any] = read_json(given.out) if given.out.exists() else {"sections": {}}
    record |= {"updates": STEPS, "untied_before": UNTIE, "near": NEAR}
    for section in given.only:
        begun, rows = time.time(), []
        for told, work in SECTIONS[section]():
            rows.append(apart(work, told))
            print(section, *told.values(), flush=True)
        record["sections"][section] = {
            "environment": environment(torch.device("cpu")),
            "versions": versions(),
            "seconds": round(time.time() - begun),
            "rows": rows,
        }
        write_json(given.out, record)


if __name__ == "__main__":
    main()
