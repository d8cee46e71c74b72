"""What only a CUDA device can show; run with ``pytest -m gpu``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from bert.model.config import named_config
from bert.model.encoder import build_bert
from swe.base.errors import NonFiniteLossError
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.run.attention import KERNELS, AttentionShape, measure, use
from swe.run.compiling import graph_count
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.speed import SpeedConfig
from swe.run.task import Batch
from swe.sharing.schedule import AlwaysShared, Schedule, SweFixed, SweMultistage
from tests.swe.run.test_loop import CONFIG
from tests.swe.sharing.residual import RegressionTask

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

TASK = RegressionTask(depth=4, width=64, batch=32, dropout=0.1)


def ended(updates: Iterator[int]) -> bool:
    """Whether the allowed updates are used up."""
    return next(updates, None) is None


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    [path] = (folder / "checkpoints").iterdir()
    return load_file(path / "weights.safetensors")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("schedule", [SweFixed(until=10), SweMultistage(rho=0.9, interval=4)])
def test_untie_keeps_the_function_and_resume_is_exact(
    precision: Literal["float32", "bfloat16"], schedule: Schedule, tmp_path: Path
) -> None:
    """The loop itself compares the held loss bit for bit at every untie, fused AdamW included."""
    config = replace(CONFIG, schedule=schedule, precision=precision)
    train(TASK, config, tmp_path / "one", device="cuda")
    assert read_lines(tmp_path / "one" / "events.jsonl")
    for stop in (9, 11):
        updates = iter(range(stop))
        with pytest.raises(Interrupted):
            train(
                TASK,
                config,
                tmp_path / f"{stop}",
                device="cuda",
                stop=partial(ended, updates),
            )
        train(TASK, config, tmp_path / f"{stop}", device="cuda")
        one, other = final_weights(tmp_path / "one"), final_weights(tmp_path / f"{stop}")
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_first_updates_agree_with_the_cpu(tmp_path: Path) -> None:
    """Float32 on both: eight updates apart only by the order of sums."""
    task = RegressionTask(depth=4, width=16)
    config = replace(CONFIG, steps=8, schedule=AlwaysShared(), log_interval=1)
    losses = {}
    for device in ("cpu", "cuda"):
        train(task, config, tmp_path / device, device=device)
        rows = read_lines(tmp_path / device / "metrics.jsonl")
        losses[device] = [row["loss"] for row in rows if row["kind"] == "train"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-4)


def test_a_poisoned_update_is_skipped_on_the_device_and_reported(tmp_path: Path) -> None:
    """The flag is read at the next row; until then the fused optimiser must not step."""
    task = RegressionTask(depth=4, poison=lambda index: index == 19)
    config = replace(CONFIG, precision="bfloat16", checkpoint_interval=7)
    with pytest.raises(NonFiniteLossError, match="update 9"):
        train(task, config, tmp_path, device="cuda")
    [path] = (tmp_path / "checkpoints").iterdir()  # of update 7: none is written of a bad one
    tensors = load_file(path / "weights.safetensors").values()
    assert all(torch.isfinite(t).all() for t in tensors)


def test_memory_is_that_of_the_device(tmp_path: Path) -> None:
    train(TASK, replace(CONFIG, steps=12), tmp_path, device="cuda")
    assert 0 < read_json(tmp_path / "summary.json")["peak_memory_bytes"] < 2**30


class SmallBert(RegressionTask):
    """Random tokens through a BERT of 8 layers: attention, dropout, embeddings, a gathered head."""

    shape = replace(named_config("8x128", vocabulary=512), positions=64)

    def __init__(self) -> None:
        super().__init__(depth=8)

    @property
    def attention(self) -> AttentionShape:
        return AttentionShape(32, self.shape.heads, 64, 128 // self.shape.heads, 0.1)

    def build(self, seed: int) -> nn.Module:
        return build_bert(self.shape, seed)

    def batch(self, seed: int, index: int) -> Batch:
        draw = torch.Generator().manual_seed(1000 * seed + index)
        return {
            "inputs": torch.randint(0, 512, (32, 64), generator=draw),
            "masked": torch.arange(10).expand(32, -1).contiguous(),
            "labels": torch.randint(0, 512, (32, 10), generator=draw),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits = model(batch["inputs"], batch["masked"])
        return functional.cross_entropy(logits.float(), batch["labels"].flatten())

    def evaluate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        batch = {k: v.to(device) for k, v in self.batch(0, 10**6).items()}
        return {"loss": float(self.loss(model, batch))}


BLOCKS = SpeedConfig(compile="blocks")
BERT_CONFIG = replace(CONFIG, precision="bfloat16", accumulation=1)


def test_compiled_blocks_untie_and_resume_without_a_new_graph(tmp_path: Path) -> None:
    """Generated code this time (inductor), bfloat16, dropout, and the untie's own check."""
    torch.compiler.reset()
    engine = Engine(SmallBert(), BERT_CONFIG, torch.device("cuda"), "here", speed=BLOCKS)
    counts = []
    for step in range(BERT_CONFIG.steps):
        batch = engine.batch(step)
        engine.begin(step, batch, measure=step in (3, 15))
        loss, _ = engine.update(step, batch)
        counts.append(graph_count())
    engine.close()
    assert engine.stack.layout.is_untied
    assert len(set(counts)) == 1, "everything was compiled in the first update"
    assert bool(torch.isfinite(loss))
    summary = train(SmallBert(), BERT_CONFIG, tmp_path, device="cuda", speed=BLOCKS)
    assert summary["valid"]["loss"] < 7.0, "ln 512 is 6.24"
    speed = read_json(tmp_path / "environment.json")["speed"]
    assert speed["compile"] == "blocks"
    assert speed["attention"] in KERNELS


def test_nothing_waits_for_the_device_between_logged_rows() -> None:
    """By the driver's word: compiled blocks, prefetched pinned batches, clipping, the guard."""
    engine = Engine(SmallBert(), BERT_CONFIG, torch.device("cuda"), "here", speed=BLOCKS)
    for step in range(3):
        batch = engine.batch(step)
        engine.begin(step, batch, measure=False)
        engine.update(step, batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(3, 9):
            batch = engine.batch(step)
            engine.begin(step, batch, measure=False)
            engine.update(step, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        engine.close()
    engine.raise_if_bad()


def test_the_untie_is_no_stall() -> None:
    """Beside the check and the copies an untie is a step: no graph, and steps as before at once.

    Medians of five steps each; the untied step has 8 layers' gradients to clip and to apply.
    """
    engine = Engine(SmallBert(), BERT_CONFIG, torch.device("cuda"), "here", speed=BLOCKS)
    milliseconds = []
    for step in range(BERT_CONFIG.steps):
        batch = engine.batch(step)
        torch.cuda.synchronize()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        engine.begin(step, batch, measure=False)
        engine.update(step, batch)
        end.record()
        torch.cuda.synchronize()
        milliseconds.append(begin.elapsed_time(end))
    engine.close()
    tied, untied = sorted(milliseconds[5:10])[2], sorted(milliseconds[-5:])[2]
    assert untied < 3 * tied
    assert milliseconds[10] < 10 * untied, "the untie itself: two forward passes and the copies"
    assert sorted(milliseconds[11:16])[2] < 3 * untied


@pytest.mark.parametrize("prefetch", [0, 3])
def test_prefetched_batches_are_pinned_and_the_same(prefetch: int, tmp_path: Path) -> None:
    speed = SpeedConfig(prefetch=prefetch)
    train(TASK, CONFIG, tmp_path / "one", device="cuda", speed=speed)
    train(TASK, CONFIG, tmp_path / "two", device="cuda", speed=SpeedConfig(prefetch=1))
    one, two = final_weights(tmp_path / "one"), final_weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    engine = Engine(TASK, CONFIG, torch.device("cuda"), "here", speed=speed)
    assert all(tensor.is_pinned() for tensor in engine.batches.get(0).values())
    engine.close()


def test_an_attention_kernel_is_measured_and_used() -> None:
    shape = AttentionShape(64, 4, 128, 64, 0.1)
    times = measure(shape, torch.bfloat16, torch.device("cuda"))
    assert times.keys() == KERNELS.keys()
    assert times["math"] is not None
    assert any(times[name] is not None for name in ("flash", "cudnn", "efficient"))
    try:
        use("efficient")
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
        assert not torch.backends.cuda.flash_sdp_enabled()
    finally:
        for name in ("flash", "cudnn", "mem_efficient"):
            getattr(torch.backends.cuda, f"enable_{name}_sdp")(True)
