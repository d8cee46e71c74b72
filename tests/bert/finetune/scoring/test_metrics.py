"""GLUE's scores: values written out, and a second route to each."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bert.finetune.scoring import metrics
from swe.base.errors import ConfigError


def numbers(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


# TP 3, FN 1, FP 2, TN 4.
TRUTH = numbers(1, 1, 1, 1, 0, 0, 0, 0, 0, 0)
GUESS = numbers(1, 1, 1, 0, 1, 1, 0, 0, 0, 0)


def test_binary_scores_written_out() -> None:
    assert metrics.accuracy(GUESS, TRUTH) == pytest.approx(70.0)
    assert metrics.f1(GUESS, TRUTH) == pytest.approx(100 * float(Fraction(6, 9)))
    # (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)) = 10 / sqrt(5 * 4 * 6 * 5)
    assert metrics.matthews(GUESS, TRUTH) == pytest.approx(100 * 10 / math.sqrt(600))


def test_extremes() -> None:
    assert metrics.matthews(TRUTH, TRUTH) == pytest.approx(100)
    assert metrics.matthews(1 - TRUTH, TRUTH) == pytest.approx(-100)
    ones, zeros = np.ones(10), np.zeros(10)
    assert metrics.matthews(ones, TRUTH) == 0.0
    assert metrics.f1(zeros, TRUTH) == 0.0
    assert metrics.f1(zeros, zeros) == 0.0
    assert metrics.f1(ones, TRUTH) == pytest.approx(100 * 8 / 14)
    assert metrics.pearson(ones, TRUTH) == metrics.spearman(ones, TRUTH) == 0.0


def test_three_classes_written_out() -> None:
    """Gorodkin's R_3 of the table [[2, 1, 0], [0, 2, 1], [1, 0, 2]]: s 9, c 6, all sums 3.

    (6 * 9 - 27) / (81 - 27) = 1/2.
    """
    truth = np.repeat([0.0, 1.0, 2.0], 3)
    guess = numbers(0, 0, 1, 1, 1, 2, 2, 2, 0)
    assert metrics.matthews(guess, truth) == pytest.approx(50.0)


@given(
    st.integers(2, 4).flatmap(
        lambda k: st.lists(st.tuples(st.integers(0, k), st.integers(0, k)), min_size=2, max_size=40)
    )
)
def test_matthews_is_the_correlation_of_indicators(pairs: list[tuple[int, int]]) -> None:
    """R_K is cov(X, Y) / sqrt(cov(X, X) cov(Y, Y)) summed over the classes' indicators."""
    guess, truth = np.array(pairs, dtype=np.float64).T
    classes = np.arange(5)
    x = (guess[:, None] == classes).astype(float)
    y = (truth[:, None] == classes).astype(float)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    spread = math.sqrt((x * x).sum() * (y * y).sum())
    expected = 100 * (x * y).sum() / spread if spread > 1e-9 else 0.0
    assert metrics.matthews(guess, truth) == pytest.approx(expected, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40))
def test_f1_is_the_harmonic_mean(pairs: list[tuple[int, int]]) -> None:
    guess, truth = np.array(pairs, dtype=np.float64).T
    hit = sum(g == t == 1 for g, t in pairs)
    if hit:
        precision, recall = hit / guess.sum(), hit / truth.sum()
        harmonic = 200 * precision * recall / (precision + recall)
        assert metrics.f1(guess, truth) == pytest.approx(harmonic)
    else:
        assert metrics.f1(guess, truth) == 0.0


def test_correlations_written_out() -> None:
    """Pearson by hand: centred products 8 over sqrt(10 * 10); ranks of the second with a tie."""
    one, other = numbers(1, 2, 3, 4, 5), numbers(2, 1, 4, 3, 5)
    assert metrics.pearson(one, other) == pytest.approx(80.0)
    assert metrics.spearman(one, other) == pytest.approx(80.0)
    tied = numbers(10, 10, 20, 40, 1000)  # ranks 1.5 1.5 3 4 5
    ranks = numbers(1.5, 1.5, 3, 4, 5)
    assert metrics.spearman(one, tied) == pytest.approx(metrics.pearson(one, ranks))
    assert metrics.spearman(one, tied) == pytest.approx(100 * stats.spearmanr(one, tied).statistic)
    assert metrics.pearson(one, np.exp(one)) < metrics.spearman(one, np.exp(one))


def test_best_constant() -> None:
    assert metrics.best_constant("accuracy", TRUTH) == pytest.approx(60.0)
    assert metrics.best_constant("f1", TRUTH) == pytest.approx(100 * 8 / 14)
    assert metrics.best_constant("matthews", TRUTH) == 0.0


@pytest.mark.parametrize(
    ("task", "majority", "others", "published"),
    [("MRPC", 279, 129, {"accuracy": 68.4, "f1": 81.2}), ("SST-2", 444, 428, {"accuracy": 50.9}),
     ("RTE", 146, 131, {"accuracy": 52.7}), ("WNLI", 40, 31, {"accuracy": 56.3})],
)  # fmt: skip
def test_majority_baselines_as_published(
    task: str, majority: int, others: int, published: dict[str, float]
) -> None:
    """The well-known majority-class scores on GLUE's development sets, from their label counts."""
    truth = np.repeat([1.0, 0.0], [majority, others])
    for name, value in published.items():
        assert round(metrics.best_constant(name, truth), 1) == value, task


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ConfigError, match="9 predictions for 10 labels"):
        metrics.score(("accuracy",), GUESS[1:], TRUTH)
    with pytest.raises(ConfigError, match="0 predictions for 0 labels"):
        metrics.score(("accuracy",), GUESS[:0], TRUTH[:0])


def test_published_examples() -> None:
    """Worked examples that others have printed, with their printed values.

    Matthews and F1: twelve cats and dogs (TP 6, FN 2, FP 1, TN 3), Wikipedia "Phi coefficient",
    0.478; four labels of 1 and -1, scikit-learn's manual, -0.33. Spearman: IQ and hours of
    television, Wikipedia, -29/165; a pair with ties, scipy's manual, 0.82078. Pearson: scipy's
    manual, -0.828503.
    """
    truth = numbers(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)
    guess = numbers(0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1)
    assert round(metrics.matthews(guess, truth) / 100, 3) == 0.478
    assert metrics.f1(guess, truth) == pytest.approx(100 * 12 / 15)
    found = metrics.matthews(numbers(1, -1, 1, 1), numbers(1, 1, 1, -1))
    assert round(found / 100, 2) == -0.33
    iq = numbers(106, 100, 86, 101, 99, 103, 97, 113, 112, 110)
    hours = numbers(7, 27, 2, 50, 28, 29, 20, 12, 6, 17)
    assert metrics.spearman(hours, iq) == pytest.approx(100 * -29 / 165)
    tied = metrics.spearman(numbers(1, 2, 3, 4, 5), numbers(5, 6, 7, 8, 7))
    assert tied / 100 == pytest.approx(0.8207826816681233)
    falling = metrics.pearson(numbers(1, 2, 3, 4, 5, 6, 7), numbers(10, 9, 2.5, 6, 4, 3, 2))
    assert falling / 100 == pytest.approx(-0.828503883588428)


def mean_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value: how many are below, plus half of those equal and one half."""
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return below + (equal + 1) / 2


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=25))
def test_spearman_is_pearson_of_the_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    """Few values, many ties, constants among them: then 0."""
    one, other = np.array(pairs, dtype=np.float64).T
    expected = metrics.pearson(mean_ranks(one), mean_ranks(other))
    assert metrics.spearman(one, other) == pytest.approx(expected, abs=1e-9)
