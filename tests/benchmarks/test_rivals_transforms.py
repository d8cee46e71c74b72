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


def test_the_record_has_all_but_dense_maps_within_the_goals() -> None:
    found = read_json(RECORD)["transforms"]
    assert found.keys() == cases().keys()
    for name, row in found.items():
        within = row["seconds"] < 2 and row["beyond_bytes"] <= row["layer_bytes"]
        assert within != (name in DENSE), name
