"""Updates to a held-out loss: between evaluations, at the first, never."""

from __future__ import annotations

import pytest

from figures.pages.plateau import reached, table


@pytest.mark.parametrize(
    ("level", "expected"), [(7.0, 10.0), (6.0, 15.0), (5.0, 20.0), (4.5, 22.5), (3.0, None)]
)
def test_the_first_update_at_or_below_a_level(level: float, expected: float | None) -> None:
    assert reached([10, 20, 30], [7.0, 5.0, 3.0 + 1e-9], level) == (
        None if expected is None else pytest.approx(expected, rel=1e-8)
    )


def test_a_loss_that_rises_again_counts_from_its_first_fall() -> None:
    assert reached([10, 20, 30], [6.0, 4.0, 6.0], 5.0) == 15.0


def test_rows_hold_every_seed_in_order() -> None:
    def run(arm: str, seed: int, *losses: float) -> dict[str, object]:
        return {"arm": arm, "seed": seed, "valid": {"step": [100, 200], "loss": list(losses)}}

    shown = table([run("swe-f", 1, 6.5, 6.1), run("swe-f", 0, 6.5, 5.5), run("baseline", 0, 6, 5)])
    swe, base = (line.split(" | ") for line in shown.splitlines()[2:])
    assert swe[1:3] == ["150, never", "200, never"]
    assert base[1] == "100"
    assert "Below 1 nats" not in shown
    low = table([run("swe-f", 0, 2.1, 0.05)]).splitlines()
    assert low[0] == "| Arm | Below 1.5 nats | Below 1 nats | Below 0.1 nats |"
