"""Does SWE pay on the languages of known truth: one ledger record each, from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.cells import (
    ARM,
    LANGUAGE_SEEDS,
    care,
    cell_of,
    demonstration,
    is_stock,
    most_careful,
    over_cells,
)
from evidence.claim import Claim, Finding, Record, Verdict
from evidence.comparison import Interval, is_tuned, paired
from evidence.results import Table, own_languages, recorded_languages

_START = "equal-start"
_PLACEMENTS = ("Pre-LN", "Post-LN")
_TITLES = {
    _START: "equal start",
    ARM: "SWE-F",
    "swe-a": "SWE-A",
    "swe-m": "SWE-M",
    "always-shared": "always shared",
}


def language_claims(out: Path, studies: Path | None) -> list[Record]:
    """Return a record a language, one of the composition language on encoders of transformers, and
    one of all cells of that language together.

    Each is judged by the newest table in ``out``, else by the one on record with the most care
    (:func:`evidence.comparison.care`), one for each cell (:func:`judge_cells`).
    """
    found = recorded_languages(studies)
    recorded = sorted(found, key=lambda table: care(table.data), reverse=True)
    tables = [*own_languages(out), *recorded]
    ours = [table for table in tables if not is_stock(table.data["study"])]
    rest = [table for table in tables if table not in ours and table.table == "composition"]
    records = [
        judge_cells(claim, [table for table in ours if table.table == name])
        for name, claim in CLAIMS.items()
    ]
    return [*records, judge_cells(STOCK, rest), judge_together(TOGETHER, tables)]


def judge_cells(claim: Claim, tables: Sequence[Table]) -> Record:
    """Judge a claim by the first table with enough seeds of each cell (``cell_of``), Pre-LN first.

    A table holds when SWE-F's paired intervals against the baseline and against the equal start
    both lie below zero, and fails when one lies above; else there is no gain. The claim holds where
    every cell holds, with limits where some do, and then the qualifier names them; where none
    does it fails if one of them fails. What speaks of one placement of LayerNorm alone names its
    cells, too. Fewer than LANGUAGE_SEEDS seeds are a demonstration: alone it leaves the claim open,
    and behind a judged table it is told in the evidence.
    """
    judged: dict[str, tuple[Table, Finding]] = {}
    shown: dict[str, tuple[Table, Finding]] = {}
    for table in tables:
        finding = judge(table.data)
        if finding is not None:
            kept = shown if finding.verdict == Verdict.OPEN else judged
            kept.setdefault(cell_of(table.data["study"]), (table, finding))
    judged, shown = (
        {cell: found[cell] for cell in sorted(found, key=_place)} for found in (judged, shown)
    )
    if not judged and not shown:
        return claim.told(None)
    evidence = "; ".join(
        [f"{name}: {finding.evidence}{table.origin}" for name, (table, finding) in judged.items()]
        + [
            f"{'also ' if judged else ''}{name}, {finding.qualifier}: {finding.evidence}"
            f"{table.origin}"
            for name, (table, finding) in shown.items()
        ]
    )
    table, finding = next(iter((judged or shown).values()))
    if judged:
        verdict, named = _together({name: found.verdict for name, (_, found) in judged.items()})
        finding = Finding.measured(verdict, evidence, named)
    return claim.told(finding, evidence=evidence, figure=table.figure())


def judge_together(claim: Claim, tables: Sequence[Table]) -> Record:
    """Judge a claim by the mean over all cells of the composition language, each weighing the same.

    It holds when SWE-F's intervals against the baseline and against the equal start
    (:func:`evidence.cells.over_cells`) both lie below zero, and fails when one lies above. One
    cell alone says nothing more than its own claim: not run.
    """
    cells = [table for table in most_careful(tables) if table.table == "composition"]
    data = [table.data for table in cells]
    gaps = [over_cells(data, ARM), over_cells(data, ARM, _START)]
    found = [gap for gap in gaps if gap is not None]
    if len(cells) < 2 or len(found) < 2:
        return claim.told(None)
    words = {gap.verdict() for gap in found}
    verdict = Verdict.HOLDS if words == {"helps"} else Verdict.NO_GAIN
    if "hurts" in words:
        verdict = Verdict.FAILS
    names = "; ".join(sorted(f"{_cell(table)}{table.origin}" for table in cells))
    evidence = (
        f"mean over {len(cells)} cells of the final held-out loss in nats, SWE-F minus baseline "
        f"{_words(gaps[0])}, minus equal start {_words(gaps[1])}; cells: {names}"
    )
    finding = Finding.measured(verdict, evidence, f"mean of {len(cells)} cells")
    return claim.told(finding, evidence=evidence, figure=cells[0].figure())


def _cell(table: Table) -> str:
    study = table.data["study"]
    return f"{cell_of(study)}{' of transformers' if is_stock(study) else ''}"


def _place(cell: str) -> tuple[int, str]:
    return _PLACEMENTS.index(cell.split(",")[0]), cell


def _together(verdicts: dict[str, Verdict]) -> tuple[Verdict, str]:
    """The verdict over the cells, and which of them it is about: "" for all of both placements."""
    holds = [name for name, verdict in verdicts.items() if verdict == Verdict.HOLDS]
    named = holds or list(verdicts)
    both = len({name.split(",")[0] for name in named}) == len(_PLACEMENTS)
    about = "" if both and len(named) == len(verdicts) else "; ".join(named)
    if holds:
        return Verdict.LIMITS if len(holds) < len(verdicts) else Verdict.HOLDS, about
    fails = Verdict.FAILS in verdicts.values()
    return Verdict.FAILS if fails else Verdict.NO_GAIN, about


def judge(data: dict[str, Any]) -> Finding | None:
    """Judge a language's table; None without SWE-F or the equal start."""
    arms = data["arms"]
    gaps = [paired(data, ARM, data["reference"]), paired(data, ARM, _START)]
    if None in gaps:
        return None
    found = [gap for gap in gaps if gap is not None]
    least = min(gap.n for gap in found)
    words = [gap.verdict() for gap in found]
    verdict, qualifier = Verdict.NO_GAIN, ""
    if least < LANGUAGE_SEEDS:
        verdict, qualifier = Verdict.OPEN, f"{demonstration(least)}, {LANGUAGE_SEEDS} needed"
    elif set(words) == {"helps"}:
        verdict = Verdict.HOLDS
    elif "hurts" in words:
        verdict = Verdict.FAILS
    rest = {
        name: paired(data, name, data["reference"])
        for name, arm in arms.items()
        if name != ARM and "difference" in arm
    }
    others = "".join(
        f"; {_TITLES.get(name, name)} minus baseline {_words(gap)}" for name, gap in rest.items()
    )
    learnt = "; ".join(
        f"{_TITLES.get(name, name)} {', '.join(str(n) for n in arm['reached'].values())}"
        for name, arm in arms.items()
        if "reached" in arm
    )
    parts = ", ".join(arms[ARM]["reached"])
    study = data["study"]
    tuned = "rate of each arm tuned" if is_tuned(study) else "one rate for all arms"
    return Finding.measured(
        verdict,
        f"final held-out loss in nats, SWE-F minus baseline {_words(gaps[0])}, minus equal start "
        f"{_words(gaps[1])}{others}; seeds of {arms[ARM]['loss']['n']} that learnt {parts}: "
        f"{learnt}; {study['size']} model, tau {100 * study['tau']:g} %, {arms[ARM]['steps']} "
        f"updates, {tuned}",
        qualifier,
    )


def _words(gap: Interval | None) -> str:
    if gap is None:
        return "not run"
    if gap.low is None:
        return f"{gap.mean:+.4f}"
    return f"{gap.mean:+.4f} (95 % {gap.low:+.4f} to {gap.high:+.4f}, n = {gap.n})"


CLAIMS = {
    name: Claim(
        f"LANG-{name.upper()}",
        statement,
        "ours",
        "",
        "docs/languages.md#languages-whose-truth-is-known",
        judge_cells,
        f"python paper_repro.py languages claims --language {name}",
    )
    for name, statement in {
        "composition": "Where one skill, learnt once, serves every depth (powers of a "
        "permutation), SWE-F ends below the tuned baseline and below its own start without tying",
        "hierarchy": "On a random hierarchy of productions SWE-F ends below the tuned baseline and "
        "below its own start without tying",
    }.items()
}
"""By language."""
STOCK = Claim(
    "LANG-STOCK",
    "What the composition language shows is no detail of our encoder: on the encoders of "
    "transformers, their layers adopted, SWE-F ends below the tuned baseline and below its own "
    "start without tying",
    "ours",
    "",
    "docs/languages.md#on-an-encoder-of-transformers",
    judge_cells,
    "python paper_repro.py languages claims --set encoder=transformers",
)
TOGETHER = Claim(
    "LANG-CELLS",
    "On the composition language, over all cells on record together, placements of LayerNorm, hops "
    "and encoders, SWE-F ends below the tuned baseline and below its own start without tying",
    "ours",
    "",
    "docs/languages.md#all-cells-together",
    judge_together,
    "python paper_repro.py languages claims --language composition",
)
