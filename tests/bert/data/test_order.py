"""Every epoch is a permutation of the rows, found at any step without the steps before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bert.data import order as module
from bert.data.order import LARGEST_TABLE, keyed_permutation, row_order


def visits(seed: int, steps: range, batch: int, rows: int) -> NDArray[np.int64]:
    return np.concatenate([row_order(seed, step, batch, rows) for step in steps])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**40),
    batch=st.integers(1, 40),
    rows=st.integers(1, 30),
    start=st.integers(0, 50),
)
def test_every_epoch_is_a_permutation_and_any_step_resumes(
    seed: int, batch: int, rows: int, start: int
) -> None:
    steps = -(-3 * rows // batch) + 1
    sequence = visits(seed, range(steps), batch, rows)
    for epoch in range(len(sequence) // rows):
        one = sequence[epoch * rows : (epoch + 1) * rows]
        assert sorted(one.tolist()) == list(range(rows))
    module._table.cache_clear()
    step = start % steps
    resumed = row_order(seed, step, batch, rows)
    assert resumed.tolist() == sequence[step * batch : (step + 1) * batch].tolist()
    # The batch size cuts the same sequence differently.
    single = visits(seed, range(rows + 1), 1, rows)
    assert (
        single.tolist()
        == visits(seed, range(-(-(rows + 1) // batch)), batch, rows).tolist()[: rows + 1]
    )


def test_epochs_and_seeds_differ() -> None:
    orders = [tuple(row_order(seed, epoch, 20, 20)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9


def test_seeking_far_draws_only_the_epochs_it_needs() -> None:
    module._table.cache_clear()
    row_order(0, 10**9, 7, 1000)  # place 7e9 begins an epoch
    assert module._table.cache_info().misses == 1
    for step in range(10**9, 10**9 + 300):  # 2100 places: three epochs
        row_order(0, step, 7, 1000)
    assert module._table.cache_info().misses == 3


def test_returned_order_is_the_callers_own() -> None:
    first = row_order(0, 0, 5, 10)
    expected = first.tolist()
    first[:] = 0
    assert row_order(0, 0, 5, 10).tolist() == expected


@pytest.mark.parametrize(
    ("seed", "step", "batch", "rows"), [(0, 0, 0, 5), (0, 0, 5, 0), (0, -1, 5, 5), (-1, 0, 5, 5)]
)
def test_row_order_arguments(seed: int, step: int, batch: int, rows: int) -> None:
    with pytest.raises(ValueError, match=f"got rows={rows}, batch={batch}, step={step}"):
        row_order(seed, step, batch, rows)


@given(count=st.integers(1, 3000), seed=st.integers(0, 2**40), epoch=st.integers(0, 2**20))
def test_the_computed_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    found = keyed_permutation(np.arange(count), count, seed, epoch)
    assert sorted(found.tolist()) == list(range(count))
    some = np.arange(count)[:: max(1, count // 7)]
    assert keyed_permutation(some, count, seed, epoch).tolist() == found[some].tolist()


def test_the_computed_order_looks_random() -> None:
    """Places, pairs of neighbours and other epochs as a uniform draw has them: 5 errors."""
    count, bins = 60_000, 20
    for epoch in range(3):
        found = keyed_permutation(np.arange(count), count, 5, epoch)
        other = keyed_permutation(np.arange(count), count, 5, epoch + 1)
        cell = found * bins // count
        place = np.arange(count) * bins // count
        for a, b in ((place, cell), (cell[:-1], cell[1:]), (other * bins // count, cell)):
            table = np.bincount(a * bins + b, minlength=bins * bins)
            expected = len(a) / bins**2
            chi2 = float(((table - expected) ** 2 / expected).sum())
            free = (bins - 1) ** 2
            assert abs(chi2 - free) < 5 * np.sqrt(2 * free)
        assert (found == np.arange(count)).sum() < 10  # Poisson with mean 1


def test_huge_stores_need_no_table() -> None:
    rows = 10**12
    module._table.cache_clear()
    far = row_order(3, 10**9, 512, rows)
    assert module._table.cache_info().misses == 0
    assert len(set(far.tolist())) == 512
    assert far.min() >= 0
    assert far.max() < rows
    assert far.tolist() == row_order(3, 10**9, 512, rows).tolist()
    assert far[:256].tolist() == row_order(3, 2 * 10**9, 256, rows).tolist()


def test_the_border_between_table_and_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded results used tables: the border must stay above what they had."""
    assert LARGEST_TABLE == 1 << 22
    table = row_order(1, 0, 50, 50)
    rng = np.random.default_rng(np.random.SeedSequence([1, 0, int.from_bytes(b"rows", "big")]))
    assert table.tolist() == rng.permutation(50).tolist()
    monkeypatch.setattr(module, "LARGEST_TABLE", 49)
    computed = visits(1, range(3), 50, 50)
    assert table.tolist() != computed[:50].tolist()
    for epoch in range(3):
        assert sorted(computed[50 * epoch :][:50].tolist()) == list(range(50))
