"""One statement and the check that recomputes it: the record every claims module is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

COMMAND = "python paper_repro.py theory claims"


@dataclass(frozen=True)
class Finding:
    """What a check found: verdict, evidence from measured numbers, and how strong the check is."""

    verdict: str
    evidence: str
    rigour: str


@dataclass(frozen=True)
class Claim:
    """One statement, of the paper or ours. `check(seed, scale)` recomputes its `Finding`."""

    id: str
    statement: str
    source: str
    figure: str
    check: Callable[..., Finding]

    def record(self, seed: int, scale: str) -> dict[str, Any]:
        """The JSON-able ledger entry, recomputed."""
        finding = self.check(seed, scale)
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "verdict": finding.verdict,
            "evidence": finding.evidence,
            "rigour": finding.rigour,
            "figure": self.figure,
            "command": COMMAND,
        }
