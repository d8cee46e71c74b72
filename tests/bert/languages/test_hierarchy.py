"""The hierarchy language: belief propagation against enumeration and sampling, rules, refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bert.languages.hierarchy import Hierarchy
from bert.languages.language import Language, Rows
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError

ANY: Any = Language
"""Abstract, and read by its kind."""


def strings(language: Hierarchy) -> dict[tuple[int, ...], float]:
    """p(leaves) of every string, by going through all derivations, symbol after symbol."""

    def below(symbol: int, level: int) -> dict[tuple[int, ...], float]:
        if level == language.depth:
            return {(symbol,): 1.0}
        found: dict[tuple[int, ...], float] = {}
        for left, right in language.pairs[level, symbol].tolist():
            for (a, p), (b, q) in product(
                below(left, level + 1).items(), below(right, level + 1).items()
            ):
                found[a + b] = found.get(a + b, 0.0) + p * q / language.rules
        return found

    total: dict[tuple[int, ...], float] = {}
    for root in range(language.symbols):
        for leaves, p in below(root, 0).items():
            total[leaves] = total.get(leaves, 0.0) + p / language.symbols
    return total


@pytest.mark.parametrize(
    "language",
    [
        Hierarchy(symbols=3, rules=2, depth=1),
        Hierarchy(symbols=3, rules=3, depth=2, eps=2 / 3, world=1),
        Hierarchy(symbols=4, rules=1, depth=3, world=2),
        Hierarchy(symbols=2, rules=2, depth=3, eps=1.0),
        Hierarchy(symbols=3, rules=2, depth=3, eps=1 / 3, world=3),
    ],
    ids=repr,
)
def test_beliefs_are_those_of_all_trees(language: Hierarchy) -> None:
    """Every mask of up to 8 leaves, on strings that occur: sums over all strings that agree."""
    known = strings(language)
    every, p = np.array(list(known)), np.array(list(known.values()))
    assert p.sum() == pytest.approx(1.0)
    shown = every[np.random.default_rng(0).permutation(len(every))[:4]]
    masks = np.array(list(product([False, True], repeat=language.length)))
    inputs = np.concatenate([np.where(masks, language.symbols, row) for row in shown])
    agree = ((inputs[:, None] == every) | (inputs[:, None] == language.symbols)).all(-1)
    likelihood = agree @ p
    assert np.exp(language.log_likelihood(inputs)) == pytest.approx(likelihood)
    beliefs = language.beliefs(inputs)
    for place in range(language.length):
        hidden = inputs[:, place] == language.symbols
        joint = np.stack([agree @ (p * (every[:, place] == a)) for a in range(language.symbols)], 1)
        exact = joint[hidden] / likelihood[hidden, None]
        assert beliefs[hidden, place] == pytest.approx(exact, abs=1e-12)


def test_likelihood_of_sixteen_leaves_is_the_samples_frequency() -> None:
    """Patterns of few shown leaves: counts of 200 000 trees within 5 binomial deviations."""
    language = Hierarchy(symbols=3, rules=2, depth=4, eps=1 / 3)
    drawn = language.leaves(np.random.default_rng(5), 200_000)
    for places in ([0, 1], [0, 15], [3, 4, 11], [7, 8, 9, 14]):
        values = np.array(list(product(range(3), repeat=len(places))))
        inputs = np.full((len(values), 16), 3)
        inputs[:, places] = values
        p = np.exp(language.log_likelihood(inputs))
        assert p.sum() == pytest.approx(1.0)
        code = 3 ** np.arange(len(places))[::-1]
        counts = np.bincount(drawn[:, places] @ code, minlength=len(values))
        deviation = np.sqrt(len(drawn) * p * (1 - p))
        assert (abs(counts - len(drawn) * p) <= 5 * deviation).all()


def test_the_floor_is_what_beliefs_give_their_entropy_on_average() -> None:
    """-log p(label), whose mean is the entropy of the beliefs: within 5 standard errors."""
    language = Hierarchy(symbols=6, rules=2, depth=4, hidden=0.4)
    rows = language.rows(0, 0, 4000)
    beliefs = np.take_along_axis(language.beliefs(rows.inputs), rows.positions[..., None], axis=1)
    floor = language.floor(rows)
    by_hand = -np.log([beliefs[b, m, rows.labels[b, m]] for b in range(50) for m in range(6)])
    assert floor[:50].ravel() == pytest.approx(by_hand)
    safe = np.where(beliefs > 0, beliefs, 1.0)
    gap = (floor + (beliefs * np.log(safe)).sum(-1)).mean(1)
    assert abs(gap.mean()) < 5 * gap.std() / np.sqrt(len(gap))
    assert 0.05 < floor.mean() < np.log(6)


def test_rows_hide_leaves_of_a_tree_and_nothing_else() -> None:
    language = Hierarchy(symbols=6, rules=2, depth=3, hidden=0.5)
    rows = language.rows(1, 2, 40)
    assert rows.inputs.shape == (40, 8)
    assert rows.positions.shape == (40, 4)
    assert (np.diff(rows.positions) > 0).all()
    whole = rows.inputs.copy()
    np.put_along_axis(whole, rows.positions, rows.labels, axis=1)
    assert np.isfinite(language.log_likelihood(whole)).all()
    assert ((rows.inputs == 6).sum(1) == 4).all()
    again, other = language.rows(1, 2, 40), language.rows(1, 3, 40)
    assert all(np.array_equal(a, b) for a, b in zip(rows, again, strict=True))
    assert not np.array_equal(rows.inputs, other.inputs)


def level_by_hand(hidden: NDArray[np.bool_], place: int, depth: int) -> int:
    for height in range(1, depth + 1):
        size = 2**height
        first = place // size * size
        if not hidden[first : first + size].all():
            return height - 1
    return depth


def test_levels_are_the_smallest_subtree_with_something_shown() -> None:
    language = Hierarchy(symbols=6, rules=2, depth=3, hidden=0.75)
    rows = language.rows(0, 0, 60)
    for inputs, places, groups in zip(rows.inputs, rows.positions, rows.groups, strict=True):
        expected = [level_by_hand(inputs == 6, place, 3) for place in places]
        assert list(groups) == expected
    assert {0, 1, 2} <= set(rows.groups.ravel())
    blind = replace(language, hidden=1.0).rows(0, 0, 3)
    assert (blind.groups == 3).all()
    assert language.group_names == ("level_1", "level_2", "level_3", "blind")


def test_rules_are_shared_over_levels_but_for_a_growing_share() -> None:
    """All pairs of a level differ; eps = 0: one table; own rules stay at larger shares."""
    plain = Hierarchy(symbols=8, rules=4)
    for eps in (0.0, 0.25, 0.5, 1.0):
        pairs = replace(plain, eps=eps).pairs
        assert pairs.shape == (4, 8, 4, 2)
        for level in pairs:
            assert len(np.unique(level.reshape(-1, 2), axis=0)) == 32
        same = [(pairs[:, a] == plain.pairs[0, a]).all() for a in range(8)]
        assert sum(same) == round(8 * (1 - eps))
        if eps == 0.5:
            assert not np.array_equal(pairs[0], pairs[1])
    assert not np.array_equal(replace(plain, world=1).pairs, plain.pairs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": 1}, "symbols = 1: must be an integer, at least 2"),
        ({"rules": 17}, "rules = 17: must be at most 16 symbols"),
        ({"rules": 0}, "rules = 0: must be an integer, at least 1"),
        ({"depth": 0}, "depth = 0"),
        ({"depth": 13}, "depth = 13: must be an integer, at least 1 and at most 12"),
        ({"eps": 0.3}, "eps = 0.3: must be a multiple of 1/16"),
        ({"hidden": 0.0}, r"hidden = 0.0: must be in \(0, 1\]"),
        ({"world": -1}, "world = -1"),
    ],
)
def test_impossible_hierarchies_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(Hierarchy(), **change)


def test_a_deep_tree_does_not_underflow() -> None:
    """1024 leaves: their probability is far below the smallest float, the floor is not."""
    language = Hierarchy(depth=10)
    rows: Rows = language.rows(0, 0, 2)
    assert (language.log_likelihood(rows.inputs) < -750).all()
    assert np.isfinite(language.floor(rows)).all()
    assert from_dict(ANY, to_dict(language)) == language
