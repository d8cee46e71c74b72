"""What each transform costs on a BERT of 12 x 768: seconds, and memory beside source and target.

Weights and both of Adam's moments, float32, as a run hands them over in mid-run; deeper from
6 x 768, wider from 12 x 384, both from 6 x 384. A fitted map is applied as it starts: its fit is
training, which a run charges. Each case runs in a process of its own, on one thread, whose
processor time ``seconds`` is; memory is resident memory, sampled every millisecond, beyond what
there was before, the source included. ``product_flops`` are those of a case's matrix products, from
a second run, and ``product_seconds`` what they take at the rate of one large product, timed in the
same process: no way to apply a dense map takes less. Linux:

    python -m benchmarks.rivals_transforms --out records/transforms.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.memory import bytes_of, resident
from bert.model.anatomy import bert_anatomy
from bert.model.config import BertConfig, named_config
from bert.model.encoder import Bert
from bert.model.factored import factorised
from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.sharing.layout import Layout
from swe.transforms.carry import untied
from swe.transforms.fitted import LEARNED, mapped
from swe.transforms.growth import METHODS
from swe.transforms.same import Keep, MultiplyOut
from swe.transforms.transform import Given, Made, States
from swe.transforms.tying import tied

TARGET = "12x768"
RANK = 128
"""Of the factored source's products."""
Work = Callable[[Given], Made]


def share(given: Given) -> Made:
    """Tie all layers."""
    made = Made(weights=given.weights, states=given.states)
    return tied(made, given.new, Layout.tied(given.new.depth, 1))


def fitted(method: str) -> Work:
    """Map weights and moments, without a fit."""
    return lambda given: mapped(LEARNED[method](given.old, given.new, given.generator), given)


def cases() -> dict[str, tuple[str, Work]]:
    """By name, the source's size and the work."""
    wider = ("net2net", "fpi", "aki", "lemon")
    found: dict[str, tuple[str, Work]] = {
        name: ("12x384" if name in wider else "6x768", way.apply) for name, way in METHODS.items()
    }
    found |= {name: ("6x384", fitted(name)) for name in LEARNED}
    kept: dict[str, Work] = {"multiply-out": MultiplyOut().apply, "unshare": Keep().apply}
    return found | {name: (TARGET, work) for name, work in {**kept, "share": share}.items()}


def shapes(config: BertConfig, rank: int | None = None) -> dict[str, torch.Size]:
    """Shapes of a model's parameters, without the model."""
    with torch.device("meta"):
        model = Bert(config)
        if rank is not None:
            model = factorised(model, rank, 0)
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def filled(size: Mapping[str, torch.Size]) -> tuple[dict[str, Tensor], States]:
    """Return weights and Adam's state of those shapes."""
    weights = {name: torch.empty(shape).normal_() for name, shape in size.items()}
    states = {
        name: {
            "step": torch.tensor(1.0),
            "exp_avg": torch.empty(shape).normal_(),
            "exp_avg_sq": torch.empty(shape).uniform_(),
        }
        for name, shape in size.items()
    }
    return weights, states


def tensors(weights: Mapping[str, Tensor], states: States) -> dict[int, Tensor]:
    """Weights and moments, each tensor once."""
    moments = [value for state in states.values() for value in state.values()]
    return {id(one): one for one in [*weights.values(), *moments]}


class Peak:
    """Most resident bytes in the block, beyond those at its start."""

    def __enter__(self) -> Peak:
        self.bytes, self._done = 0, threading.Event()
        self._before = resident()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.001):
            self.bytes = max(self.bytes, resident() - self._before)


def rate() -> float:
    """FLOPs a second of float32 matrix products that stay in the caches, on the threads set."""
    rows, inner, columns, times = 1024, 384, 768, 50
    one, other = torch.randn(rows, inner), torch.randn(inner, columns)
    out = torch.empty(rows, columns)
    torch.mm(one, other, out=out)
    begun = time.thread_time()
    for _ in range(times):
        torch.mm(one, other, out=out)
    return times * 2 * rows * inner * columns / (time.thread_time() - begun)


def sizes(source: str, target: str) -> tuple[BertConfig, BertConfig]:
    """Both shapes, heads of equal width."""
    small, large = named_config(source), named_config(target)
    each = large.hidden // large.heads
    return replace(small, heads=small.hidden // each), large


def measure(name: str, target: str) -> dict[str, Any]:
    """Run one case. Another ``target`` than TARGET, for a test, has sources half as large."""
    torch.set_num_threads(1)
    source, work = cases()[name]
    layers, hidden = map(int, target.split("x"))
    full = TARGET.split("x")
    deep, wide = (int(a) / int(b) for a, b in zip(source.split("x"), full, strict=True))
    small, large = sizes(f"{int(layers * deep)}x{int(hidden * wide)}", target)
    old, new = bert_anatomy(small), bert_anatomy(large)
    weights, states = filled(
        shapes(small, min(RANK, small.hidden // 2) if name == "multiply-out" else None)
    )
    if name == "unshare":
        tied_once = Layout.tied(layers, 1)
        head = f"{old.stack}."
        keep = [n for n in weights if not n.startswith(head) or n.startswith(f"{head}0.")]
        weights = untied({n: weights[n] for n in keep}, old.stack, tied_once)
        states = untied({n: states[n] for n in keep}, old.stack, tied_once)
    given = Given(
        old=old,
        new=new,
        weights=weights,
        states=states,
        shapes=shapes(large),
        carry="mapped",
        generator=torch.Generator().manual_seed(0),
        loss=lambda made, step: torch.zeros(()),
        update=0.0,
    )
    with Peak() as peak:
        begun = time.thread_time(), time.perf_counter()
        made = work(given)
        seconds, wall = time.thread_time() - begun[0], time.perf_counter() - begun[1]
    made.require(given.shapes)
    layer = sum(given.shapes[new.name(0, own)].numel() for own in new.layer)
    new_ones = tensors(made.weights, made.states)
    fresh = bytes_of(new_ones[one] for one in new_ones.keys() - tensors(weights, states).keys())
    target_bytes = bytes_of(new_ones.values())
    del made, new_ones
    with FlopCounterMode(display=False) as counter:
        work(given)
    flops = float(counter.get_total_flops())
    return {
        "source": f"{small.layers}x{small.hidden}",
        "seconds": seconds,
        "wall_seconds": wall,
        "source_bytes": bytes_of(tensors(weights, states).values()),
        "product_flops": flops,
        "product_seconds": flops / rate(),
        "target_bytes": target_bytes,
        "peak_bytes": peak.bytes,
        "beyond_bytes": peak.bytes - fresh,
        "layer_bytes": 3 * 4 * layer,
    }


def main() -> None:
    """Measure every case and write the record."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = {}
    environment = host()  # before the record itself is a change to the tree
    for name in cases():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(measure, (name, TARGET))
        row = found[name]
        beyond, layer = (row[key] / 2**20 for key in ("beyond_bytes", "layer_bytes"))
        products = f"{row['seconds']:.2f} s ({row['product_seconds']:.2f} of products)"
        print(f"{name}: {products}, {beyond:.0f} MiB beyond, a layer has {layer:.0f}")
        write_json(given.out, {"environment": environment, "target": TARGET, "transforms": found})


if __name__ == "__main__":
    main()
