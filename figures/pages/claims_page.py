"""docs/claims.md: the ledger as a page, a table to look through and a section a claim.

A section's heading is the claim's id, so that ``docs/claims.md#tab1-f`` leads to TAB1-F.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import category

from evidence.claim import in_words
from figures.base.tables import CLAIM_HEADINGS, markdown, plain_markdown

ROOT = Path(__file__).resolve().parent.parent.parent
NOWHERE = "none"


def claim_link(identity: str, page: str = "") -> str:
    """Return a link to a claim's section of ``page``, "" on the page itself."""
    return f"[{identity}]({page}#{anchor(identity)})"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading: letters, digits (no "²"), "_" and "-"."""
    kept = (
        letter
        for letter in heading.strip().lower()
        if letter in " -" or category(letter)[0] in "LM" or category(letter) in ("Nd", "Pc")
    )
    return "".join(kept).replace(" ", "-")


def table(claims: Sequence[Mapping[str, str]]) -> str:
    """Return id, statement, verdict and rigour of every claim, each id a link to its section."""
    words = [
        claim | {"verdict": in_words(claim["verdict"], claim["qualifier"])}
        for claim in map(dict, claims)
    ]
    columns = ("id", "statement", "verdict", "rigour")
    text = markdown({name: CLAIM_HEADINGS[name] for name in columns}, words)
    for claim in claims:
        text = text.replace(f"| {claim['id']} |", f"| {claim_link(claim['id'])} |", 1)
    return text


def in_full(claims: Sequence[Mapping[str, str]]) -> str:
    """Return a section a claim: verdict, grounds, evidence, and where all of it comes from."""
    return "\n\n".join(_section(claim) for claim in claims)


def _section(claim: Mapping[str, str]) -> str:
    verdict = plain_markdown(in_words(claim["verdict"], claim["qualifier"]))
    rigour = f", {claim['rigour']}: {plain_markdown(claim['grounds'])}" if claim["rigour"] else ""
    evidence = f"\n\n> {plain_markdown(claim['evidence'])}" if claim["rigour"] else ""
    return (
        f"### {claim['id']}\n\n"
        f"{plain_markdown(claim['statement'])} ({plain_markdown(claim['source'])})\n\n"
        f"**{verdict}**{rigour}.{evidence}\n\n"
        f"- Section: {_told(claim['section'])}\n"
        f"- Code: {_code(claim['code'])}\n"
        f"- Figure: {_figure(claim['figure'])}\n"
        f"- Command: `{claim['command']}`"
    )


def _told(section: str) -> str:
    return f"[{section}]({section.removeprefix('docs/')})" if section else NOWHERE


def _code(code: str) -> str:
    path, function = code.split(":")
    return f"`{function}` in [{path}](../{path})"


def _figure(name: str) -> str:
    if not name:
        return NOWHERE
    picture = f"images/{name}.png"
    if (ROOT / "docs" / picture).exists():
        return f"[{name}]({picture})"
    return f"`{name}`, in the report"
