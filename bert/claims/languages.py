"""Does SWE pay on the languages of known truth: one ledger record each, from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.claim import Claim, Finding, Record, Verdict
from evidence.comparison import LANGUAGE_SEEDS, Interval, demonstration, is_tuned, paired
from evidence.results import Table, own_languages, recorded_languages

_ARM, _START = "swe-f", "equal-start"
_TITLES = {_START: "equal start", _ARM: "SWE-F", "always-shared": "always shared"}


def language_claims(out: Path, studies: Path | None) -> list[Record]:
    """Return a record a language, judged by the newest table in ``out``, else by those on record,
    and one of the composition language on encoders of transformers (:func:`judge_stock`).

    It holds when SWE-F's paired intervals against the baseline and against the equal start both lie
    below zero, and fails when one lies above; else there is no gain. Fewer than LANGUAGE_SEEDS
    seeds are a demonstration: alone it leaves the claim open, and behind a judged table it is told
    in the evidence.
    """
    tables = [*own_languages(out), *recorded_languages(studies)]
    ours = [table for table in tables if table.data["study"].get("encoder", "own") == "own"]
    found = [_told(claim, [t for t in ours if t.table == name]) for name, claim in CLAIMS.items()]
    rest = [table for table in tables if table not in ours and table.table == "composition"]
    return [*found, judge_stock(rest)]


def judge_stock(tables: Sequence[Table]) -> Record:
    """Judge the composition language on the stock encoders, one for each placement of LayerNorm.

    It holds where every placement with enough seeds holds, with limits where some do; the qualifier
    names those that do. Where none does it fails if one of them fails, else there is no gain.
    """
    found: dict[str, tuple[Table, Finding]] = {}
    for placement in ("pre", "post"):
        here = [table for table in tables if table.data["study"]["placement"] == placement]
        enough, fewer = _findings(here)
        if enough or fewer:
            found[f"{placement.capitalize()}-LN"] = (enough or fewer)[0]
    evidence = "; ".join(
        f"{name}: {finding.evidence}{table.origin}" for name, (table, finding) in found.items()
    )
    judged = {name: entry for name, entry in found.items() if entry[1].verdict != Verdict.OPEN}
    if not found:
        return STOCK.told(None)
    table, finding = next(iter((judged or found).values()))
    if not judged:
        return STOCK.told(finding, evidence=evidence, figure=table.figure())
    holds = [name for name, (_, one) in judged.items() if one.verdict == Verdict.HOLDS]
    verdict = Verdict.LIMITS if holds else Verdict.NO_GAIN
    if len(holds) == len(judged):
        verdict = Verdict.HOLDS
    elif not holds and Verdict.FAILS in [one.verdict for _, one in judged.values()]:
        verdict = Verdict.FAILS
    named = "" if len(holds or judged) == 2 else ", ".join(holds or judged)
    return STOCK.told(
        Finding.measured(verdict, evidence, named), evidence=evidence, figure=table.figure()
    )


_Judged = list[tuple[Table, Finding]]


def _findings(tables: Sequence[Table]) -> tuple[_Judged, _Judged]:
    """Return what has enough seeds for a verdict, and what is shown alone."""
    found = [(table, finding) for table in tables if (finding := judge(table.data)) is not None]
    judged = [entry for entry in found if entry[1].verdict != Verdict.OPEN]
    return judged, [entry for entry in found if entry[1].verdict == Verdict.OPEN]


def _told(claim: Claim, tables: Sequence[Table]) -> Record:
    judged, shown = _findings(tables)
    found = judged or shown
    if not found:
        return claim.told(None)
    table, finding = found[0]
    evidence = finding.evidence + table.origin
    if judged and shown:
        behind, less = shown[0]
        evidence += f"; also {less.qualifier}: {less.evidence}{behind.origin}"
    return claim.told(finding, evidence=evidence, figure=table.figure())


def judge(data: dict[str, Any]) -> Finding | None:
    """Judge a language's table; None without SWE-F or the equal start."""
    arms = data["arms"]
    gaps = [paired(data, _ARM, data["reference"]), paired(data, _ARM, _START)]
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
    rest = [name for name in _TITLES if name != _ARM and "difference" in arms.get(name, {})]
    others = "".join(
        f"; {_TITLES[name]} minus baseline {_words(paired(data, name, data['reference']))}"
        for name in rest
    )
    learnt = "; ".join(
        f"{_TITLES.get(name, name)} {', '.join(str(n) for n in arms[name]['reached'].values())}"
        for name in (data["reference"], *_TITLES)
        if "reached" in arms.get(name, {})
    )
    parts = ", ".join(arms[_ARM]["reached"])
    study = data["study"]
    tuned = "rate of each arm tuned" if is_tuned(study) else "one rate for all arms"
    return Finding.measured(
        verdict,
        f"final held-out loss in nats, SWE-F minus baseline {_words(gaps[0])}, minus equal start "
        f"{_words(gaps[1])}{others}; seeds of {arms[_ARM]['loss']['n']} that learnt {parts}: "
        f"{learnt}; {study['size']} model, tau {100 * study['tau']:g} %, {arms[_ARM]['steps']} "
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
        "docs/bert.md#languages-whose-truth-is-known",
        judge,
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
    "docs/bert.md#on-an-encoder-of-transformers",
    judge_stock,
    "python paper_repro.py languages claims --set encoder=transformers",
)
