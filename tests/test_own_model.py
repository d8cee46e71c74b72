"""The examples of docs/own_model.md run word for word."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from swe.base.files import read_lines
from swe.base.interrupt import Interrupted
from swe.run.loop import train
from swe.sharing.adopt import adopt
from swe.sharing.layout import Layout
from swe.sharing.schedule import SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.triggers import Trigger
from swe.transforms.transform import Transform
from tests.swe.run.test_loop import StopAt
from tests.swe.sharing.foreign.copies import loss_of
from tests.swe.sharing.foreign.models import Model

pytest.importorskip("transformers")
accelerate = pytest.importorskip("accelerate")

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "own_model.md").read_text("utf-8")


def run_example(name: str) -> dict[str, Any]:
    match = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    names: dict[str, Any] = {}
    exec(compile(match[1], f"docs/own_model.md ({name})", "exec"), names)
    return names


def test_the_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_example("plain")
    assert capsys.readouterr().out == "before update 12: 1x6 -> 6x1\n"
    assert names["swe"].state.layout == Layout.untied(6)
    held = {id(p) for group in names["optimizer"].param_groups for p in group["params"]}
    assert held == {id(p) for p in names["model"].parameters()}
    first, last = names["losses"][:5], names["losses"][-5:]
    assert sum(last) < 0.9 * sum(first)


# Pinned memory without an accelerator is the one thing the Trainer's defaults warn about.
@pytest.mark.filterwarnings("ignore:.*pin_memory:UserWarning")
def test_the_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = run_example("trainer")
    swe, trainer = names["swe"], names["trainer"]
    assert swe.events, "some group was split"
    assert swe.swe.state.layout == trainer.model.bert.encoder.layer._share_then_unshare.layout
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == [
        "checkpoint-20",
        "checkpoint-40",
    ]
    history = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert history[-1] < history[0]


def test_the_probes(capsys: pytest.CaptureFixture[str]) -> None:
    names = run_example("probes")
    assert len(capsys.readouterr().out.splitlines()) == 2
    arms, pair, bend, noise = (names[name] for name in ("arms", "pair", "bend", "noise"))
    assert all(not arm.diverged and arm.loss < arm.start_loss for arm in arms.values())
    assert arms["never-shared"].loss != arms["swe-f"].loss
    assert pair.tied.start_loss == pair.untied.start_loss
    assert bend.method == "exact"
    assert 0 < bend.tied_sharpness <= bend.sharpness
    assert 0 < bend.commutator < 1
    assert noise.batches == 8


def test_going_on_with_a_saved_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the run that was never broken."""
    monkeypatch.chdir(tmp_path)
    names = run_example("resume")
    model, optimizer, swe = names["start"]()
    names["train"](model, optimizer, swe, 0, names["steps"])
    again = names["again"].state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_a_program_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It acts when it should, and resumes bit for bit at its end and behind it."""
    monkeypatch.chdir(tmp_path)
    names = run_example("program")
    try:
        grown, untied = read_lines(tmp_path / "run" / "events.jsonl")
        rows = [r for r in read_lines(tmp_path / "run" / "metrics.jsonl") if r["kind"] == "train"]
        pairs = pairwise([(row["step"], row["loss"]) for row in rows])
        slow = [step for (_, one), (step, other) in pairs if other > one * (1 - 0.02)]
        assert grown["step"] == min([60, *slow])
        assert grown["growth"] == {"kind": "faint", "scale": 0.1}
        assert (untied["step"], untied["before"], untied["after"]) == (90, "1x6", "6x1")
        again = tmp_path / "again"
        for at in (grown["step"], 7):
            with pytest.raises(Interrupted):
                train(names["Task"](6), names["config"], again, stop=StopAt(at))
        assert train(names["Task"](6), names["config"], again)["valid"] == names["summary"]["valid"]
    finally:
        del Transform.kinds["faint"], Trigger.kinds["slow"]


@pytest.mark.parametrize("at", [3, 8])
def test_accelerate_saves_and_loads_it(tmp_path: Path, at: int) -> None:
    """Tied and untied: ``restore`` brings the layout, ``load_state`` the rest."""

    def start() -> tuple[Model, ShareThenUnshare, Any]:
        torch.manual_seed(0)
        accelerator = accelerate.Accelerator(cpu=True)
        model = Model()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        swe = adopt(model, "layers", SweFixed(until=5), optimizer, 10)
        accelerator.prepare(model, optimizer)
        return model, swe, accelerator

    def train(model: Model, swe: ShareThenUnshare, first: int, last: int) -> None:
        for step in range(first, last):
            swe.begin_step(step, lambda: loss_of(model, 100))
            loss_of(model, step).backward()
            swe.finish_gradients()
            swe.optimizer.step()
            swe.optimizer.zero_grad()

    model, swe, accelerator = start()
    train(model, swe, 0, at)
    accelerator.save_state(str(tmp_path / "saved"))
    saved = swe.to_json()
    train(model, swe, at, 10)
    again, other, accelerator = start()
    other.restore(saved)
    accelerator.load_state(str(tmp_path / "saved"))
    train(again, other, at, 10)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
