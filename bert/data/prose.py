"""From a docstring or comment to paragraphs of English; code, tables and types are left out.

numpydoc, Google style and plain reStructuredText are understood well enough to keep descriptions
and drop their scaffolding: headings with underlines, ``name : type`` lines, doctests and literal
blocks. Mark-up around words goes, the words stay. A block that survives must then look like prose:
mostly letters, and a fair share of function words. The rules were set by reading samples of the
output; they prefer losing a paragraph to keeping a signature.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

MIN_WORDS = 6

_UNDERLINE = re.compile(r"([-=~^\"'*#+.`_])\1{2,}\s*$")
_TABLE = re.compile(r"^\s*([-=+|][-=+| ]{3,}|.*\S\s\|\s.*\|.*|\|.*\|)\s*$")
_TABLE_BORDER = re.compile(r"\s*={2,}(?: +={2,})+\s*$")
_CODE_DIRECTIVE = re.compile(
    r"^\s*\.\. (code|math|plot|ipython|testcode|testsetup|testoutput|autosummary|list-table|table"
    r"|csv-table|toctree|image|figure|bibliography|currentmodule|auto\w+|plot\w*|jupyter\w*|grid)"
)
_PROSE_DIRECTIVE = re.compile(r"^\s*\.\. (?:[\w-]+::|\[[^\]]+\]|_[^:]+:)\s*")
_PARAMETER = re.compile(r"^\s*[*\w.,{}\[\]'\"`=/ ]{1,80}? ?: ?\S")
_GOOGLE = re.compile(r"^\s*[*`]*[A-Za-z_][\w.*`, /]{0,40}(?: ?\([^()]*(?:\([^()]*\)[^()]*)*\))?: +")
_FIELD = re.compile(r"^\s*:(?:param|type|returns?|rtype|raises?|arg|keyword)[^:]*: *")
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)]|\(\d+\)|#\.) +")
_HEADING = re.compile(r"^\s*\**[A-Z]\w*(?: \w+)?\**::?\s*$")
_ROLE = re.compile(r":[\w:+-]+:`[~!.]*([^`<]*?)\s*(?:<[^`>]*>)?`")
_LITERAL = re.compile(r"``(.+?)``")
_LINK = re.compile(r"`+[~!.]*([^`<]*?)\s*(?:<[^`>]*>)?`+_{0,2}")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,2}(\w[^*]*?)\*{1,2}(?![\w*])")
_CITATION = re.compile(r"\s*\[[\w#]+\]_")
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")
# Function words: English prose has a third of them, signatures, tables and maths next to none.
_COMMON = re.compile(
    r"\b(?:an?|the|of|to|in|is|are|be|as|and|or|for|by|with|on|at|from|th(?:is|at|ese|ose|ey|eir|ere)"
    r"|its?|if|no|not|can|will|may|must|should|which|when|where|then|than|into|only|any|all|each"
    r"|some|more|most|after|before|without|were|been|would|could|your|so|both|how|what|an?other"
    r"|was|has|have|but|also|such|other|used|using|does|do|you|we|between|same|one)\b"
)


def paragraphs(docstring: str) -> list[str]:
    """Return the prose of a docstring as one-line paragraphs of printable text, in order."""
    lines = inspect.cleandoc(docstring).splitlines()
    kept = [_plain(block) for block in _blocks(lines)]
    return [text for text in kept if _is_prose(text)]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Group the lines that may be prose; a blank line, bullet or dropped line ends a group."""
    block: list[str] = []
    literal: int | None = None  # indentation above which a literal block goes on
    skipping = False  # to the next blank line: the output of a doctest, the rows of a table
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None and (not line.strip() or indent > literal):
            continue
        literal = None
        if not line.strip():
            skipping = False
        elif line.lstrip().startswith((">>>", "... ", "In [", "$ ")) or _TABLE_BORDER.match(line):
            skipping = True
        following = lines[number + 1] if number + 1 < len(lines) else ""
        following_indent = len(following) - len(following.lstrip()) if following.strip() else 0
        if _CODE_DIRECTIVE.match(line):
            literal = indent
        ends_here = (
            not line.strip()
            or skipping
            or literal is not None
            or _UNDERLINE.match(line.strip())
            or _UNDERLINE.match(following.strip())  # a heading
            or _TABLE.match(line)
            or _HEADING.match(line)
            or ((number == 0 or following_indent > indent) and _is_parameter(line))
        )
        if ends_here:
            yield from _finished(block)
            block = []
            if line.rstrip().endswith("::"):
                literal = indent
            continue
        item = _PROSE_DIRECTIVE.match(line) or _BULLET.match(line) or _FIELD.match(line)
        item = item or (_GOOGLE.match(line) if indent else None)
        if item or (block and indent < len(block[-1]) - len(block[-1].lstrip())):
            yield from _finished(block)
            block = []
        block.append(" " * indent + line[item.end() :] if item else line)
        if line.rstrip().endswith("::"):
            literal = indent
            yield from _finished(block)
            block = []
    yield from _finished(block)


def _finished(block: list[str]) -> Iterator[list[str]]:
    if block:
        yield block


def _is_parameter(line: str) -> bool:
    return bool(_PARAMETER.match(line)) and not line.rstrip().endswith(".")


def _plain(block: list[str]) -> str:
    text = " ".join(line.strip() for line in block)
    text = _LITERAL.sub(r"\1", text)  # first: it may hold "<", which ends a link for _LINK
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", text))
    text = _EMPHASIS.sub(r"\1", _CITATION.sub("", text))
    text = text.replace("::", ":").replace("\\ ", "").replace("\\s", "s")
    return " ".join(text.split()).lstrip(".,;:!?)]}'|/\\ ")


def _is_prose(text: str) -> bool:
    tokens = text.split()
    if len(tokens) < MIN_WORDS or not text.isprintable():
        return False
    if sum(map(text.count, "{};")) > 1 + 0.01 * len(text):
        return False  # a template or another language's code
    words = _WORD.findall(text.lower())
    letters = sum(map(len, words))
    common = len(_COMMON.findall(text.lower()))
    return letters >= 0.65 * (len(text) - len(tokens) + 1) and common >= 0.15 * len(tokens)
