"""Two ranks in bfloat16: bit for bit one process's sums of the same rows, resumed too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from swe.base.files import read_json
from swe.sharing.placement import Mode
from tests.swe.ranks.narrow_runs import CONFIG, MODES
from tests.swe.ranks.rank_runs import numbers

FLOAT32 = 1e-6
"""Sums of a few slices in another order, 2^-24 an addition; seen: 1.3e-7."""
ROUNDING = 2.0**-8
"""Largest relative error of rounding to bfloat16's 8 bits."""


def assert_same(one: Path, other: Path, *besides: str) -> None:
    """Weights, moments and losses bit for bit; of the rest, norms to float32's rounding."""
    wanted, found = numbers(one), numbers(other)
    assert wanted["tensors"].keys() == found["tensors"].keys()
    for name, tensor in wanted["tensors"].items():
        assert torch.equal(tensor, found["tensors"][name]), name
    for row, mine in zip(wanted["rows"], found["rows"], strict=True):
        for key in row.keys() - {"gradient_norm", "weights", *besides}:
            assert mine[key] == row[key], key
        for key in row.keys() & {"gradient_norm", "weights"}:
            assert mine[key] == pytest.approx(row[key], rel=FLOAT32), key


@pytest.mark.parametrize("mode", MODES)
def test_ranks_are_one_process_bit_for_bit(rank_runs: Path, mode: Mode) -> None:
    """Tied, untied and through the untie, whose held loss is of the rows of one batch."""
    runs = rank_runs / "narrow"
    assert_same(runs / "folded", runs / mode, "held_loss", "flops")
    assert read_json(runs / mode / "config.json")["train"]["precision"] == "bfloat16"


def test_weights_are_cast_once_an_update_on_ranks(rank_runs: Path) -> None:
    casts = read_json(rank_runs / "narrow" / "facts.json")["casts"]
    assert casts == [2 * 4] * 2, "four tensors of the tied block, two updates"


def test_whole_rows_differ_by_eight_bits(rank_runs: Path) -> None:
    """One product over all rows is rounded once, two ranks' are rounded each.

    Update 0 has the same weights: the loss is the mean of the same rows, and the gradient's norm
    moves by two roundings at most. Later ones follow Adam, which makes of a relative change of a
    gradient one of the update as large at most; seen: 1.5e-4 of the loss, 2.2e-3 of the norm.
    """
    rows: list[list[dict[str, Any]]] = [
        [row for row in numbers(rank_runs / "narrow" / name)["rows"] if row.get("kind") == "train"]
        for name in ("whole", "ddp")
    ]
    assert [len(found) for found in rows] == [CONFIG.steps] * 2
    assert rows[1][0]["loss"] == pytest.approx(rows[0][0]["loss"], rel=FLOAT32)
    for one, other in zip(*rows, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=ROUNDING)
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=2 * ROUNDING)
    assert rows[0] != rows[1], "else the other tests show less than they say"


def test_pieces_in_turn_by_both_modes_are_the_whole(rank_runs: Path) -> None:
    """Stopped while tied, at the untie and after it, each time gone on with in the other mode.

    Dropout included, which each rank draws for its rows.
    """
    runs = rank_runs / "narrow"
    assert_same(runs / "dropping", runs / "pieces")
    assert numbers(runs / "dropping")["rows"][0] != numbers(runs / "ddp")["rows"][0]
    here = read_json(runs / "pieces" / "environment.json")
    assert here["parallel"] == "fsdp"
    assert here["speed"]["attention"] == "products", "the last piece named none"


def test_another_precision_is_refused_on_all_ranks(rank_runs: Path) -> None:
    for told in read_json(rank_runs / "narrow" / "facts.json")["refusal"]:
        assert "another configuration (train.precision: 'bfloat16' there, 'float32' here)" in told


def test_ranks_that_would_choose_differently_take_the_first(rank_runs: Path) -> None:
    """Nobody else measures; the first finds bfloat16 and plain math to be faster."""
    runs = rank_runs / "narrow"
    assert read_json(runs / "facts.json")["auto"] == [["precision", "kernel"], []]
    assert read_json(runs / "auto" / "config.json")["train"]["precision"] == "bfloat16"
    assert read_json(runs / "auto" / "environment.json")["speed"]["attention"] == "math"
