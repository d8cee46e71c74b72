"""Each figure: drawn, the same bytes twice, its numbers its data's, absent and malformed inputs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from figures.base import style
from figures.base.drawing import Drawing
from figures.pages.report import FIGURES
from swe.base.errors import ResultError

Edit = Callable[[Path, Callable[[Any], None]], None]
NAMES = list(FIGURES)
DRAW = {name: figure.draw for name, figure in FIGURES.items()}
FOLDER = "bert/smoke-abc"
RIVALS = "bert/rivals/small-0123-composition"


def words(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "figures" / f"{name}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("entry", FIGURES.values(), ids=NAMES)
def test_same_inputs_give_same_bytes(entry: Drawing[Any], results: Path, built: Path) -> None:
    mpl.rcParams["font.size"] = 30  # a session's own settings must not leak in
    try:
        assert entry.draw(results) is True
    finally:
        mpl.rcParams["font.size"] = mpl.rcParamsDefault["font.size"]
    for kind in ("png", "svg", "json"):
        one, other = (o / "figures" / f"{entry.name}.{kind}" for o in (results, built))
        assert one.read_bytes() == other.read_bytes()
    tree = ElementTree.parse(built / "figures" / f"{entry.name}.svg")
    assert "date" not in {element.tag.rsplit("}")[-1] for element in tree.iter()}


@pytest.mark.parametrize("name", NAMES)
def test_words_are_complete(name: str, built: Path) -> None:
    found = words(built, name)
    assert set(found) == {"name", "title", "caption", "alt", "sources"}
    assert found["name"] == name
    assert all(found[key] for key in ("title", "caption", "alt"))
    assert all((built / source).exists() for source in found["sources"])


def _set(*path: str | int) -> Callable[[Any, Any], None]:
    def put(value: Any, new: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return put


NUMBERS = [
    ("flow_curves", "theory/flow_curves.json",
     ("data", "caption_numbers", "largest_descent_difference"), 0.00777, "0.0032", "0.0078"),
    ("theorem_bounds", "theory/theorem_bounds.json",
     ("data", "caption_numbers", "time_zas_over_shared_1e-6", "one small"), 9.87, "1.23", "9.87"),
    ("descent_bounds", "theory/descent_bounds.json",
     ("data", "caption_numbers", "largest_slope"), 1.234, "1.012", "1.234"),
    ("controls", "theory/controls.json",
     ("data", "caption_numbers", "tying", "near-symmetric"), -0.0777, "−0.032", "−0.078"),
    ("gradient_noise", "theory/gradient_noise.json",
     ("data", "caption_numbers", "largest_floor_gap"), 0.0456, "gap 3.1 %", "gap 4.6 %"),
    ("alignment", "theory/alignment.json",
     ("data", "caption_numbers", "deepest_least_cosine"), 0.987, "0.937", "0.987"),
    ("common_component", "theory/common_component.json",
     ("data", "caption_numbers", "times", "swe"), [1.11, 0.77], "1.11 and 0.550",
     "1.11 and 0.770"),
    ("odd_targets", "theory/odd_targets.json",
     ("data", "caption_numbers", "identity_over_zas"), 22.2, "11.4", "22.2"),
    ("speedup", "theory/speedup.json",
     ("data", "caption_numbers", "least_slope"), 0.567, "0.345", "0.567"),
    ("steps", "theory/steps.json",
     ("data", "caption_numbers", "exponents", "zas theorem", "slope_high"), 2.44, "without 0.12 to "
     "0.34", "without 0.12 to 2.44"),
    ("admissible", "theory/admissible.json",
     ("data", "caption_numbers", "theorem4", "true_over_proved_high"), 2.34,
     "1.80 to 1.90 times the proved one at all depths; exponent of L −1.01 to −0.990 (fitted from "
     "2 to 16; local slopes −1.02 to −0.980). (b)", "1.80 to 2.34"),
    ("toy_deep_linear", "toy/deep_linear.json",
     ("data", "core_against_flow", "slope"), 0.912, "1.017", "0.9120"),
    ("toy_teacher_student", "toy/teacher_student.json", ("data", "width"), 13, "width 8",
     "width 13"),
    ("toy_predictions", "toy/predictions.json",
     ("data", "settings", 0, "predicted_best_tau"), 0.625, "the core: 0.38", "the core: 0.62"),
    ("toy_judged", "toy/judged.json",
     ("data", "settings", 0, "against_baseline", "swe-f 20 %", "difference", "mean"), -0.543,
     "−0.67 [", "−0.54 ["),
    ("toy_hessian", "toy/hessian.json",
     ("data", "settings", 0, "parts", "full", "best_tau"), 0.35,
     "ε = 0.3, SGD: best τ/T by full Hessian 0.10", "ε = 0.3, SGD: best τ/T by full Hessian 0.35"),
    ("toy_forecast", "toy/forecast.json",
     ("data", "rules", "forecast", "all", "sign", "right"), 1, "sign 2 of 3", "sign 1 of 3"),
    ("quadratic", "theory/quadratic.json",
     ("data", "caption_numbers", "rule_gap"), 0.0017, "0.0042 T", "0.0017 T"),
    ("sign_descent", "theory/sign_descent.json",
     ("data", "caption_numbers", "largest_z"), 2.27, "is 1.63", "is 2.27"),
    ("staircase", "theory/staircase.json",
     ("data", "caption_numbers", "flow_high"), 1.31, "1.05 to 1.22", "1.05 to 1.31"),
    ("when", "theory/when.json",
     ("data", "caption_numbers", "closed_gap"), 0.0377, "gap 0.013", "gap 0.038"),
    ("phases", "theory/phases.json",
     ("data", "maps", "curvature", "agree"), 0.625, "right in 87.5 %", "right in 62.5 %"),
    ("adam_quadratic", "toy/adam_quadratic.json",
     ("data", "caption_numbers", "largest_gap_adam"), 0.0321, "4.3 %", "3.2 %"),
    ("adam_unshare", "toy/adam_unshare.json",
     ("data", "caption_numbers", "largest_gap"), 0.0311, "2.3 %", "3.1 %"),
    ("moments", "toy/moments.json", ("data", "networks"), 14, "n = 6 networks", "n = 14 networks"),
    ("bert_comparison", f"{FOLDER}/comparison.json",
     ("arms", "swe-f", "difference", "mean"), 0.4321, "+0.1040", "+0.4321"),
    ("bert_loss", f"{FOLDER}/comparison.json", ("study", "peak_lr"), 0.007, "0.002", "0.007"),
    ("bert_correlations", f"{FOLDER}/comparison.json", ("study", "rho"), 0.625, "ρ = 0.5 ",
     "ρ = 0.625"),
    ("bert_dispersion", f"{FOLDER}/baseline-s0/summary.json",
     ("weights", "dispersion"), 0.7, "baseline 0.50 and 0.10", "baseline 0.50 and 0.30"),
    ("bert_rivals", f"{RIVALS}/rivals-composition.json",
     ("arms", "swe-f", "difference", "mean"), -0.3217, "SWE-F −0.3984", "SWE-F −0.3217"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "path", "new", "before", "after"), NUMBERS)
def test_caption_says_the_data(
    name: str,
    file: str,
    path: tuple[str, ...],
    new: Any,
    before: str,
    after: str,
    results: Path,
    built: Path,
    edit: Edit,
) -> None:
    assert before in words(built, name)["caption"]
    edit(results / file, lambda value: _set(*path)(value, new))
    DRAW[name](results)
    caption = words(results, name)["caption"]
    assert after in caption
    assert before not in caption


def test_final_losses_are_the_last_validation_rows(built: Path) -> None:
    # Written out: baseline 6.00, 6.01, 6.02; equal start 0.05 lower, 0.002 s apart.
    assert "baseline 6.0100, equal start 5.9620," in words(built, "bert_loss")["caption"]


def test_a_bound_that_fails_is_said(results: Path, built: Path, edit: Edit) -> None:
    assert "every recorded step in 4 of 4 runs" in words(built, "descent_bounds")["caption"]
    edit(results / "theory/descent_bounds.json", lambda v: v["data"]["rows"][1].update(holds=False))
    DRAW["descent_bounds"](results)
    assert "every recorded step in 3 of 4 runs" in words(results, "descent_bounds")["caption"]


def test_comparison_says_n_and_verdict(built: Path, one_seed: Path) -> None:
    caption = words(built, "bert_comparison")["caption"]
    assert "n = 3 paired seeds" in caption
    assert "equal start −0.0480 [−0.0530, −0.0430], helps" in caption
    assert DRAW["bert_comparison"](one_seed)
    caption = words(one_seed, "bert_comparison")["caption"]
    assert "n = 1 paired seed," in caption
    assert "equal start −0.0500, one seed: no interval" in caption


@pytest.mark.parametrize("name", ["bert_loss", "bert_correlations", "bert_dispersion"])
def test_one_seed_is_enough(name: str, one_seed: Path) -> None:
    assert DRAW[name](one_seed) is True
    assert "n = 1 seed" in words(one_seed, name)["caption"]


@pytest.mark.parametrize("name", NAMES)
def test_absent_input_draws_nothing(name: str, tmp_path: Path) -> None:
    assert DRAW[name](tmp_path) is False
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["bert_loss", "bert_correlations", "bert_dispersion"])
def test_a_missing_run_counts_as_absent(name: str, results: Path) -> None:
    (results / FOLDER / "swe-a-s1" / "summary.json").unlink()
    assert DRAW[name](results) is False


FILES = [
    ("flow_curves", "theory/flow_curves.json"),
    ("theorem_bounds", "theory/theorem_bounds.json"),
    ("descent_bounds", "theory/descent_bounds.json"),
    ("controls", "theory/controls.json"),
    ("gradient_noise", "theory/gradient_noise.json"),
    ("alignment", "theory/alignment.json"),
    ("common_component", "theory/common_component.json"),
    ("odd_targets", "theory/odd_targets.json"),
    ("speedup", "theory/speedup.json"),
    ("steps", "theory/steps.json"),
    ("admissible", "theory/admissible.json"),
    ("toy_deep_linear", "toy/deep_linear.json"),
    ("toy_teacher_student", "toy/teacher_student.json"),
    ("toy_predictions", "toy/predictions.json"),
    ("toy_judged", "toy/judged.json"),
    ("toy_hessian", "toy/hessian.json"),
    ("toy_forecast", "toy/forecast.json"),
    ("quadratic", "theory/quadratic.json"),
    ("sign_descent", "theory/sign_descent.json"),
    ("staircase", "theory/staircase.json"),
    ("when", "theory/when.json"),
    ("phases", "theory/phases.json"),
    ("adam_quadratic", "toy/adam_quadratic.json"),
    ("adam_unshare", "toy/adam_unshare.json"),
    ("moments", "toy/moments.json"),
    ("bert_comparison", f"{FOLDER}/comparison.json"),
    ("bert_comparison", "bert/current.json"),
    ("bert_loss", f"{FOLDER}/swe-f-s0/metrics.jsonl"),
    ("bert_loss", f"{FOLDER}/swe-f-s0/events.jsonl"),
    ("bert_correlations", f"{FOLDER}/swe-f-s0/summary.json"),
    ("bert_rivals", f"{RIVALS}/rivals-composition.json"),
]


@pytest.mark.parametrize("content", ['{"data": \n', '{"data": {"curves": 1}}\n', "[]\n", "3\n"])
@pytest.mark.parametrize(("name", "file"), FILES)
def test_malformed_input_is_named(name: str, file: str, content: str, results: Path) -> None:
    (results / file).write_text(content, encoding="utf-8")
    with pytest.raises(ResultError) as caught:
        DRAW[name](results)
    assert str(results / file) in str(caught.value)


def test_a_torn_last_line_is_no_error(results: Path, built: Path) -> None:
    with (results / FOLDER / "swe-f-s0" / "metrics.jsonl").open("a") as stream:
        stream.write('{"kind": "tra')
    assert DRAW["bert_loss"](results)
    assert words(results, "bert_loss") == words(built, "bert_loss")


def test_gradients_that_are_all_zero_are_drawn(results: Path) -> None:
    for path in results.glob(f"{FOLDER}/*/metrics.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if row["kind"] == "probe":
                row |= {"correlations": [None] * 3, "alignment": None}
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert DRAW["bert_correlations"](results)
    assert DRAW["bert_dispersion"](results)


def test_looks_differ_in_colour_and_in_marker_or_dash() -> None:
    bert = [
        style.ARMS[arm]
        for arm in ("baseline", "equal-start", "swe-f", "swe-a", "swe-m", "always-shared")
    ]
    toy = [
        style.ARMS[arm]
        for arm in ("equal-start", "always-shared", "swe-f 5 %", "swe-f 20 %", "swe-f 50 %")
    ]
    for looks in (list(style.METHODS.values()), bert, toy):
        assert len({look.colour for look in looks}) == len(looks)
        assert len({(look.marker, look.dash) for look in looks}) == len(looks)
