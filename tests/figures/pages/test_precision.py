"""The table of what bfloat16 costs: written-out numbers, and a record of no run."""

from __future__ import annotations

from evidence.comparison import compare
from figures.base.wording import count
from figures.pages.precision import table


def test_cost_is_bfloat16_minus_float32_by_seed() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, and 0.1 * 4.303 / sqrt 3 = 0.2484 to either side."""
    losses = {"float32": {0: 1.0, 1: 5.0, 2: 3.0}, "bfloat16": {0: 1.1, 1: 5.2, 2: 3.3}}
    record = {
        "arms": {"baseline": {"rate": 0.002} | compare(losses, "float32")},
        "blind": {"loss": 4.2},
        "study": {"size": "12x64", "steps": 1000, "rows": 128, "length": 8},
        "environments": {"bfloat16": {"device": "a CPU", "command": "mine"}},
    }
    text = table(record)
    assert "| baseline | 0.002 | 3 | 3.00 | 3.20 |" in text
    for number in ("0.2000", "0.0484", "0.4484"):
        assert number in text
    assert f"after {count(1000)} updates" in text
    assert "12x64, 128 rows of 8 tokens; best loss blind to context 4.200" in text
    assert "the plateau ends at 3.700: 2 of 2 arms left the plateau. a CPU, `mine`." in text


def test_not_run() -> None:
    assert table({"not_run": "no units"}) == "not run: no units"
