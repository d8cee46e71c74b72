"""The table of what bfloat16 costs: written-out numbers, and a record of no run."""

from __future__ import annotations

from evidence.comparison import compare
from figures.pages.precision import table


def test_cost_is_bfloat16_minus_float32_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, and 0.1 * 4.303 / sqrt 3 = 0.2484 to either side."""
    losses = {"float32": {0: 1.0, 1: 5.0, 2: 3.0}, "bfloat16": {0: 1.1, 1: 5.2, 2: 3.3}}
    record = {
        "arms": {"baseline": compare(losses, "float32")},
        "steps": 7,
        "environment": {"device": "a CPU"},
    }
    text = table(record)
    assert "| baseline | 3 | 3.00 | 3.20 |" in text
    for number in ("0.2000", "0.0484", "0.4484"):
        assert number in text
    assert "after 7 updates" in text


def test_not_run() -> None:
    assert table({"not_run": "no units"}) == "not run: no units"
