"""The composition language: a row holds a permutation and asks for its powers.

A row is f(0) .. f(n-1), a permutation of n symbols drawn for this row, then M queries (x, k), a
symbol and a hop, answered by f^k(x). The answer is a function of the row, so the least possible
loss is 0; one who knows only that it is a symbol pays log n. With one lookup a layer the hops have
to be learnt one after the other, and a lookup that is learnt once for all layers serves every hop:
p-hop induction (Saunshi et al. 2025, arXiv 2502.17416) on permutations, every depth asked for in
every row.

How a query is written (``query``) decides what has to be done before the first hop. "joint": one
token for each pair (x, k). "hop" and "symbol": the two tokens x and k, answered at the place of k,
where x must be fetched first, or at that of x, where k is fetched on the way.

Two variants. **Hops that differ**: a share ``eps`` of the K hops applies f after a fixed
permutation p_j, the same in all rows, so hop j is f p_j and the answer (f p_k) .. (f p_1) (x), with
p_j the identity for the other hops; at eps = 1 no two hops are the same function of f. **Mixed**: a
share ``facts`` of the queries ask for an entry of a fixed random table instead (a symbol and a
relation; n times ``relations`` entries), which no reasoning finds: memory beside reasoning.

Tokens: symbols 0 .. n-1; then, with q = k - 1 for hop k and q = K + r for relation r, n + q for
what is asked, or n + q n + x for a joint query. Of n! permutations some come again (8! = 40 320),
rows practically never: with their queries there are n! (n K)^M of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bert.languages.language import Language, Rows
from swe.base.config import require, require_between, require_count

# Last words of the seeds, so that rows and what is fixed share no random stream.
_ROWS, _WORLD = (int.from_bytes(word, "big") for word in (b"hops", b"fact"))


@dataclass(frozen=True, kw_only=True)
class Composition(Language):
    """Powers of a permutation. Raises ConfigError for values outside their ranges."""

    kind: ClassVar[str] = "composition"

    symbols: int = 8
    """Symbols n; also queries in a row, M."""
    hops: int = 4
    """Deepest power K; k is uniform in 1 .. K."""
    eps: float = 0.0
    """Share of the hops that follow a fixed permutation of their own; a multiple of 1 / K."""
    facts: float = 0.0
    """Share of the queries that ask for a fact; a multiple of 1 / n, below 1."""
    relations: int = 16
    """Relations R of the table of facts (n R facts); of no account while ``facts`` is 0."""
    query: Literal["joint", "hop", "symbol"] = "joint"
    """One token a query, or two and at which of them it is answered."""
    world: int = 0
    """Seed of what is the same in all rows: which hops differ, by what, and the facts."""

    def __post_init__(self) -> None:
        require_count("symbols", self.symbols, 2, 4096)
        require_count("hops", self.hops, 1, 4096)
        require_count("relations", self.relations, 1, 4096)
        require_count("world", self.world, 0)
        ways = ("joint", "hop", "symbol")
        require(self.query in ways, "query", self.query, f"one of {', '.join(ways)}")
        require_between("eps", self.eps, 0, 1)
        require_between("facts", self.facts, 0, 1, open_high=True)
        for name, share, whole in (
            ("eps", self.eps, self.hops),
            ("facts", self.facts, self.symbols),
        ):
            wanted = share * whole
            require(abs(wanted - round(wanted)) < 1e-9, name, share, f"a multiple of 1/{whole}")
        enough = self.vocabulary >= 6  # the fewest tokens that an encoder has
        require(enough, "symbols", self.symbols, "enough, with the hops, for 6 kinds of tokens")

    @property
    def vocabulary(self) -> int:
        """Symbols, and what may be asked of them: hops, and relations where facts are."""
        asked = self.hops + (self.relations if self.facts else 0)
        return self.symbols + asked * (self.symbols if self.query == "joint" else 1)

    @property
    def length(self) -> int:
        """The permutation and one or two tokens a query."""
        return self.symbols * (2 if self.query == "joint" else 3)

    @property
    def predictions(self) -> int:
        """Queries in a row."""
        return self.symbols

    @property
    def fact_queries(self) -> int:
        """Queries of facts in a row, its last ones."""
        return round(self.facts * self.symbols)

    @property
    def group_names(self) -> tuple[str, ...]:
        """``hop_1`` .. ``hop_K``, and ``fact`` where facts are asked for."""
        hops = tuple(f"hop_{hop}" for hop in range(1, self.hops + 1))
        return (*hops, "fact") if self.facts else hops

    @property
    def first(self) -> NDArray[np.int64]:
        """p_1 .. p_K, (K, n): what is applied before f in each hop."""
        return _world(self)[0]

    @property
    def table(self) -> NDArray[np.int64]:
        """The facts, (R, n): the answer to symbol x under relation r is ``table[r, x]``."""
        return _world(self)[1]

    def rows(self, seed: int, index: int, count: int) -> Rows:
        """Return ``count`` rows with their queries, by (seed, index)."""
        n, asked = self.symbols, self.predictions
        rng = np.random.default_rng(np.random.SeedSequence([seed, index, _ROWS]))
        f_Bn = rng.permuted(np.tile(np.arange(n), (count, 1)), axis=1)
        x_BM = rng.integers(n, size=(count, asked))
        hop_BM = rng.integers(self.hops, size=(count, asked))
        row_B1 = np.arange(count)[:, None]
        labels_BM = self.powers(f_Bn)[row_B1, hop_BM, x_BM]
        what_BM = groups_BM = hop_BM
        if self.fact_queries:
            relation_BM = rng.integers(self.relations, size=(count, asked))
            fact_M = np.arange(asked) >= asked - self.fact_queries
            labels_BM = np.where(fact_M, self.table[relation_BM, x_BM], labels_BM)
            what_BM = np.where(fact_M, self.hops + relation_BM, hop_BM)
            groups_BM = np.where(fact_M, self.hops, hop_BM)
        if self.query == "joint":
            queries_BQ, positions_M = n + what_BM * n + x_BM, n + np.arange(asked)
        else:
            queries_BQ = np.stack([x_BM, n + what_BM], axis=2).reshape(count, 2 * asked)
            positions_M = n + (self.query == "hop") + 2 * np.arange(asked)
        inputs_BS = np.concatenate([f_Bn, queries_BQ], axis=1)
        return Rows(inputs_BS, np.tile(positions_M, (count, 1)), labels_BM, groups_BM)

    def powers(self, f_Bn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where each symbol is after 1 .. K hops, (B, K, n)."""
        after_Bn, found = np.tile(np.arange(self.symbols), (len(f_Bn), 1)), []
        for first_n in self.first:
            after_Bn = np.take_along_axis(f_Bn, first_n[after_Bn], axis=1)
            found.append(after_Bn)
        return np.stack(found, axis=1)

    def floor(self, rows: Rows) -> NDArray[np.float64]:
        """Return 0 throughout: every answer follows from the row and from what is fixed."""
        return np.zeros(rows.labels.shape)


@lru_cache(maxsize=64)
def _world(language: Composition) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw what is fixed. Hops that differ at one share do so, alike, at every larger one."""
    n, hops = language.symbols, language.hops
    rng = np.random.default_rng(np.random.SeedSequence([language.world, _WORLD]))
    order = rng.permutation(hops)
    first_Kn = rng.permuted(np.tile(np.arange(n), (hops, 1)), axis=1)
    first_Kn[order[round(language.eps * hops) :]] = np.arange(n)
    table_Rn = rng.integers(n, size=(language.relations, n))
    for fixed in (first_Kn, table_Rn):
        fixed.setflags(write=False)
    return first_Kn, table_Rn
