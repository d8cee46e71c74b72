"""What transforms cost: the tool measures each, and the record keeps the goals that it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.rivals_transforms import cases, measure
from swe.base.files import read_json

RECORD = Path(__file__).resolve().parents[2] / "records" / "transforms.json"
DENSE = ("ligo", "mango")


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [("stacking", 2, 4), ("unshare", 1, 4), ("share", 4, 1)],
)
def test_a_case_counts_what_it_has_and_makes(name: str, source: int, target: int) -> None:
    """Weights and two moments of as many layers as have their own, and the rest (words, mostly)."""
    found = measure(name, "4x64")
    layer = found["layer_bytes"]
    rest = found["target_bytes"] - target * layer
    more = found["source_bytes"] - rest - source * layer
    assert abs(more) <= 4 * 4 * 12, "step counts of so many layers' parameters"


@pytest.mark.parametrize("name", DENSE)
def test_a_dense_map_costs_its_products(name: str) -> None:
    """Each old layer widened once: two FLOPs a factor's entry a column, for weights and moments."""
    found = measure(name, "4x64")
    tile, words = 2 * (64 * 32 * 32 + 64 * 64 * 32), 30522 + 512 + 2
    inner = 2 * (256 * 128 * 32 + 256 * 64 * 32)  # LiGO's inner map is one, Mango's one of tiles
    layer = 4 * tile + 2 * inner if name == "ligo" else 12 * tile
    least = 3 * (2 * layer + 2 * words * 32 * 64 + tile)
    assert least < found["product_flops"] < 1.02 * least, "and the mixing of layers, and vectors"


def test_the_record_has_all_within_a_layer_of_memory() -> None:
    """And within two seconds all but dense maps, whose products alone take longer."""
    found = read_json(RECORD)["transforms"]
    assert found.keys() == cases().keys()
    for name, row in found.items():
        assert row["beyond_bytes"] <= row["layer_bytes"], name
        assert (row["seconds"] < 2) != (name in DENSE), name
        assert (row["product_seconds"] > 2) == (name in DENSE), name
