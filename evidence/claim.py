"""One record for every claim: what is said, what was found in fixed words, and how.

Verdict and rigour are words of two short lists, so that a reader learns them once and a page can
count them; what they leave out ("loose by 4", "small", the control's name) is the qualifier. Every
other word is refused, in code and in files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

from swe.base.errors import ResultError

AGAIN = "written by another version? make it again: python paper_repro.py theory claims"
"""What to do about a file whose records are not of this form."""


class Verdict(StrEnum):
    """What came of a claim. The first four judge a statement, the next three a method."""

    HOLDS = "holds"
    LIMITS = "holds with limits"
    """The qualifier says by how much."""
    FAILS = "fails"
    REFUTED = "refuted under a control"
    """The qualifier names the control."""
    HELPS = "helps"
    HURTS = "hurts"
    NO_GAIN = "no gain"
    PLATEAU = "on the plateau"
    """The runs ended before they learnt anything that could tell."""
    CONJECTURE = "conjecture"
    OPEN = "open"
    """There are runs, and they do not decide."""
    NOT_RUN = "not run"

    @classmethod
    def whether(cls, holds: bool) -> Verdict:
        """HOLDS or FAILS."""
        return cls.HOLDS if holds else cls.FAILS


class Rigour(StrEnum):
    """How a verdict was reached: by the strongest argument that covers the whole statement."""

    PROVED = "proved"
    """The proof is in the docstring that the grounds name."""
    CERTIFIED = "certified"
    """By interval arithmetic or symbolically."""
    SAMPLED = "sampled"
    """Random cases, or simulations of what is known exactly."""
    MEASURED = "measured"
    """Trained runs."""
    HEURISTIC = "heuristic"
    """A formula without a proof, beside what it predicts."""


@dataclass(frozen=True)
class Finding:
    """What a check found: verdict, evidence from measured numbers, and how strong the check is."""

    verdict: Verdict
    evidence: str
    rigour: Rigour
    grounds: str
    """The rigour in a sentence: how many cases, which proof."""
    qualifier: str = ""

    @classmethod
    def measured(cls, verdict: Verdict, evidence: str, qualifier: str = "") -> Finding:
        """What trained runs say: their number and pairing stand in the evidence."""
        return cls(verdict, evidence, Rigour.MEASURED, "trained runs", qualifier)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A claim as the ledger holds it. ResultError names the claim and the word it may not have."""

    id: str
    statement: str
    source: str
    """Theorem, table or section of the paper; "ours" for what the paper does not say."""
    verdict: Verdict
    qualifier: str
    rigour: Rigour | Literal[""]
    """ "" exactly where nothing was run."""
    grounds: str
    evidence: str
    figure: str
    """Name of its figure in the report, "" where there is none."""
    command: str
    section: str
    """Where it is told: page#anchor, "" where nowhere."""
    code: str
    """What computes the verdict: path/to/file.py:function."""

    def __post_init__(self) -> None:
        allowed: tuple[str, ...] = ("",) if self.verdict == Verdict.NOT_RUN else tuple(Rigour)
        for name, words in (("verdict", tuple(Verdict)), ("rigour", allowed)):
            word = getattr(self, name)
            if word not in words:
                listed = ", ".join(repr(str(known)) for known in words)
                raise ResultError(f"claim {self.id!r}: {name} {word!r}: must be one of {listed}")

    def to_json(self) -> dict[str, str]:
        """The fields as text."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: Any, path: Path) -> Self:
        """Read a record of the file ``path``; ResultError in one line for anything else."""
        names = [field.name for field in fields(cls)]
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise ResultError(f"{path}: not the expected content (no claim); {AGAIN}")
        if sorted(value) != sorted(names):
            odd = ", ".join(sorted(set(names) ^ set(value)))
            raise ResultError(f"{path}: claim {value.get('id')!r}: fields {odd} differ; {AGAIN}")
        try:
            record = cls(**value)
        except ResultError as error:
            raise ResultError(f"{path}: {error}; {AGAIN}") from None
        rigour: Rigour | Literal[""] = Rigour(record.rigour) if record.rigour else ""
        return replace(record, verdict=Verdict(record.verdict), rigour=rigour)


@dataclass(frozen=True)
class Claim:
    """One statement, of the paper or ours, and the check that judges it."""

    id: str
    statement: str
    source: str
    figure: str
    section: str
    check: Callable[..., Any]
    """The function that finds the verdict; its arguments are the ledger's that calls it."""
    command: str = "python paper_repro.py theory claims"

    def told(self, finding: Finding | None, **changed: str) -> Record:
        """The ledger's record: "not run" without a finding, else with ``changed`` fields."""
        record = Record(
            id=self.id,
            statement=self.statement,
            source=self.source,
            verdict=Verdict.NOT_RUN,
            qualifier="",
            rigour="",
            grounds="",
            evidence="not run",
            figure="",
            command=self.command,
            section=self.section,
            code=code_of(self.check),
        )
        if finding is None:
            return record
        return replace(record, **{"figure": self.figure, **vars(finding), **changed})


def code_of(function: Callable[..., Any]) -> str:
    """Where a function is defined: "path/to/file.py:function"."""
    module = inspect.getmodule(function)
    name = "" if module is None else module.__name__
    return f"{name.replace('.', '/')}.py:{getattr(function, '__qualname__', '')}"


def share(right: int, of: int, what: str) -> tuple[Verdict, str]:
    """Verdict and qualifier of a statement that is tried ``of`` times: "5 of 8 settings".

    All right: it holds. More than half: it holds with limits. Half or fewer: it fails.
    """
    if right in (0, of):
        return Verdict.whether(right == of), ""
    return Verdict.LIMITS if 2 * right > of else Verdict.FAILS, f"{right} of {of} {what}"


def in_words(verdict: str, qualifier: str) -> str:
    """Verdict and qualifier as pages and tables write them: "holds with limits (loose by 4)"."""
    return f"{verdict} ({qualifier})" if qualifier else verdict
