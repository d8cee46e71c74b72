"""The hierarchy language: leaves of a random tree, some hidden, and the exact least loss.

Random hierarchy model (Cagnetta et al. 2024, arXiv 2307.02129) as masked prediction. A root symbol,
uniform over V, is rewritten ``depth`` times: every symbol becomes a pair, by one of its M rules,
each as likely. The 2^depth leaves are the row; a fixed number of them, at random places, shows
[MASK] instead (token V) and is to be predicted. At each level the V M pairs are all different, so a
pair says which symbol it came from. Rules are the same at all levels but for a share ``eps`` of the
symbols, which have rules of their own at every level: with eps = 0 what is learnt for one level
serves all, with eps = 1 nothing does.

**Least loss.** The leaves given the root are a tree of independent choices, so belief propagation
gives p(hidden leaf | all leaves shown) exactly. With l_v(a) the likelihood of the leaves shown
below node v when its symbol is a (1 for a hidden leaf, [a = leaf] for one that is shown),

    l_v(a) = 1/M sum_r l_left(left(a, r)) l_right(right(a, r))                                 (up)
    o_left(b) = sum_{a, r: left(a, r) = b} o_v(a) / M  l_right(right(a, r))                  (down)

where o_v(a) is the joint probability of the symbol and of what is shown outside v's leaves, 1/V at
the root; right children alike. p(b at leaf v | shown) is proportional to o_v(b) for a hidden leaf.
The places that are hidden are drawn apart from the symbols, so they tell nothing more.

Shapes: B rows, N nodes of one level, V symbols, R rules of one symbol (M above).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bert.languages.language import Language, Rows
from swe.base.config import require, require_between, require_count

# Last words of the seeds, so that rows and rules share no random stream.
_ROWS, _RULES = (int.from_bytes(word, "big") for word in (b"tree", b"rule"))
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Hierarchy(Language):
    """Leaves of random trees. Raises ConfigError for values outside their ranges."""

    kind: ClassVar[str] = "hierarchy"

    symbols: int = 16
    """Symbols V, the same at all levels."""
    rules: int = 4
    """Rules M of a symbol; at most V, for V M different pairs."""
    depth: int = 4
    """Levels of rewriting; a row has 2^depth tokens."""
    eps: float = 0.0
    """Share of the symbols with rules of their own at every level; a multiple of 1 / V."""
    hidden: float = 0.15
    """Share of the leaves that are hidden (rounded, at least one)."""
    world: int = 0
    """Seed of the rules."""

    def __post_init__(self) -> None:
        require_count("symbols", self.symbols, 2, 1024)
        require_count("rules", self.rules, 1)
        require(self.rules <= self.symbols, "rules", self.rules, f"at most {self.symbols} symbols")
        require_count("depth", self.depth, 1, 12)
        require_count("world", self.world, 0)
        require_between("eps", self.eps, 0, 1)
        require_between("hidden", self.hidden, 0, 1, open_low=True)
        wanted = self.eps * self.symbols
        whole = abs(wanted - round(wanted)) < 1e-9
        require(whole, "eps", self.eps, f"a multiple of 1/{self.symbols}")

    @property
    def vocabulary(self) -> int:
        """Symbols and [MASK]; 6 at least, the fewest that an encoder has."""
        return max(6, self.symbols + 1)

    @property
    def length(self) -> int:
        """Leaves."""
        return 2**self.depth

    @property
    def predictions(self) -> int:
        """Hidden leaves in a row."""
        return max(1, round(self.hidden * self.length))

    @property
    def group_names(self) -> tuple[str, ...]:
        """``level_h``: the smallest subtree with a leaf that is shown has height h; ``blind``: no
        leaf of the row is shown."""
        return (*(f"level_{height}" for height in range(1, self.depth + 1)), "blind")

    @property
    def pairs(self) -> NDArray[np.int64]:
        """Rules, (depth, V, M, 2): the pairs that a symbol may become; the root's first."""
        return _pairs(self)

    def rows(self, seed: int, index: int, count: int) -> Rows:
        """Return ``count`` rows with hidden leaves, by (seed, index)."""
        rng = np.random.default_rng(np.random.SeedSequence([seed, index, _ROWS]))
        leaves_BS = self.leaves(rng, count)
        keys_BS = rng.random(leaves_BS.shape)
        positions_BM = np.sort(np.argsort(keys_BS, axis=1)[:, : self.predictions], axis=1)
        labels_BM = np.take_along_axis(leaves_BS, positions_BM, axis=1)
        inputs_BS = leaves_BS.copy()
        np.put_along_axis(inputs_BS, positions_BM, self.symbols, axis=1)
        return Rows(inputs_BS, positions_BM, labels_BM, self._levels(inputs_BS, positions_BM))

    def leaves(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Draw the leaves of ``count`` trees, (B, S)."""
        nodes_BN = rng.integers(self.symbols, size=(count, 1))
        for pairs in self.pairs:
            rule_BN = rng.integers(self.rules, size=nodes_BN.shape)
            nodes_BN = pairs[nodes_BN, rule_BN].reshape(count, -1)
        return nodes_BN

    def _levels(
        self, inputs_BS: NDArray[np.int64], positions_BM: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Index of each hidden leaf's group."""
        shown_BN = inputs_BS < self.symbols
        group_BM = np.full(positions_BM.shape, self.depth)
        for height in range(1, self.depth + 1):
            shown_BN = shown_BN[:, 0::2] | shown_BN[:, 1::2]
            seen_BM = np.take_along_axis(shown_BN, positions_BM >> height, axis=1)
            group_BM = np.where(seen_BM & (group_BM == self.depth), height - 1, group_BM)
        return group_BM

    def floor(self, rows: Rows) -> Floats:
        """Return -log p(label | leaves shown) of every prediction, (B, M) nats."""
        belief_BSV = self.beliefs(rows.inputs)
        at_BMV = np.take_along_axis(belief_BSV, rows.positions[..., None], axis=1)
        p_BM = np.take_along_axis(at_BMV, rows.labels[..., None], axis=2)[..., 0]
        found: Floats = -np.log(p_BM)
        return found

    def beliefs(self, inputs_BS: NDArray[np.int64]) -> Floats:
        """Return p(symbol at each leaf | all OTHER leaves shown), (B, S, V), of rows with [MASK].

        Messages are scaled to sum 1 on the way: only their ratios count, and products over a deep
        tree would be too small for floats.
        """
        ups, _ = self._up(inputs_BS)
        out_BNV = np.full((len(inputs_BS), 1, self.symbols), 1.0 / self.symbols)
        for pairs, up_BNV in zip(self.pairs, ups[-2::-1], strict=True):
            flat = pairs.reshape(-1, 2)
            above_BNK = np.repeat(out_BNV, self.rules, axis=2)
            sides = []
            for side in (0, 1):
                other_BNK = up_BNV[:, 1 - side :: 2][..., flat[:, 1 - side]]
                to_KV = np.eye(self.symbols)[flat[:, side]]
                sides.append((above_BNK * other_BNK) @ to_KV)
            out_BNV = _scaled(np.stack(sides, axis=2).reshape(up_BNV.shape))[0]
        return out_BNV

    def log_likelihood(self, inputs_BS: NDArray[np.int64]) -> Floats:
        """Return log p(leaves shown), (B,), of rows with [MASK]; -inf for what no tree has."""
        ups, log_scale_B = self._up(inputs_BS)
        with np.errstate(divide="ignore"):
            found: Floats = log_scale_B + np.log(ups[-1][:, 0].mean(axis=1))
        return found

    def _up(self, inputs_BS: NDArray[np.int64]) -> tuple[list[Floats], Floats]:
        """Likelihoods below the nodes, scaled, leaves' level first; and the logs of the scales."""
        shown = np.eye(self.symbols)
        up_BNV = np.vstack([shown, np.ones(self.symbols)])[inputs_BS]  # [MASK]: 1 for all
        ups, log_scale_B = [up_BNV], np.zeros(len(inputs_BS))
        for pairs in self.pairs[::-1]:
            left = up_BNV[:, 0::2][..., pairs[..., 0]]
            up_BNV, sums_BN = _scaled((left * up_BNV[:, 1::2][..., pairs[..., 1]]).mean(axis=-1))
            with np.errstate(divide="ignore"):
                log_scale_B = log_scale_B + np.log(sums_BN).sum(axis=1)
            ups.append(up_BNV)
        return ups, log_scale_B


def _scaled(message_BNV: Floats) -> tuple[Floats, Floats]:
    """Return messages over their sums, and the sums (B, N); a message of zeros stays."""
    sums_BN = message_BNV.sum(axis=2)
    return message_BNV / np.where(sums_BN > 0, sums_BN, 1.0)[..., None], sums_BN


@lru_cache(maxsize=16)
def _pairs(language: Hierarchy) -> NDArray[np.int64]:
    """Draw the rules. A symbol with rules of its own at one share has such at every larger one."""
    v, m = language.symbols, language.rules
    rng = np.random.default_rng(np.random.SeedSequence([language.world, _RULES]))
    common_VM = rng.permutation(v * v)[: v * m].reshape(v, m)
    own = rng.permutation(v)[: round(language.eps * v)]
    found = np.empty((language.depth, v, m), dtype=np.int64)
    for level in found:
        level[:] = common_VM
        kept = np.delete(common_VM, own, axis=0)
        free = rng.permutation(v * v)
        level[own] = free[~np.isin(free, kept)][: len(own) * m].reshape(len(own), m)
    pairs = np.stack(divmod(found, v), axis=-1)
    pairs.setflags(write=False)
    return pairs
