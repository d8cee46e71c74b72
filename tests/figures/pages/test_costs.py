"""The tables of costs say what the records hold, and which bars are missed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from figures.pages.costs import SECONDS, fits, samplers, transforms
from swe.base.files import read_json

RECORDS = Path(__file__).resolve().parents[3] / "records"


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return dict(read_json(RECORDS / "transforms.json"))


def test_every_transform_has_its_row(record: dict[str, Any]) -> None:
    text = transforms(record)
    for name, one in record["transforms"].items():
        [row] = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert f"| {one['source']} | {one['seconds']:.2f} |" in row


def test_what_misses_a_bar_is_named(record: dict[str, Any]) -> None:
    one = {"seconds": SECONDS, "beyond_bytes": 5, "layer_bytes": 2**21, "source": "6x768"}
    one |= {"product_seconds": 0.0, "product_flops": 0.0}
    within = record | {"transforms": {"a": one}}
    assert "2 s and one layer (2 MiB): met by all; met by all." in transforms(within)
    over = one | {"seconds": SECONDS + 0.1, "product_seconds": 1.5, "product_flops": 1e9}
    above = one | {"beyond_bytes": 2**21 + 1}
    text = transforms(record | {"transforms": {"a": one, "slow": over, "large": above}})
    assert "missed by slow; missed by large." in text
    assert "| slow | 6x768 | 2.10 | 1.50 | 0 |" in text


def test_the_samplers_bar() -> None:
    found = {"overhead": 0.02, "least": -0.001, "most": 0.031}
    row = {"model": "8x64", "n": 3, "sampler": found, "penalty": found}
    record = {"rows": [row], "environment": {"device": "a machine"}}
    assert "| 8x64 | +2.0 % (−0.1 to +3.1) |" in samplers(record)
    assert samplers(record).endswith("1 %: missed by 8x64.")


def test_a_fit_is_set_beside_its_own_start() -> None:
    record = read_json(RECORDS / "learned_growth.json")
    text = fits(record)
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + 6
    for method in ("ligo", "mango"):
        gap = record["pairs"][f"{method} fitted - {method} start"]["fitted"]["difference"]
        [row] = [line for line in text.splitlines() if f"| {method} | {method} start |" in line]
        assert f"−{-gap['mean']:.3f} \\[−{-gap['low']:.3f}" in row
        assert row.endswith("n = 5 | helps |")
        assert f"{method} {record['updates a step'][method]:.2f}" in text
