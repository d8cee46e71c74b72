"""The table of what bfloat16 costs: written-out numbers, and a record of no run."""

from __future__ import annotations

from evidence.comparison import compare
from figures.base.wording import count
from figures.pages.precision import table


def test_cost_is_bfloat16_minus_float32_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, and 0.1 * 4.303 / sqrt 3 = 0.2484 to either side."""
    losses = {"float32": {0: 1.0, 1: 5.0, 2: 3.0}, "bfloat16": {0: 1.1, 1: 5.2, 2: 3.3}}
    record = {
        "arms": {"baseline": compare(losses, "float32")},
        "steps": 1000,
        "rate": 2e-3,
        "blind": {"loss": 4.2},
        "settings": {
            "model": {"layers": 12, "hidden": 64, "dropout": 0.1},
            "rows": 128,
            "data": {"length": 8},
        },
        "environment": {"device": "a CPU"},
    }
    text = table(record)
    assert "| baseline | 3 | 3.00 | 3.20 |" in text
    for number in ("0.2000", "0.0484", "0.4484"):
        assert number in text
    assert f"after {count(1000)} updates at 0.002" in text
    assert "12x64, 128 rows of 8 tokens, dropout 0.1; best loss blind to context 4.200" in text
    assert "the plateau ends at 3.700: 2 of 2 arms left the plateau. a CPU." in text


def test_not_run() -> None:
    assert table({"not_run": "no units"}) == "not run: no units"
