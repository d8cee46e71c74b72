"""Compiled steps: the same run, and no graph is compiled at an untie, a probe or a resume."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from swe.base.errors import ConfigError
from swe.base.files import read_json, read_lines, write_json
from swe.base.interrupt import Interrupted
from swe.run.compiling import CompileMode, compile_loss, graph_count
from swe.run.engine import Engine
from swe.run.loop import _Loop, train
from swe.run.optimizer import OptimizerConfig
from swe.run.record import RunFolder
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.run.stages import Stages
from swe.sharing.eager import eagerly
from swe.sharing.placement import Parallel
from swe.sharing.schedule import AlwaysShared, NeverShared, SweFixed, SweMultistage
from swe.sharing.stack import find_stack
from tests.swe.sharing.residual import RegressionTask

# Torch hides this warning of its own tracer by a filter that pytest's "error" comes before.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

CONFIG = TrainConfig(
    steps=12,
    seed=3,
    schedule=SweFixed(until=5),
    log_interval=4,
    eval_interval=4,
    probe_interval=3,
    checkpoint_interval=4,
    accumulation=2,
    optimizer=OptimizerConfig(peak_lr=1e-2, warmup=4, clip_norm=0.5),
)
TASK = RegressionTask(depth=4, dropout=0.1)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """Every test counts its own graphs."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def engine_of(config: TrainConfig, speed: SpeedConfig, task: RegressionTask = TASK) -> Engine:
    return Engine(task, config, CPU, "here", speed=speed)


def graphs_by_step(engine: Engine) -> list[int]:
    """Graphs compiled so far, before each update and after the last."""
    config, counts, start = engine.config, [0], graph_count()
    for step in range(config.steps):
        batch = engine.batch(step * config.accumulation)
        engine.begin(step, batch, measure=step % max(1, config.probe_interval) == 0)
        engine.update(step, batch)
        counts.append(graph_count() - start)
    return counts


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = (folder / "checkpoints").iterdir()
    return load_file(path / "weights.safetensors")


@pytest.mark.parametrize(
    ("schedule", "backend", "precision"),
    [
        (SweFixed(until=5), "aot_eager", "bfloat16"),
        (SweFixed(unit=2, until=5), "eager", "float32"),
        (SweMultistage(rho=0.99, interval=2), "eager", "bfloat16"),
    ],
)
def test_blocks_compile_everything_in_the_first_update(
    schedule: SweFixed | SweMultistage, backend: str, precision: Any
) -> None:
    """Tied, split, untied and probed: one layer's code serves all of it."""
    config = replace(CONFIG, schedule=schedule, precision=precision)
    engine = engine_of(config, SpeedConfig(compile="blocks", backend=backend))
    before = engine.stack.layout
    counts = graphs_by_step(engine)
    assert engine.stack.layout != before, "nothing was untied"
    assert engine.swe.probes > 2
    assert counts[1] >= 2, "a block and its surroundings"
    assert counts[1:] == [counts[1]] * config.steps


def test_one_graph_for_the_layers_however_many() -> None:
    counts = {}
    for depth in (2, 6):
        torch.compiler.reset()
        config = replace(CONFIG, steps=5, schedule=NeverShared())
        task = RegressionTask(depth=depth)
        counts[depth] = graphs_by_step(
            engine_of(config, SpeedConfig(compile="blocks", backend="eager"), task)
        )[-1]
    assert counts[2] == counts[6]


def test_the_whole_model_is_compiled_anew_for_each_layout() -> None:
    """Counted, because it is a stall: one graph at the start, one at the untie; none for probes."""
    engine = engine_of(CONFIG, SpeedConfig(compile="model", backend="eager"))
    counts = graphs_by_step(engine)
    assert counts[1:] == [1] * 5 + [2] * 7


def test_a_compiled_run_is_the_plain_run(tmp_path: Path) -> None:
    """The eager backend calls the same kernels: every bit of the weights, untie included."""
    train(TASK, CONFIG, tmp_path / "none")
    modes: tuple[CompileMode, ...] = ("blocks", "model")
    for mode in modes:
        speed = SpeedConfig(compile=mode, backend="eager")
        train(TASK, CONFIG, tmp_path / mode, speed=speed)
        plain, compiled = weights(tmp_path / "none"), weights(tmp_path / mode)
        assert plain.keys() == compiled.keys()
        assert all(torch.equal(plain[name], compiled[name]) for name in plain), mode
        assert read_json(tmp_path / mode / "environment.json")["speed"]["compile"] == mode
        assert read_json(tmp_path / mode / "config.json") == read_json(
            tmp_path / "none" / "config.json"
        )


@pytest.mark.parametrize("stop", [5, 9])
def test_resume_is_exact_and_may_change_the_speed(stop: int, tmp_path: Path) -> None:
    blocks = SpeedConfig(compile="blocks", backend="eager", prefetch=2)
    train(TASK, CONFIG, tmp_path / "one", speed=blocks)
    left = iter(range(stop))
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path / "two", speed=blocks, stop=lambda: next(left, None) is None)
    train(TASK, CONFIG, tmp_path / "two")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    rows = [
        [
            {k: v for k, v in row.items() if k != "seconds"}
            for row in read_lines(f / "metrics.jsonl")
        ]
        for f in (tmp_path / "one", tmp_path / "two")
    ]
    assert rows[0] == rows[1]


def test_a_copy_of_a_compiled_model_runs_by_itself() -> None:
    """Deep copies (an average of weights, a pickle-free clone) keep names and use the same code."""
    engine = engine_of(
        replace(CONFIG, schedule=AlwaysShared()), SpeedConfig(compile="blocks", backend="eager")
    )
    graphs_by_step(engine)
    twin = copy.deepcopy(engine.model)
    assert list(twin.state_dict()) == list(engine.model.state_dict())
    inputs = engine.batch(0)["inputs"]
    torch.manual_seed(0)
    ours = engine.model(inputs)
    count = graph_count()
    torch.manual_seed(0)
    theirs = twin(inputs)
    assert torch.equal(ours, theirs)
    assert graph_count() == count
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    torch.manual_seed(0)
    assert torch.equal(engine.model(inputs), ours), "the copy shares nothing"


def test_eagerly_compiles_nothing() -> None:
    model = TASK.build(0)
    loss = compile_loss(TASK.loss, find_stack(model)[1], "blocks", "eager")
    start = graph_count()
    with eagerly():
        loss(model, TASK.batch(0, 0))
    assert graph_count() == start
    loss(model, TASK.batch(0, 0))
    assert graph_count() > start


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"compile": "all"}, "compile = 'all': must be one of none, blocks, model"),
        ({"backend": "gcc"}, "backend = 'gcc': must be one of inductor"),
        ({"prefetch": -1}, "prefetch = -1"),
        (
            {"attention": "fast"},
            "attention = 'fast': must be one of auto, measured, default, flash",
        ),
    ],
)
def test_impossible_speeds_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpeedConfig(**change)


def test_the_whole_loss_is_not_compiled_on_several_ranks() -> None:
    speed = SpeedConfig(compile="model")
    speed.validate("none")
    for parallel in ("ddp", "fsdp"):
        with pytest.raises(ConfigError, match=r"compile = 'model': must be none or blocks with"):
            speed.validate(parallel)
        SpeedConfig(compile="blocks").validate(parallel)


def test_the_attention_kernel_of_the_first_start_is_kept(tmp_path: Path) -> None:
    """What the folder says stands, unless named otherwise; float32 on the CPU measures nothing."""
    left = iter(range(3))
    with pytest.raises(Interrupted):
        train(TASK, CONFIG, tmp_path, stop=lambda: next(left, None) is None)
    path = tmp_path / "environment.json"
    here = read_json(path)
    assert here["speed"]["attention"] == "default"
    assert here["speed"]["attention_milliseconds"] == {}
    for asked, kept in (("auto", "cudnn"), ("measured", "cudnn"), ("flash", "flash")):
        write_json(path, here | {"speed": {"attention": "cudnn"}})
        loop = _Loop(
            CONFIG,
            RunFolder(tmp_path, read_json(tmp_path / "config.json")),
            CPU,
            Parallel(),
            SpeedConfig(attention=asked),
            None,
            lambda: False,
            print,
            Stages(TASK, CONFIG),
        )
        assert loop.engine.speed.attention == kept


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_generated_code_unties_and_resumes_too(precision: Any, tmp_path: Path) -> None:
    """Inductor: one layer's code for all layouts, the same loss to rounding, exact resume."""
    config = replace(CONFIG, precision=precision)
    blocks = SpeedConfig(compile="blocks")
    engine = engine_of(config, blocks)
    counts = graphs_by_step(engine)
    assert counts[1:] == [counts[1]] * config.steps
    task = RegressionTask(depth=4)  # generated code draws other dropout masks than eager code
    plain = train(task, config, tmp_path / "none")["valid"]["loss"]
    compiled = train(task, config, tmp_path / "blocks", speed=blocks)["valid"]["loss"]
    assert compiled == pytest.approx(plain, rel=1e-4 if precision == "float32" else 5e-2)
    left = iter(range(8))
    with pytest.raises(Interrupted):
        train(task, config, tmp_path / "two", speed=blocks, stop=lambda: next(left, None) is None)
    train(task, config, tmp_path / "two", speed=blocks)
    one, two = weights(tmp_path / "blocks"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
