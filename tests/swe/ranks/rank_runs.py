"""The runs on one, two and four ranks (gloo) that the tests of ranks and checkpoints read."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from swe.base.errors import CheckpointError, ConfigError, NonFiniteLossError
from swe.base.files import read_json, read_lines, write_json
from swe.base.interrupt import Interrupted
from swe.ranks.distributed import process_group, world_of
from swe.ranks.parallel import Replicated
from swe.run import checkpoint, shards
from swe.run.compiling import graph_count
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.optimizer import OptimizerConfig, build_adamw
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.dropping import ProgressiveLayerDrop
from swe.sharing.placement import Mode
from swe.sharing.schedule import (
    AlwaysShared,
    CycleReversed,
    NeverShared,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from swe.sharing.share_then_unshare import prepare
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.stack import find_stack
from swe.sharing.submodels import SubmodelTraining
from swe.sharing.triggers import Stalled
from swe.sharing.unshare import unshare
from swe.transforms.fitted import Fitted
from swe.transforms.growth import Growth
from swe.transforms.same import Keep, MultiplyOut
from swe.transforms.stage import Stage
from tests.swe.ranks import killed_rank, narrow_runs
from tests.swe.ranks.ranks import run_ranks
from tests.swe.sharing.residual import GrowingRegression, RegressionTask

# Float64: ranks only change the order of sums, 1e-16 relative an addition. Twelve updates of Adam
# were seen to leave 1e-14; what ranks get wrong when a gradient is not averaged is above 1e-3.
CLOSE = 1e-11
TASK = GrowingRegression(depth=4, dtype=torch.float64)
BASE = TrainConfig(
    steps=12,
    seed=3,
    schedule=SweFixed(until=5),
    log_interval=1,
    eval_interval=6,
    probe_interval=4,
    checkpoint_interval=100,
    accumulation=2,
    optimizer=OptimizerConfig(peak_lr=5e-2, warmup=2, clip_norm=0.5),
)
CONFIGS = {
    "swe-f": BASE,
    "swe-f-units": replace(BASE, schedule=SweFixed(until=5, unit=2), moments="rescale"),
    "cycle-rev": replace(BASE, schedule=CycleReversed(until=5), moments="rescale"),
    "swe-a": replace(BASE, schedule=SweAdaptive(rho=1.0, interval=3, patience=2)),
    "swe-m": replace(BASE, schedule=SweMultistage(rho=0.85, interval=2)),
    "swe-m-sum": replace(
        BASE, schedule=SweMultistage(rho=0.85, interval=2), convention="sum", moments="rescale"
    ),
    "stages": replace(
        BASE, schedule=SweFixed(until=8), stages=(Stage(until=4, depth=2, growth=Growth()),)
    ),
    "dropping": replace(
        BASE,
        schedule=SweMultistage(rho=0.85, interval=2),
        dropping=ProgressiveLayerDrop(theta=0.2, decay=4.0),
    ),
    "sub-models": replace(
        BASE,
        schedule=NeverShared(),
        stages=(Stage(until=2, depth=2, growth=Growth()),),
        dropping=SubmodelTraining(layers=1, begin=2, until=9),
    ),
    "similarity": replace(BASE, similarity=LayerSimilarity(strength=0.5)),
    "program": replace(
        BASE,
        schedule=SweFixed(until=10),
        stages=(
            Stage(until=2, depth=2, rank=2, schedule=AlwaysShared(), growth=MultiplyOut()),
            Stage(until=6, depth=2, growth=Fitted(steps=3), early=Stalled(patience=1, by=10.0)),
            Stage(until=8, depth=4, trained=2, growth=Keep()),
        ),
    ),
}
MODES: tuple[Mode, ...] = ("ddp", "fsdp")
RUNS: dict[int, tuple[tuple[Mode, str], ...]] = {
    2: tuple(
        (mode, name)
        for mode in MODES
        for name in CONFIGS
        if (mode, name) != ("fsdp", "similarity")  # refused: test_similarity.py
    ),
    4: (("ddp", "swe-m"), ("fsdp", "swe-m"), ("fsdp", "swe-f")),
}
CHAINS: dict[str, dict[int, Mode]] = {
    "none-ddp-fsdp": {2: "ddp", 4: "fsdp"},
    "none-fsdp-ddp": {2: "fsdp", 4: "ddp"},
}
"""One run carried through 1 process, 2 ranks, 4 ranks and 1 again, a split on 2 and one on 4."""
STOPS = {1: 3, 2: 2, 4: 3}


class StopAfter:
    """Ask for a stop after that many updates."""

    def __init__(self, updates: int) -> None:
        self.left = updates

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


class LastRowBad(RegressionTask):
    """Batch 9 has a target that is not a number in its last row: only the last rank's."""

    def batch(self, seed: int, index: int) -> Batch:
        batch = dict(super().batch(seed, index))
        if index == 9:
            batch["target"][-1] = torch.nan
        return batch


def job(out: Path, size: int) -> None:
    """All that runs on ``size`` ranks, in one group of processes."""
    with process_group():
        for mode, name in RUNS[size]:
            train(TASK, CONFIGS[name], out / f"{size}-{mode}-{name}", parallel=mode)
        for chain, modes in CHAINS.items():
            with pytest.raises(Interrupted):
                train(
                    TASK,
                    CONFIGS["swe-m"],
                    out / chain,
                    parallel=modes[size],
                    stop=StopAfter(STOPS[size]),
                )
        if size == 2:
            narrow_runs.on_two_ranks(out / "narrow")
            graphs = {mode: compiled(mode, out / f"2-{mode}-blocks") for mode in MODES}
            for mode in MODES:
                train(killed_rank.TASK, killed_rank.CONFIG, out / f"unbroken-{mode}", parallel=mode)
            facts: dict[str, Any] = {
                "trap": trap(),
                "seeds": dropout_seeds(),
                "refusals": refusals(out),
            }
            facts["graphs"] = graphs
            facts["looks"] = looks_for_unused()
            if world_of("ddp").is_first:
                write_json(out / "facts.json", facts)
    assert not torch.distributed.is_initialized()


def compiled(mode: Mode, folder: Path) -> list[int]:
    """Run with compiled blocks and prefetch; graphs compiled before each update."""
    torch.compiler.reset()
    speed, start = SpeedConfig(compile="blocks", backend="aot_eager", prefetch=2), graph_count()
    counts: list[int] = []

    def stop() -> bool:
        counts.append(graph_count() - start)
        return False

    with warnings.catch_warnings():
        # Torch hides this one of its own tracer by a filter that "error" comes before.
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
        train(TASK, CONFIGS["swe-m"], folder, parallel=mode, speed=speed, stop=stop)
    return counts


def gathered(tensors: list[Tensor | None]) -> bool:
    """Whether all ranks hold the same tensors, bit for bit."""
    flat = torch.cat([t.flatten() for t in tensors if t is not None])
    first, *others = world_of("ddp").gather(flat)
    return all(torch.equal(first, other) for other in others)


def trap() -> dict[str, Any]:
    """Untie under an existing wrapper, and by Replicated: are the gradients everybody's?"""
    world = world_of("ddp")
    found: dict[str, Any] = {}
    for way in ("existing wrapper", "rebuilt"):
        model = TASK.build(0)
        _, stack = find_stack(model)
        prepare(stack, AlwaysShared())
        optimizer = build_adamw(model, OptimizerConfig())
        parallel = Replicated(world)
        module = parallel.training_module(model)
        rows = world.rows(TASK.batch(0, 0))
        TASK.loss(module, rows).backward()
        optimizer.zero_grad()
        if way == "rebuilt":
            parallel.unshare(model, optimizer, stack.layout.untie())
            module = parallel.training_module(model)
        else:
            unshare(model, optimizer, stack.layout.untie())
        counted = count_bytes(module)
        TASK.loss(module, rows).backward()
        found[way] = {
            "old": gathered([p.grad for p in stack.blocks[0].parameters()]),
            "new": gathered([p.grad for p in stack.blocks[1].parameters()]),
            "reduced": sum(counted) // 8,
            "parameters": sum(p.numel() for p in model.parameters()),
        }
    return found


def count_bytes(module: torch.nn.Module) -> list[int]:
    """Collect the bytes of every gradient bucket that the wrapper reduces."""
    assert isinstance(module, DistributedDataParallel)
    counted: list[int] = []

    def average(bucket: Any) -> Any:
        counted.append(bucket.buffer().nbytes)
        work = torch.distributed.all_reduce(bucket.buffer().div_(2), async_op=True)
        assert work is not None
        return work.get_future().then(lambda future: future.value()[0])

    module.register_comm_hook(None, lambda state, bucket: average(bucket))
    return counted


def looks_for_unused() -> list[bool]:
    """Whether the wrapper looks for parameters without a gradient: before, in and after the stage
    of sub-models."""
    parallel, found = Replicated(world_of("ddp")), []
    config = replace(CONFIGS["sub-models"], stages=())
    engine = Engine(TASK, config, torch.device("cpu"), "here", parallel)
    for step in (1, 2, 8, 9):
        engine.begin(step, engine.batch(2 * step), measure=False)
        engine.update(step, engine.batch(2 * step))
        assert parallel.wrapper is not None
        found.append(parallel.wrapper.find_unused_parameters)
    return found


def dropout_seeds() -> list[list[int]]:
    """Seeds that each rank sets in one update."""
    seeds: list[int] = []
    engine = Engine(TASK, BASE, torch.device("cpu"), "here", Replicated(world_of("ddp")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "manual_seed", seeds.append)
        engine.update(7, engine.batch(14))
    return world_of("ddp").gather(seeds)


def refusals(out: Path) -> dict[str, list[str]]:
    """What each rank is told when something is wrong, on one rank alone where that can be."""
    world = world_of("ddp")
    said: dict[str, str] = {}

    def refused(what: str, error: type[Exception], *arguments: Any, **options: Any) -> None:
        with pytest.raises(error) as caught:
            train(*arguments, **options)
        said[what] = str(caught.value)

    mine = replace(BASE, seed=world.rank)
    refused("config", ConfigError, TASK, mine, out / "differs", parallel="ddp")
    odd = RegressionTask(depth=4, batch=7, dtype=torch.float64)
    refused("rows", ConfigError, odd, BASE, out / "odd", parallel="fsdp")
    refused("mode", ConfigError, TASK, BASE, out / "mode")
    whole = SpeedConfig(compile="model")
    refused("compile", ConfigError, TASK, BASE, out / "mode", parallel="ddp", speed=whole)
    bad = LastRowBad(depth=4, dtype=torch.float64)
    refused("not finite", NonFiniteLossError, bad, BASE, out / "bad", parallel="fsdp")
    stop = StopAfter(2) if world.rank == 1 else StopAfter(99)
    refused("stop", Interrupted, TASK, BASE, out / "stop", parallel="ddp", stop=stop)
    with pytest.MonkeyPatch.context() as patch:
        if world.rank == 1:
            patch.setattr(os, "fsync", no_space)
        refused(
            "disk full",
            CheckpointError,
            TASK,
            BASE,
            out / "stop",
            parallel="fsdp",
            stop=StopAfter(1),
        )
    return {what: world.gather(message) for what, message in said.items()}


def no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def all_runs(out: Path) -> None:
    for name, config in CONFIGS.items():
        train(TASK, config, out / f"1-none-{name}")
    for chain in CHAINS:
        with pytest.raises(Interrupted):
            train(TASK, CONFIGS["swe-m"], out / chain, stop=StopAfter(STOPS[1]))
    narrow_runs.alone(out / "narrow")
    run_ranks(2, job, out, 2)
    run_ranks(4, job, out, 4)
    for chain in CHAINS:
        shutil.copytree(out / chain, out / f"{chain}-pickle")
        train(TASK, CONFIGS["swe-m"], out / chain)


def numbers(folder: Path) -> dict[str, Any]:
    """All that a run measured and its final weights and moments, without the clock."""
    clock = ("seconds", "peak_memory_bytes")
    rows = read_lines(folder / "metrics.jsonl") + read_lines(folder / "events.jsonl")
    rows.append(read_json(folder / "summary.json"))
    rows = [{k: v for k, v in row.items() if k not in clock} for row in rows]
    return {"rows": rows, "tensors": tensors(folder)}


def tensors(folder: Path) -> dict[str, Tensor]:
    """Every stored tensor of the run's newest checkpoint, whole, whoever wrote it."""
    found = checkpoint.latest(folder / "checkpoints", pytest.fail)
    assert found is not None
    whole = {
        name: torch.empty(shape, dtype=dtype)
        for name, (shape, dtype) in shards.described(found.path).items()
    }
    shards.read(found.path, whole)
    return whole


def assert_close(one: Any, other: Any, where: str = "") -> None:
    """Equal in structure, text and counts; numbers within CLOSE."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_close(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_close(a, b, f"{where}[{index}]")
    elif isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=CLOSE, atol=CLOSE, msg=where)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=CLOSE, abs=CLOSE), where
    else:
        assert one == other, where
