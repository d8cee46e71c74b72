"""The arms on an encoder of transformers: records, resume, the command, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import paper_repro
from bert import pretrain
from bert.languages.composition import Composition
from bert.model.config import Placement
from bert.study.asked import GROWING
from bert.study.commands import Place, language_command
from bert.study.language_study import LanguageStudy, build_language_task
from bert.study.tables import is_done, run_folder, run_table
from swe.base.config import to_dict
from swe.base.files import json_digest, read_json, write_json
from swe.base.interrupt import Interrupted
from swe.run.engine import Engine
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.dropping import LayerDrop
from swe.sharing.schedule import SweFixed
from tests.swe.run.crash import differences, outcome

pytest.importorskip("transformers")

OWN = LanguageStudy(
    size="2x16",
    rows=4,
    steps=6,
    seeds=1,
    check=0.3,
    validation_rows=30,
    tau=0.5,
    rates=(2e-3,),
    only=("equal-start", "swe-f"),
    language=Composition(symbols=4, hops=2),
)


@pytest.mark.slow
def test_the_arms_stopped_and_resumed(tmp_path: Path) -> None:
    """The table of our own encoder's study, with the numbers of the runs taken one by one."""
    study = replace(OWN, encoder="transformers")
    work, out = (build_language_task, (study,)), tmp_path / "table"
    calls = iter(range(10**6))
    with pytest.raises(Interrupted):
        run_table("composition", study, work, out, stop=lambda: next(calls) >= 4)
    assert not is_done("composition", study, out)
    found = run_table("composition", study, work, out)
    assert found["order"] == ["baseline", "equal-start", "swe-f"]
    for arm in study.arms_of("composition")[:3]:
        row, alone = found["arms"][arm.name], tmp_path / arm.name
        valid = train(build_language_task(study), study.arm_config(arm, 2e-3, 0), alone)["valid"]
        assert row["values"] == {"0": valid["loss"]}
        assert row["parts"]["0"]["hop_2"]["accuracy"] == valid["accuracy_hop_2"]
        config = read_json(run_folder(out, arm.name, 2e-3, 0) / "config.json")
        assert config["task"]["encoder"] == "RobertaPreLayerNormForMaskedLM"
    assert found["arms"]["swe-f"]["untied_at"] == {"0": [3]}


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_a_run_cut_anywhere_resumes_bit_for_bit(placement: Placement, tmp_path: Path) -> None:
    """Stopped before, at and after the untie, with dropout."""
    study = replace(OWN, placement=placement, encoder="transformers", dropout=0.1)
    task = build_language_task(study)
    config = TrainConfig(
        steps=9, schedule=SweFixed(until=4 / 9), eval_interval=2, checkpoint_interval=3
    )
    train(task, config, tmp_path / "one")
    for cut in (3, 4, 6):
        folder, asked = tmp_path / f"cut-{cut}", [False] * cut + [True]
        with pytest.raises(Interrupted):
            train(task, config, folder, stop=partial(asked.pop, 0))
        train(task, config, folder)
        assert not differences(outcome(tmp_path / "one", 9), outcome(folder, 9))


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_layers_of_the_stock_encoder_are_left_out(placement: Placement) -> None:
    """By what is inside of a layer: its own hooks are called though it is left out."""
    task = build_language_task(replace(OWN, placement=placement, encoder="transformers"))
    dropping = LayerDrop(rate=0.5)
    config = TrainConfig(steps=6, schedule=SweFixed(until=3), dropping=dropping)
    engine = Engine(task, config, torch.device("cpu"), "here")
    ran: list[int] = []
    for layer, module in enumerate(engine.stack.layer_modules()):
        module.get_submodule("intermediate").register_forward_hook(
            lambda *_, layer=layer: ran.append(layer)
        )
    every = list(range(task.depth))
    for step in range(6):
        batch = engine.batch(step)
        engine.begin(step, batch, measure=False)
        ran.clear()
        engine.update(step, batch)
        assert ran == list(dropping.active(step, 6, task.depth, 0))
        ran.clear()
        engine.held_loss(batch)
        assert ran == every
    assert engine.stack.layout.is_untied


def test_our_own_encoder_keeps_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies on disk know no such field: they keep their name, and count as finished."""
    place = Place(out=tmp_path, scale="small", device="cpu", jobs=1)
    monkeypatch.setattr(
        "bert.study.commands.run_table",
        lambda table, study, *rest, **named: {"arms": {}, "order": [], "reference": "baseline"},
    )
    folders = []
    for study in (OWN, replace(OWN, encoder="transformers")):
        language_command(study, place)
        pointer = read_json(tmp_path / "bert" / "languages" / "composition.json")
        folders.append(pointer["folder"])
    earlier = to_dict(OWN)
    assert not earlier.keys() & {"encoder", "branch_scale", "initial_scale", "objective"}
    shared = {name: value for name, value in earlier.items() if name not in GROWING}
    digest = json_digest({"study": shared, "data": to_dict(OWN.language), "on": "cpu"})[:10]
    assert folders[0].startswith(f"small-{digest}-")
    assert not folders[1].startswith(f"small-{digest}-")
    assert "encoder" not in build_language_task(OWN).describe()
    write_json(tmp_path / "composition.json", {"complete": True, "study": earlier})
    assert is_done("composition", OWN, tmp_path)
    assert not is_done("composition", replace(OWN, encoder="transformers"), tmp_path)


def test_the_command_says_what_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["languages", "--scale", "smoke", "--out", str(tmp_path), "--set"]
    assert paper_repro.main([*line, "encoder=theirs"]) == 2
    assert "encoder = 'theirs': must be one of own, transformers" in capsys.readouterr().err
    assert paper_repro.main([*line, "encoder=transformers", "--compile", "blocks"]) == 2
    said = capsys.readouterr().err
    assert "--compile = 'blocks': must be none or model with encoder=transformers" in said
    one = ["--language", "composition", "--arm", "swe-f", "--out", str(tmp_path), "--set"]
    assert pretrain.main([*one, "encoder=transformers", "--parallel", "fsdp"]) == 2
    said = capsys.readouterr().err
    assert "--parallel = 'fsdp': must be none or ddp with encoder=transformers" in said
    assert not list(tmp_path.iterdir())


def test_one_arm_by_the_command(tmp_path: Path) -> None:
    line = ["--language", "hierarchy", "--scale", "smoke", "--arm", "swe-f", "--steps", "3"]
    given = ["encoder=transformers", "placement=post", "language.symbols=5"]
    assert pretrain.main([*line, "--set", *given, "--out", str(tmp_path)]) == 0
    config = read_json(tmp_path / "swe-f-s0" / "config.json")
    assert config["task"]["encoder"] == "BertForMaskedLM"
    assert config["task"]["data"]["kind"] == "hierarchy"
