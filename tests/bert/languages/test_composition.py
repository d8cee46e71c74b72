"""The composition language: answers by walking, what is fixed, purity, refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest

from bert.languages.composition import Composition
from bert.languages.language import Language
from swe.base.config import from_dict, to_dict
from swe.base.errors import ConfigError

MIXED = Composition(symbols=6, hops=4, eps=0.5, facts=0.5, relations=3, world=5)
LANGUAGES = [
    Composition(),
    Composition(symbols=2, hops=7, query="symbol"),
    Composition(symbols=5, hops=3, eps=1.0, world=2),
    Composition(symbols=5, hops=3, query="hop"),
    Composition(symbols=4, facts=0.25, query="hop"),
    MIXED,
]

ANY: Any = Language
"""Abstract, and read by its kind."""


@pytest.mark.parametrize("language", LANGUAGES, ids=repr)
def test_every_answer_is_found_by_walking(language: Composition) -> None:
    """From the tokens alone: read f off the row, walk hop by hop, look facts up."""
    n = language.symbols
    rows = language.rows(3, 7, 20)
    assert rows.inputs.shape == (20, language.length)
    assert rows.labels.shape == rows.groups.shape == (20, language.predictions)
    for tokens, places, labels, groups in zip(*rows, strict=True):
        f = [int(token) for token in tokens[:n]]
        assert sorted(f) == list(range(n))
        joint = language.query == "joint"
        first = n + (language.query == "hop")
        assert list(places) == list(range(first, language.length, 1 if joint else 2))
        for number, (label, group) in enumerate(zip(labels, groups, strict=True)):
            if joint:
                what, at = divmod(int(tokens[n + number]) - n, n)
                second = n + what
            else:
                at, second = (int(token) for token in tokens[n + 2 * number : n + 2 * number + 2])
            if second >= n + language.hops:
                assert language.group_names[group] == "fact"
                at = int(language.table[second - n - language.hops, at])
            else:
                assert language.group_names[group] == f"hop_{second - n + 1}"
                for hop in range(second - n + 1):
                    at = f[int(language.first[hop, at])]
            assert label == at
    assert (language.floor(rows) == 0.0).all()
    assert int(rows.inputs.max()) < language.vocabulary


def test_powers_of_every_permutation_of_four() -> None:
    """f^k by brute force, and f^k = identity at the order of f."""
    every = np.array(list(permutations(range(4))))
    powers = Composition(symbols=4, hops=12).powers(every)
    for f, found in zip(every, powers, strict=True):
        for k in range(1, 13):
            image = list(range(4))
            for _ in range(k):
                image = [f[x] for x in image]
            assert list(found[k - 1]) == image
    assert (powers[:, 11] == np.arange(4)).all(), "12 is a multiple of every order in S_4"


def test_rows_are_a_pure_function_of_seed_and_index() -> None:
    one, same = MIXED.rows(4, 2, 9), MIXED.rows(4, 2, 9)
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    for other in (MIXED.rows(5, 2, 9), MIXED.rows(4, 3, 9)):
        assert not np.array_equal(one.inputs, other.inputs)


def test_permutations_symbols_and_hops_are_uniform() -> None:
    """Counts within 5 standard deviations of 4096 rows' binomial."""
    language = Composition(symbols=4, hops=4, query="hop")
    rows = language.rows(0, 0, 4096)
    codes = rows.inputs[:, :4] @ 4 ** np.arange(4)
    seen = np.unique(codes, return_counts=True)[1]
    assert len(seen) == 24
    assert abs(seen - 4096 / 24).max() < 5 * np.sqrt(4096 / 24)
    for tokens in (rows.inputs[:, 4::2], rows.inputs[:, 5::2] - 4):
        counts = np.bincount(tokens.ravel(), minlength=4)
        assert len(counts) == 4
        assert abs(counts - 4096).max() < 5 * np.sqrt(4096)


def test_a_growing_share_of_hops_differs() -> None:
    """Those that differ at a share do so, alike, at every larger one; at 1 all are drawn."""
    shares = [Composition(eps=eps, world=1).first for eps in (0.0, 0.25, 0.5, 0.75, 1.0)]
    plain = np.arange(8)
    differ = [[not np.array_equal(p, plain) for p in first] for first in shares]
    assert [sum(row) for row in differ] == [0, 1, 2, 3, 4]
    for less, more in pairwise(shares):
        for p, q in zip(less, more, strict=True):
            assert np.array_equal(p, q) or np.array_equal(p, plain)
    assert all(sorted(p) == list(plain) for p in shares[-1])
    assert not np.array_equal(Composition(eps=1.0, world=2).first, shares[-1])


def test_facts_are_the_last_queries_and_fixed() -> None:
    rows = MIXED.rows(0, 0, 50)
    assert ((rows.groups == 4).sum(1) == 3).all()
    assert (rows.groups[:, 3:] == 4).all()
    relations = (rows.inputs[:, 6 + 3 :] - MIXED.symbols) // MIXED.symbols - MIXED.hops
    assert set(relations.ravel()) == {0, 1, 2}
    assert np.array_equal(replace(MIXED, eps=0.0).table, MIXED.table)
    assert MIXED.group_names == ("hop_1", "hop_2", "hop_3", "hop_4", "fact")
    assert MIXED.vocabulary == 6 + 6 * (4 + 3)
    assert replace(MIXED, query="hop").vocabulary == 6 + 4 + 3
    assert (Composition().vocabulary, Composition().length) == (8 + 8 * 4, 16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"symbols": 1}, "symbols = 1: must be an integer, at least 2"),
        ({"hops": 0}, "hops = 0: must be an integer, at least 1"),
        ({"eps": 0.3}, "eps = 0.3: must be a multiple of 1/4"),
        ({"eps": 1.25}, r"eps = 1.25: must be in \[0, 1\]"),
        ({"facts": 1.0}, r"facts = 1.0: must be in \[0, 1\)"),
        ({"facts": 0.1}, "facts = 0.1: must be a multiple of 1/8"),
        ({"relations": 0}, "relations = 0"),
        ({"query": "row"}, "query = 'row': must be one of joint, hop, symbol"),
        ({"world": -1}, "world = -1: must be an integer, at least 0"),
        ({"symbols": 2, "hops": 3, "query": "hop"}, "symbols = 2: must be enough, with the hops"),
    ],
)
def test_impossible_languages_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(Composition(), **change)


def test_a_language_is_read_back_by_its_kind() -> None:
    assert from_dict(ANY, to_dict(MIXED)) == MIXED
    with pytest.raises(ConfigError, match="kind = 'english': must be one of composition"):
        from_dict(ANY, {"kind": "english"})
