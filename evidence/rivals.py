"""The methods that are compared at equal compute: who says what of each.

What a method does to a run is in ``bert.study.rival_methods``, under the same names. Claimed
savings are those of training cost at equal quality, in percent, each from the source named beside
it, on models and data of its own: they stand beside ours, which are not tested against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evidence.plateau import left

RIVALS = ("rivals-composition", "rivals-hierarchy")
"""Tables of all methods, by language."""
ON_TEXT = "rivals-text"
"""The same on a text, which no claim is about: it says something of one text at one size."""


@dataclass(frozen=True)
class Claimed:
    """A saving as its source prints it, in percent; a range where the source has several."""

    low: float
    high: float
    of: str
    """Of what, and whose number it is."""
    mark: Literal["paper", "abs"]
    """Whether it stands in the paper, or the abstract alone was read."""

    def __str__(self) -> str:
        ends = f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"
        return f"{ends} % of {self.of} [{self.mark}]"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One method."""

    name: str
    """Of its arm, and of its claim (RIVAL-NAME); no spaces."""
    title: str
    paper: str
    claimed: Claimed | None = None
    """None where the source claims no saving of training cost."""

    @property
    def claim(self) -> str:
        """Id in the ledger."""
        return f"RIVAL-{self.name.upper()}"


CONTROLS = ("baseline", "equal-start")
"""Arms that are no method: what the others are held against."""
METHODS = {
    rival.name: rival
    for rival in (
        Rival(
            name="swe-f",
            title="SWE-F",
            paper="Yang et al., arXiv 2110.03848",
            claimed=Claimed(50, 50, "the updates, BERT-large, section 5", "paper"),
        ),
        Rival(
            name="swe-a",
            title="SWE-A",
            paper="Yang et al., arXiv 2110.03848",
            claimed=Claimed(50, 50, "the updates, BERT-large, section 5", "paper"),
        ),
        Rival(
            name="swe-m",
            title="SWE-M",
            paper="Yang et al., arXiv 2110.03848",
            claimed=Claimed(50, 50, "the updates, BERT-large, section 5", "paper"),
        ),
        Rival(
            name="always-shared",
            title="always shared (ALBERT)",
            paper="Lan et al., arXiv 1909.11942",
        ),
        Rival(
            name="cycle",
            title="always shared in a cycle (CYCLE)",
            paper="Takase and Kiyono, arXiv 2104.06022",
        ),
        Rival(
            name="cycle-rev",
            title="always shared in a cycle that turns back (CYCLE (REV))",
            paper="Takase and Kiyono, arXiv 2104.06022",
        ),
        Rival(
            name="sequence",
            title="neighbours shared (SEQUENCE)",
            paper="Takase and Kiyono, arXiv 2104.06022",
        ),
        Rival(
            name="similarity",
            title="layer-similarity penalty",
            paper="Saunshi et al., arXiv 2502.17416",
        ),
        Rival(
            name="layer-drop",
            title="layer drop",
            paper="Fan et al., arXiv 1909.11556",
        ),
        Rival(
            name="progressive-drop",
            title="progressive layer drop",
            paper="Zhang and He, arXiv 2010.13369",
            claimed=Claimed(60, 60, "the time (2.5 times faster), BERT-base", "abs"),
        ),
        Rival(
            name="stacking",
            title="progressive stacking",
            paper="Gong et al., ICML 2019",
            claimed=Claimed(34, 34, "FLOPs, BERT-base, as LiGO's paper measures it", "paper"),
        ),
        Rival(
            name="g-stack",
            title="G_stack, one growth, early",
            paper="Du et al., arXiv 2405.15319",
            claimed=Claimed(54.6, 54.6, "tokens, a decoder of 7B", "abs"),
        ),
        Rival(
            name="interpolation",
            title="interpolation of layers",
            paper="Chang et al., arXiv 1710.10348",
        ),
        Rival(
            name="mslt",
            title="multi-stage layerwise training",
            paper="Yang et al., arXiv 2011.13635",
            claimed=Claimed(35, 35, "FLOPs, BERT-base, as LiGO's paper measures it", "paper"),
        ),
        Rival(
            name="identity",
            title="identity layers",
            paper="Shen et al., arXiv 2203.06211",
            claimed=Claimed(22, 22, "compute, decoders, at most", "abs"),
        ),
        Rival(
            name="net2net",
            title="Net2Net, wider",
            paper="Chen et al., arXiv 1511.05641",
        ),
        Rival(
            name="fpi",
            title="bert2BERT's FPI",
            paper="Chen et al., arXiv 2110.07143",
            claimed=Claimed(25, 30, "FLOPs, BERT-base", "paper"),
        ),
        Rival(
            name="aki",
            title="bert2BERT's AKI",
            paper="Chen et al., arXiv 2110.07143",
            claimed=Claimed(29, 38, "FLOPs, BERT-base", "paper"),
        ),
        Rival(
            name="aki-two-stage",
            title="bert2BERT, both stages",
            paper="Chen et al., arXiv 2110.07143",
            claimed=Claimed(45, 45, "computational cost, BERT-base", "abs"),
        ),
        Rival(
            name="lemon",
            title="LEMON",
            paper="Wang et al., arXiv 2310.07999",
            claimed=Claimed(33.2, 33.2, "compute, BERT", "abs"),
        ),
        Rival(
            name="ligo",
            title="LiGO",
            paper="Wang et al., arXiv 2303.00980",
            claimed=Claimed(44.7, 44.7, "FLOPs, BERT-base", "paper"),
        ),
        Rival(
            name="mango",
            title="Mango",
            paper="Pan et al., arXiv 2310.10699",
            claimed=Claimed(76, 76, "FLOPs, DeiT-B", "abs"),
        ),
        Rival(
            name="core",
            title="CoRe",
            paper="arXiv 2011.13633",
        ),
        Rival(
            name="grow-share",
            title="grow, share, unshare",
            paper="ours, of the two above",
        ),
    )
}
"""By name, in the order of tables."""


@dataclass(frozen=True)
class Saving:
    """What an arm saves of the baseline's compute at equal loss, in percent.

    100 (1 - 1 / r), r the ratio of budgets at equal loss (bert.study.speedup): its mean is the
    geometric one of r, its interval that of log r over seeds. ``mean`` is None where a seed ended
    outside the losses of the baseline's budgets, ``low`` and ``high`` also for one seed.
    """

    n: int
    mean: float | None
    low: float | None
    high: float | None
    worse: int
    """Seeds that ended above the baseline's shortest run."""
    better: int
    """Seeds that ended below its longest."""


def saving(table: Mapping[str, Any], arm: str) -> Saving | None:
    """Return an arm's saving; None where the baseline has one budget, or the arm has not run."""
    found = table.get("speedup", {}).get(arm)
    if found is None:
        return None

    def percent(name: str) -> float | None:
        return None if found[name] is None else 100 * (1 - 1 / float(found[name]))

    sides = list(found["censored"].values())
    return Saving(
        n=found["n"],
        mean=percent("ratio"),
        low=percent("low"),
        high=percent("high"),
        worse=sides.count("below"),
        better=sides.count("above"),
    )


def through(table: Mapping[str, Any], arm: str) -> int | None:
    """Return how many seeds of an arm learnt every part of the language, or left the plateau of a
    text; None on a text that has none, as it is read causally."""
    learnt = table["arms"][arm].get("reached")
    return int(min(learnt.values())) if learnt else left(table, arm)


def language_of(table: Mapping[str, Any]) -> str:
    """Return the language that a table is on, "text" for a text."""
    return str(table["study"].get("language", {"kind": "text"})["kind"])
