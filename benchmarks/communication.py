"""How many bytes do ranks average an update, tied and untied, and what does that cost in time?

Runs BERT of a named size on random tokens through SWE-F's untie with DistributedDataParallel (gloo
on the CPU, NCCL on CUDA) and counts, in the wrapper's communication hook, every gradient bucket
that is reduced: before the untie, and after it, when the wrapper is built anew. The payload is a
fact of the layout, not of the machine. Writes a JSON record.

With ``--rounds`` the time model of ``bert.study.plan_model`` is tried on this machine: in every
round, in turn, an update without reduction, one with it, and a reduction of PROBE alone, which
gives the bandwidth; the rank that takes longest counts. The model's bounds are made of medians
of the first and the third, and stand beside the median of the second.

    python benchmarks/communication.py --size large --out records/communication.json
    python benchmarks/communication.py --ranks 4 --rounds 20 --size 12x256 --rows 4 --length 64 \\
        --out records/ranks-4.json
    torchrun --nproc-per-node 8 benchmarks/communication.py --device cuda --out FILE
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from bert.data.masking import masked_per_row
from bert.model.config import BertConfig, named_config
from bert.model.encoder import build_bert
from bert.study.plan_model import gradient_bytes, ring_seconds, update_seconds
from swe.base.files import write_json
from swe.base.options import Parser
from swe.ranks.distributed import process_group, world_of
from swe.ranks.parallel import Replicated
from swe.run.engine import Engine
from swe.run.record import environment
from swe.run.run_config import TrainConfig
from swe.run.task import Batch
from swe.sharing.placement import World
from swe.sharing.schedule import SweFixed
from swe.sharing.seeds import generator

UPDATES, TAU = 4, 2
PROBE = 1 << 25
"""Bytes of the reduction that the bandwidth is measured by."""


class RandomTokens:
    """Masked-language modelling of random tokens: the right gradients to send, nothing to learn."""

    def __init__(self, config: BertConfig, rows: int, length: int) -> None:
        self.config, self.rows, self.length = config, rows, length
        self.depth, self.tokens_per_batch = config.layers, rows * length
        self.masked = masked_per_row(length)
        self.flops_per_batch = rows * config.flops_per_row(length, self.masked)

    def describe(self) -> dict[str, Any]:
        """Return the batch's shape."""
        return {"rows": self.rows, "length": self.length}

    def build(self, seed: int) -> nn.Module:
        """Return the named BERT."""
        return build_bert(self.config, seed)

    def batch(self, seed: int, index: int) -> Batch:
        """Return random ids; the first positions are predicted."""
        source = generator(seed, "tokens", index)
        shape = (self.rows, self.length)
        inputs = torch.randint(self.config.vocabulary, shape, generator=source)
        masked = torch.arange(self.masked).expand(self.rows, -1)
        return {"inputs": inputs, "masked": masked, "labels": inputs[:, : self.masked]}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        logits = model(batch["inputs"], batch["masked"])
        return functional.cross_entropy(logits.float(), batch["labels"].flatten())

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """Evaluate nothing."""
        return {"loss": 0.0}


class Counting(Replicated):
    """Counts what the wrapper reduces: bytes of each bucket, in order, for the present update."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.buckets: list[int] = []

    def training_module(self, model: nn.Module) -> nn.Module:
        """Return the wrapper, with the counting hook."""
        fresh = self.wrapper is None
        module = super().training_module(model)
        if fresh:
            assert isinstance(module, DistributedDataParallel)
            module.register_comm_hook(None, lambda state, bucket: self._average(bucket.buffer()))
        return module

    def _average(self, buffer: Tensor) -> torch.futures.Future[Tensor]:
        self.buckets.append(buffer.nbytes)
        work = dist.all_reduce(buffer.div_(self.world.size), async_op=True)
        assert work is not None
        return work.get_future().then(lambda future: future.value()[0])


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Compute gradients before and after the untie; returns what each update sent."""
    world = world_of("ddp")
    parallel = Counting(world)
    task = RandomTokens(named_config(options.size), options.rows * world.size, options.length)
    config = TrainConfig(steps=UPDATES, seed=options.seed, schedule=SweFixed(until=TAU))
    engine = Engine(task, config, device, "benchmark", parallel)
    rows: list[dict[str, Any]] = []
    for step in range(UPDATES):
        batch = engine.batch(step)
        engine.begin(step, batch, measure=False)
        parallel.buckets.clear()
        # Without the optimiser's step, which sends nothing and would double the memory.
        with parallel.micro_batch(engine.model, last=True):
            task.loss(parallel.training_module(engine.model), batch).backward()
        engine.optimizer.zero_grad(set_to_none=True)
        sent = list(parallel.buckets)
        row = {
            "update": step,
            "layout": str(engine.stack.layout),
            "parameters": engine.parameters,
            "buckets": len(sent),
            "all_reduced_bytes": sum(sent),
            "planned_bytes": gradient_bytes(task.config, engine.stack.layout),
        }
        world.agree("bytes", row)
        if options.rounds and step in (TAU - 1, UPDATES - 1):
            row |= timed(engine, parallel, batch, options.rounds)
        rows.append(row)
    tied, untied = rows[0], rows[-1]
    return {
        "ranks": world.size,
        "updates": rows,
        "tied_bytes": tied["all_reduced_bytes"],
        "untied_bytes": untied["all_reduced_bytes"],
        "untied_over_tied": untied["all_reduced_bytes"] / tied["all_reduced_bytes"],
    }


def timed(engine: Engine, parallel: Counting, batch: Batch, rounds: int) -> dict[str, Any]:
    """Time the present layout's update in parts and whole; returns seconds, all ranks' the same.

    A first round is thrown away. ``bandwidth``: bytes/s that a rank sends, as
    ``plan_model.ring_seconds`` has it.
    """
    task, ranks = engine.task, parallel.world.size
    assert isinstance(task, RandomTokens)
    probe = torch.zeros(PROBE // 4)

    def update(reduce: bool) -> None:
        module = parallel.training_module(engine.model)
        assert isinstance(module, DistributedDataParallel)
        with nullcontext() if reduce else module.no_sync():
            task.loss(module, batch).backward()

    parts: dict[str, Callable[[], object]] = {
        "compute": lambda: update(False),
        "whole": lambda: update(True),
        "probe": lambda: dist.all_reduce(probe),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(rounds + 1):
        for name, part in parts.items():
            engine.optimizer.zero_grad(set_to_none=True)
            dist.barrier()
            begun = time.perf_counter()
            part()
            taken = torch.tensor([time.perf_counter() - begun], dtype=torch.float64)
            dist.all_reduce(taken, op=dist.ReduceOp.MAX)
            if turn:
                seconds[name].append(float(taken))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    bandwidth = ring_seconds(PROBE, ranks, 1.0) / median["probe"]
    layout = engine.stack.layout
    reduce = ring_seconds(gradient_bytes(task.config, layout), ranks, bandwidth)
    planned = update_seconds(median["compute"], 1, reduce, tied=not layout.is_untied)
    return {
        "seconds": seconds,
        "median_seconds": median,
        "bandwidth": bandwidth,
        "reduce_seconds": reduce,
        "planned_seconds": [planned.low, planned.high],
    }


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    parser.add_argument("--size", default="base", help="as in bert.model.config")
    parser.add_argument("--rows", type=int, default=1, help="rows of each rank")
    parser.add_argument("--length", type=int, default=16, help="tokens in a row")
    parser.add_argument("--ranks", type=int, default=2, help="processes, without torchrun")
    parser.add_argument("--rounds", type=int, default=0, help="of timing; 0: count bytes alone")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if "RANK" not in os.environ:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        script = [str(Path(__file__).resolve()), *sys.argv[1:]]
        sys.exit(
            subprocess.run([*launch, "--nproc-per-node", str(options.ranks), *script]).returncode
        )
    with process_group(options.device) as device:
        result = measure(options, device)
        if world_of("ddp").is_first:
            record = {
                "what": "bytes of gradients that DistributedDataParallel averages an update",
                "size": options.size,
                "rows_each_rank": options.rows,
                "length": options.length,
                "seed": options.seed,
                "environment": environment(device),
                **result,
            }
            write_json(options.out, record)
            for row in result["updates"]:
                gigabytes, millions = row["all_reduced_bytes"] / 1e9, row["parameters"] / 1e6
                print(
                    f"update {row['update']} ({row['layout']}): {gigabytes:.3f} GB in "
                    f"{row['buckets']} buckets, {millions:.1f} M parameters"
                )
            print(f"untied over tied: {result['untied_over_tied']:.2f}; wrote {options.out}")


if __name__ == "__main__":
    main()
