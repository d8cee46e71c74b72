"""Fitted maps beside their own starts: the tool runs, and the record has the interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.learned_growth import of_seed
from swe.base.files import read_json

RECORD = Path(__file__).resolve().parents[2] / "records" / "learned_growth.json"


def test_a_seed_has_every_loss_and_the_cost_of_each_fit() -> None:
    losses, factors = of_seed(0, steps=1, updates=1)
    fits = {f"{name} {when}" for name in ("ligo", "mango") for when in ("start", "fitted")}
    assert set(losses) == {"source", "copies", "copies trained"} | fits
    assert losses["ligo fitted"] != losses["ligo start"]
    assert all(1 < factor < 1.5 for factor in factors.values())


@pytest.mark.parametrize("name", ["ligo", "mango"])
def test_the_record_says_that_fits_beat_their_starts(name: str) -> None:
    """Not that they beat training for as long: there they lose, and the record says so too."""
    pairs = read_json(RECORD)["pairs"]
    for reference, verdict in ((f"{name} start", "helps"), ("copies trained", "hurts")):
        found = pairs[f"{name} fitted - {reference}"]["fitted"]
        assert found["difference"]["n"] >= 5
        assert found["verdict"] == verdict
