"""The record of foreign models in words."""

from __future__ import annotations

from typing import Any

import pytest

from figures.pages import foreign

HERE = {
    "environment": {"device": "a processor", "commit": "0123456789abcdef"},
    "versions": {"torch": "2", "transformers": "5", "timm": "1"},
    "seconds": 7,
}
LISTS = [
    {"where": "layers", "depth": 4, "way": "as it is", "distance": 2e-6, "generates": "same"},
    {"where": "stem", "depth": 3, "refusal": "stem.1.weight = [3]: tied layers must agree"},
]
RECORD: dict[str, Any] = {
    "sections": {
        "transformers": HERE
        | {
            "rows": [
                {"family": "one", "class": "OneModel", "lists": LISTS},
                {
                    "family": "two",
                    "class": "TwoModel",
                    "lists": [{"where": "h", "depth": 4, "way": "unit=2", "distance": 3e-5}],
                },
                {
                    "family": "odd",
                    "class": "OddModel",
                    "lists": [
                        {"where": "h", "depth": 4, "way": "as it is", "wrong": "0.3 away"},
                    ],
                },
                {"family": "big", "class": "BigModel", "lists": [], "not_tried": "no tiny: x"},
            ]
        },
        "wrappers": HERE
        | {
            "rows": [
                {"wrapper": "none", "class": "OneModel", "distance": 1e-6},
                {"wrapper": "none", "class": "TwoModel", "distance": 1e-7},
                {"wrapper": "some", "class": "OneModel", "refusal": "model: it is wrapped"},
                {"wrapper": "odd", "class": "OneModel", "not_tried": "peft is not installed"},
            ]
        },
        "optimisers": HERE
        | {
            "rows": [
                {"optimiser": "torch SGD", "distance": 1e-7},
                {"optimiser": "timm odd", "distance": 0.2, "wrong": "0.2 away"},
                {"optimiser": "timm none", "not_tried": "needs a GPU"},
            ]
        },
    }
}


def test_models_are_summed_up_and_told_apart() -> None:
    text = foreign.transformers(RECORD)
    assert "3 of 4 classes tried, 4 lists of layers. 1 are taken as they are, 1 with" in text
    assert "1 are refused, 1 differ" in text
    assert "1 of 1 that generate give" in text
    assert "3.0 × 10⁻⁵" in text or "3 × 10⁻⁵" in text
    assert "As they are: OneModel." in text
    assert "| TwoModel | h | unit=2 |" in text
    assert "| OneModel | stem | stem.1.weight = \\[3\\]: tied layers must agree |" in text
    assert "| OddModel | h | 0.3 away |" in text
    assert "- Not tried, no tiny: BigModel." in text


def test_what_was_not_run_is_told() -> None:
    assert foreign.vision(RECORD) == "timm: not run.\n\ntorchvision: not run."


def test_wrappers_have_a_row_each() -> None:
    text = foreign.wrappers(RECORD)
    assert "| none | as untied copies |" in text
    assert "| some | refused: it is wrapped |" in text
    assert "| odd | not tried: peft is not installed |" in text
    assert "Around OneModel and TwoModel;" in text


@pytest.mark.parametrize("line", ["- torch 2: SGD.", "| timm odd | differs: 0.2 away |"])
def test_optimisers_are_told_by_library(line: str) -> None:
    assert line in foreign.optimisers(RECORD)
