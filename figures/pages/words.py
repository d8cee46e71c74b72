"""How the page shows the fixed words: a sign before each, so that colour is never needed."""

from __future__ import annotations

from evidence.claim import Rigour, Verdict

SIGNS: dict[str, str] = {
    Verdict.HOLDS: "✓",
    Verdict.LIMITS: "≈",
    Verdict.FAILS: "✗",
    Verdict.REFUTED: "⊘",
    Verdict.HELPS: "▲",
    Verdict.HURTS: "▼",
    Verdict.NO_GAIN: "=",
    Verdict.PLATEAU: "…",
    Verdict.CONJECTURE: "?",
    Verdict.OPEN: "○",
    Verdict.NOT_RUN: "–",
    Rigour.PROVED: "∎",
    Rigour.CERTIFIED: "◆",
    Rigour.SAMPLED: "⁘",
    Rigour.MEASURED: "●",
    Rigour.HEURISTIC: "~",
}
MOODS: dict[str, str] = {
    Verdict.HOLDS: "good",
    Verdict.LIMITS: "good",
    Verdict.HELPS: "good",
    Verdict.FAILS: "bad",
    Verdict.REFUTED: "bad",
    Verdict.HURTS: "bad",
}
"""The colour of a verdict's frame; every other word has a grey one."""
DASHED = (Verdict.LIMITS, Verdict.REFUTED, Verdict.PLATEAU, Verdict.CONJECTURE, Verdict.NOT_RUN)
"""Verdicts with a broken frame: what is said has a condition, or nothing was run."""


def classes(word: str) -> str:
    """The style of a verdict: its colour and its frame."""
    return f"word {MOODS.get(word, 'plain')}" + (" dashed" if word in DASHED else "")
