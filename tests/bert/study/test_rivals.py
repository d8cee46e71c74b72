"""All methods at equal compute: FLOPs by hand, what goes on, ledgers, refusals, the command."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import paper_repro
from bert.model.config import BertConfig
from bert.study.rival_ledger import Phase, intervals, phases, undisturbed
from bert.study.rival_methods import METHODS, halvings
from bert.study.rivals import (
    RIVAL_SCALES,
    MethodsStudy,
    RivalArm,
    RivalsStudy,
    asked_rivals,
    best,
    most,
)
from evidence import rivals
from evidence.results import own_rivals
from evidence.rivals import CONTROLS
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError
from swe.base.files import write_json, write_lines
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import SweFixed
from swe.transforms.growth import Growth
from swe.transforms.stage import Stage

SMALL = RIVAL_SCALES["small"]["composition"]


MEASURED_OTHERWISE = (
    "mslt", "core", "layer-drop", "progressive-drop", "aki-two-stage", "ligo", "mango"
)  # fmt: skip
"""Methods whose updates cost less than a model of their size, or more."""


def arms(study: RivalsStudy) -> dict[str, RivalArm]:
    found = study.arms_of("rivals-composition")
    assert all(isinstance(arm, RivalArm) for arm in found)
    return {arm.name: arm for arm in found if isinstance(arm, RivalArm)}


def test_every_method_says_whose_it_is() -> None:
    assert list(METHODS) == [*CONTROLS, *rivals.METHODS]
    assert len({rival.claim for rival in rivals.METHODS.values()}) == len(rivals.METHODS)


@pytest.mark.parametrize("scale", list(RIVAL_SCALES))
def test_every_scale_has_both_languages(scale: str) -> None:
    for kind, found in RIVAL_SCALES[scale].items():
        assert found.language.kind == kind
        assert asked_rivals(kind, scale, 0, {}) == found
        assert from_dict(RivalsStudy, to_dict(found)) == found


def flops_of_update(model: BertConfig, rows: int, tokens: int, predicted: int) -> int:
    """Forward and backward products, a multiply-add as two, written out."""
    h, f = model.hidden, model.intermediate
    attention = 4 * h * h + 2 * tokens * h
    layer = tokens * 2 * (attention + 2 * h * f)
    head = predicted * 2 * (h * h + h * model.vocabulary)
    return 3 * rows * (model.layers * layer + head)


def costs_by_hand(study: MethodsStudy, arm: RivalArm, updates: int) -> list[int]:
    """FLOPs of each phase of a run, the checks of SWE-A and SWE-M that never untie with it."""
    task = study.task
    ends = [s.until if isinstance(s.until, int) else round(s.until * updates) for s in arm.stages]
    large = task.config
    models = [
        replace(
            large,
            layers=stage.depth,
            hidden=stage.widths.get("hidden", large.hidden),
            heads=stage.widths.get("heads", large.heads),
            intermediate=stage.widths.get("inner", large.intermediate),
        )
        for stage in arm.stages
    ]
    lengths = [b - a for a, b in zip([0, *ends], [*ends, updates], strict=True)]
    checks = (updates - 1) // getattr(arm.schedule, "interval", updates)
    lengths[-1] += checks
    return [
        length * flops_of_update(model, study.rows, task.length, task.masked)
        for length, model in zip(lengths, [*models, large], strict=True)
    ]


@pytest.mark.parametrize("kind", list(RIVAL_SCALES["small"]))
def test_updates_are_the_most_within_the_budget(kind: str) -> None:
    study = replace(RIVAL_SCALES["small"][kind], budgets=(0.5, 1.0, 2.0), best=("lemon", "swe-a"))
    found = arms(study)
    one = study.steps * sum(costs_by_hand(study, found["baseline"], 1))
    for arm in found.values():
        if arm.method in MEASURED_OTHERWISE:
            continue
        charged = sum if arm.charged is not False else (lambda parts: parts[-1])
        assert charged(costs_by_hand(study, arm, arm.updates)) <= arm.budget * one
        assert charged(costs_by_hand(study, arm, arm.updates + 1)) > arm.budget * one
        assert study.costs_of(arm) == costs_by_hand(study, arm, arm.updates)
    assert found["baseline"].updates == found["swe-f"].updates == study.steps
    assert found["baseline x2"].updates == 2 * study.steps
    assert found["lemon x0.5"].updates < found["lemon"].updates < found["lemon x2"].updates


def test_what_is_frozen_thin_dropped_or_fitted_by_hand() -> None:
    """Of L = 6 layers: MSLT's 2, 4, 6 with the top two in training; a layer is forward and twice
    as much backward."""
    study = SMALL
    task = study.task
    config = task.config
    whole, layer = task.flops_per_batch, task.flops_per_layer
    head = whole - 6 * layer
    found = arms(study)
    thirds = [round(0.2 * found["mslt"].updates * k) for k in (1, 2, 3)]
    one, two, three, last = study.costs_of(found["mslt"])
    lengths = [b - a for a, b in zip([0, *thirds], [*thirds, found["mslt"].updates], strict=True)]
    wanted = [2 * layer, (2 / 3 + 2) * layer, (4 / 3 + 2) * layer, 6 * layer]
    assert [one, two, three, last] == pytest.approx(
        [length * (head + part) for length, part in zip(lengths, wanted, strict=True)]
    )
    core = found["core"]
    thin, _ = study.costs_of(core)
    h, f, r = config.hidden, config.intermediate, config.hidden // 4
    saved = 4 * (h * h - 2 * h * r) + 2 * (h * f - (h + f) * r)
    begun = round(0.3 * core.updates)
    assert thin == pytest.approx(begun * (whole - 6 * 3 * study.rows * task.length * 2 * saved))
    drop = found["layer-drop"]
    assert study.costs_of(drop) == pytest.approx([drop.updates * (whole - 0.2 * 6 * layer)])
    later = found["progressive-drop"]
    assert study.steps < drop.updates < later.updates
    for name in ("ligo", "mango"):
        small, large = study.costs_of(found[name])
        after = found[name].updates - round(0.3 * found[name].updates)
        fits = 0.05 * study.steps
        assert large - after * whole > fits * whole, "the map has a price, too"
        assert large - after * whole < 2 * fits * whole
        assert small < begun * whole
    assert all(arm.charged is None for arm in (drop, later, core, found["mslt"]))
    assert found["ligo uncharged"].updates > found["ligo"].updates


def test_sub_models_by_hand() -> None:
    """Of L = 6 layers: 2, 4 or 6 run, in mean 4, and 2 train; forward is a third of a layer. For an
    eighth of the updates behind the growth, be the source charged or not."""
    study, task, found = SMALL, SMALL.task, arms(SMALL)
    spared = task.flops_per_layer * (6 - (2 + (4 - 2) / 3))
    charged, free = found["aki-two-stage"], found["aki-two-stage uncharged"]
    assert charged.stages == found["aki"].stages
    grown, end = (round(share * charged.updates) for share in (0.3, 0.3 + 0.7 / 8))
    for arm in (charged, free):
        large = (arm.updates - grown) * task.flops_per_batch - (end - grown) * spared
        assert study.costs_of(arm)[-1] == pytest.approx(large)
        assert arm.more["dropping"].during(arm.updates) == range(grown, end)
        assert arm.more["dropping"].layers == 2
    assert found["aki"].updates < charged.updates < free.updates
    deep = arms(replace(SMALL, size="12x32"))["aki-two-stage"]
    assert deep.more["dropping"].layers == 3, "as the paper has it"


def test_a_source_not_charged_is_the_same_source() -> None:
    found = arms(SMALL)
    for name, arm in found.items():
        if arm.charged:
            free = found[f"{name} uncharged"]
            train = SMALL.arm_config(arm, 1e-3, 0)
            ends = [round(s.until * train.steps) for s in train.stages]
            assert [stage.until for stage in free.stages] == ends
            fit = 1.05 * 0.05 * SMALL.steps if name in ("ligo", "mango") else 0  # 1.05: the map
            if name != "aki-two-stage":  # whose large phase costs less than its updates
                large = free.updates - ends[-1]
                assert large == pytest.approx(SMALL.steps - fit, abs=1 if fit else 0)
    assert [name for name, arm in found.items() if arm.charged] == [
        "stacking", "g-stack", "interpolation", "identity", "net2net", "fpi", "aki",
        "aki-two-stage", "lemon", "ligo", "mango", "grow-share",
    ]  # fmt: skip


def test_three_patterns_of_three_distinct_layers() -> None:
    """Takase and Kiyono's figure, to the end of the run."""
    found = arms(SMALL)
    owners = {
        name: found[name].schedule.start(6).layout.owner
        for name in ("cycle", "cycle-rev", "sequence")
    }
    assert owners == {
        "cycle": (0, 1, 2, 0, 1, 2),
        "cycle-rev": (0, 1, 2, 2, 1, 0),
        "sequence": (0, 0, 1, 1, 2, 2),
    }
    assert all(found[name].schedule.trigger is None for name in owners)


def small_model(stage: Stage) -> tuple[int, int | None, str, str]:
    """A stage's layers and units, and how it grows in both."""
    assert isinstance(stage.growth, Growth)
    return stage.depth, stage.widths.get("hidden"), stage.growth.depth, stage.growth.width


def test_the_small_models_of_the_methods() -> None:
    shapes = {
        name: [small_model(stage) for stage in a.stages]
        for name, a in arms(replace(SMALL, size="12x32")).items()
        if a.charged and name not in MEASURED_OTHERWISE
    }
    assert shapes == {
        "stacking": [(3, None, "stack", "fpi"), (6, None, "stack", "fpi")],
        "g-stack": [(3, None, "stack", "fpi")],
        "interpolation": [(6, None, "interpolate", "fpi")],
        "identity": [(6, None, "identity", "fpi")],
        "net2net": [(12, 16, "identity", "net2net")],
        "fpi": [(12, 16, "stack", "fpi")],
        "aki": [(12, 16, "stack", "aki")],
        "lemon": [(6, 16, "identity", "lemon")],
        "grow-share": [(1, None, "stack", "fpi")],
    }
    assert arms(SMALL)["grow-share"].schedule == SweFixed(until=SMALL.tau)
    assert [halvings(depth) for depth in (1, 6, 7, 8)] == [[], [3], [], [2, 4]]


def test_the_most_updates_by_counting_up() -> None:
    for flops in (7.0, 8.0, 30.5, 100.0):
        spent = [3.0 * n - n // 3 for n in range(100)]
        counted = max(n for n in range(100) if spent[n] <= flops)
        assert most(spent.__getitem__, flops, counted, "it") == counted
    with pytest.raises(ConfigError, match="steps = 9: must be more: it has no room for half of"):
        most(lambda updates: 3.0 * updates, 14.9, 9, "it")


def test_the_best_go_on_and_swe_f_with_them() -> None:
    def arm(loss: float | None, budget: float = 1.0, charged: bool | None = None) -> dict[str, Any]:
        return {"budget": budget, "charged": charged} | (
            {} if loss is None else {"loss": {"mean": loss}}
        )

    rows = {
        "baseline": arm(1.0), "equal-start": arm(0.1), "swe-f": arm(9.0), "swe-a": arm(0.5),
        "lemon": arm(0.4, charged=True), "lemon uncharged": arm(0.2, charged=False),
        "fpi": arm(0.4), "aki": arm(None), "cycle": arm(0.7), "stacking": arm(0.6),
        "swe-a x2": arm(0.1, budget=2.0),
    }  # fmt: skip
    table = {"arms": rows, "order": list(rows)}
    assert best(table) == ("baseline", "swe-f", "lemon", "fpi", "swe-a", "stacking")


def test_phases_and_the_seconds_of_their_updates(tmp_path: Path) -> None:
    """A growth before update 4, an untie before update 8; what holds either is not timed."""
    stage = Stage(until=4, depth=1, widths={"hidden": 16})
    train = TrainConfig(steps=12, stages=(stage,), schedule=SweFixed(until=8))
    write_json(
        tmp_path / "config.json",
        {"train": to_dict(train), "task": {"model": {"layers": 2, "hidden": 32}}},
    )
    events = [{"kind": "grow", "step": 4}, {"kind": "unshare", "step": 8, "groups": [1, 1]}]
    write_lines(tmp_path / "events.jsonl", events)
    ticks = [
        ("train", 2, 9.0), ("train", 4, 10.0), ("valid", 4, 90.0), ("train", 6, 99.0),
        ("probe", 6, 99.0), ("train", 8, 103.0), ("train", 9, 200.0), ("train", 12, 203.0),
    ]  # fmt: skip
    rows = [{"kind": kind, "step": step, "seconds": seconds} for kind, step, seconds in ticks]
    write_lines(tmp_path / "metrics.jsonl", rows)
    small, tied, untied = "1x16, 1 block", "2x32, 1 block", "2x32, 2 blocks"
    assert phases(tmp_path) == [Phase(0, 4, small), Phase(4, 8, tied), Phase(8, 12, untied)]
    assert list(intervals(tmp_path)) == [(small, 0.5), (tied, 2.0), (untied, 1.0)]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the command at two budgets."""
    out = tmp_path_factory.mktemp("rivals")
    asked = [
        "rivals", "--scale", "smoke", "--out", str(out), "--jobs", "1", "--seeds", "1",
        "--language", "hierarchy", "--budgets", "0.6,1",
        "--set", "only=lemon,grow-share", "best=grow-share", "steps=10",
    ]  # fmt: skip
    assert paper_repro.main(asked) == 0
    return out


def table_in(out: Path) -> dict[str, Any]:
    [table] = own_rivals(out)
    return table.data


@pytest.mark.slow
def test_the_command_then_budgets_of_the_best(ran: Path) -> None:
    table = table_in(ran)
    assert table["complete"]
    assert table["order"] == [
        "baseline", "lemon", "lemon uncharged", "grow-share", "grow-share uncharged",
        "baseline x0.6", "grow-share x0.6",
    ]  # fmt: skip
    assert set(table["speedup"]) == set(table["order"]) - {"baseline", "baseline x0.6"}
    assert table["arms"]["baseline x0.6"]["steps"] == 6
    assert not (ran / "data").exists(), "no text is read"


@pytest.mark.slow
def test_the_runs_cost_what_was_planned(ran: Path) -> None:
    table = table_in(ran)
    for name, row in table["arms"].items():
        assert row["flops"] == {"0": sum(row["phase_flops"])}, name
        assert sum(row["phases"].values()) == row["steps"] == row["updates"]
        timed = [table["update_seconds"].get(model) for model in row["phases"]]
        seconds = [a * b for a, b in zip(timed, row["phases"].values(), strict=True) if a]
        known = pytest.approx(sum(seconds)) if None not in timed else None
        assert row["reference_seconds"] == known
    assert table["arms"]["lemon"]["phases"] == {"2x16, 2 blocks": 4, "4x32, 4 blocks": 9}
    assert list(table["arms"]["grow-share"]["phases"]) == [
        "1x32, 1 block", "4x32, 1 block", "4x32, 4 blocks",
    ]  # fmt: skip
    assert "1x32, 1 block" not in table["update_seconds"], "one update has no interval"


def test_what_else_a_machine_did_does_not_count() -> None:
    """Nine tenths of the intervals may be of a busy machine."""
    assert undisturbed([1.0]) == 1.0
    assert undisturbed([9.0, 8.0, 1.0, 7.0]) == 1.0
    assert undisturbed([1.0, 1.1, *[50.0] * 18]) == 1.1


def test_the_seconds_of_sub_models_are_their_own(tmp_path: Path) -> None:
    """A phase between the growth and the whole model: its FLOPs are those of the draws."""
    study = asked_rivals("hierarchy", "smoke", 0, {"only": ["aki-two-stage"], "steps": 24})
    arm = arms(study)["aki-two-stage"]
    config = study.arm_config(arm, study.rates[0], 0)
    summary, sampler, task = train(study.task, config, tmp_path), config.dropping, study.task
    assert sampler is not None
    small, drawn, whole = phases(tmp_path)
    assert (small.model, whole.model) == ("4x16, 4 blocks", "4x32, 4 blocks")
    assert drawn.model == f"{whole.model}, sub-model-training"
    assert range(drawn.first, drawn.end) == sampler.during(config.steps)
    run = sum(len(sampler.active(s, config.steps, 4, 0)) for s in range(drawn.first, drawn.end))
    spared = (
        drawn.updates * 4 - (drawn.updates + (run - drawn.updates) / 3)
    ) * task.flops_per_layer
    large = (config.steps - drawn.first) * task.flops_per_batch - spared
    assert summary["flops"] == pytest.approx(study.costs_of(arm)[0] + large, rel=1e-12)


@pytest.mark.parametrize("method", ["mslt", "core", "ligo", "mango"])
def test_what_is_frozen_thin_or_fitted_costs_what_was_planned(method: str, tmp_path: Path) -> None:
    study = asked_rivals("hierarchy", "smoke", 0, {"only": [method]})
    config = study.arm_config(arms(study)[method], study.rates[0], 0)
    flops = train(study.task, config, tmp_path)["flops"]
    planned = study.costs_of(arms(study)[method])
    assert flops == pytest.approx(math.fsum(planned), rel=1e-12), "sums in another order"
    assert len(phases(tmp_path)) == len(planned)
    assert len({phase.model for phase in phases(tmp_path)}) == len(planned)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3, "size": "6x48"}, "heads = 3: must be even, to be grown from half the width"),
        ({"size": "5x32"}, "layers = 5: must be a multiple, to be shared in a cycle"),
        ({"size": "9x32"}, "layers = 9: must be even, to be grown from half of them"),
        ({"budgets": [0.5, 2.0]}, r"budgets = \(0.5, 2.0\): must be a list with 1"),
        ({"budgets": [2.0, 1.0]}, r"budgets = \(2.0, 1.0\): must be ascending"),
        ({"best": ["stack"]}, "best = 'stack': must be of baseline, equal-start"),
        ({"only": ["lemon x2"]}, "only = 'lemon x2': must be of"),
        ({"taus": [0.1]}, r"taus = \(0.1,\): must be left out; see budgets"),
        ({"encoder": "transformers"}, "encoder = 'transformers': must be own"),
    ],
)
def test_impossible_studies_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        asked_rivals("composition", "small", 0, settings)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["bert", "--budgets", "1,2"], "--budgets: is of the verb rivals; add rivals, or leave"),
        (["rivals", "--budgets", "1,two"], "--budgets 1,two: must be numbers between commas"),
        (["rivals", "--scale", "full"], "scale = 'full': must be one of smoke, small"),
        (["rivals", "--scale", "gpu"], "--scale gpu: only for table1"),
        (["rivals", "--scale", "demo"], "--scale demo: only for languages, not for rivals"),
    ],
)
def test_impossible_commands_are_refused(
    asked: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert paper_repro.main([*asked, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
