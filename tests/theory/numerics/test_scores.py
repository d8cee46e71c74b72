"""The largest of many |z|: by simulation, by the normal's own table, and at the ends."""

import numpy as np
import pytest
from scipy.stats import norm

from theory.numerics.scores import chance_of_largest, typical_largest


@pytest.mark.parametrize("count", [1, 5, 60])
def test_typical_largest_by_simulation(count: int) -> None:
    drawn = np.abs(np.random.default_rng(count).normal(size=(20_000, count))).max(axis=1)
    for share in (0.5, 0.95):
        found = np.mean(drawn < typical_largest(count, share))
        assert found == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5)


def test_one_score_is_the_normal_s_own_quantile() -> None:
    assert typical_largest(1, 0.95) == pytest.approx(norm.ppf(0.975), rel=1e-12)
    assert chance_of_largest(3.31, 1) == pytest.approx(2 * norm.sf(3.31), rel=1e-12)


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_chance_is_the_inverse(count: int) -> None:
    for share in (0.01, 0.5, 0.999):
        z = typical_largest(count, share)
        assert chance_of_largest(z, count) == pytest.approx(1.0 - share, rel=1e-10)
    assert chance_of_largest(0.0, count) == 1.0
    assert 0.0 < chance_of_largest(8.0, count) < 1e-11


def test_bad_arguments_are_named() -> None:
    for call, name in (
        (lambda: typical_largest(0), "count"),
        (lambda: typical_largest(3, 1.0), "share"),
        (lambda: chance_of_largest(-1.0, 3), "z must"),
        (lambda: chance_of_largest(1.0, 0), "count"),
    ):
        with pytest.raises(ValueError, match=name):
            call()
