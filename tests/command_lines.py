"""Command lines of tests: an option of one value may be given once alone."""

from __future__ import annotations

from collections.abc import Sequence

ADD_UP = ("--set", "--text", "--valid", "--task", "--train", "--rates", "--arms")
"""Options whose values add up (evidence.commands.add_several)."""


def instead(words: Sequence[str], more: Sequence[str]) -> list[str]:
    """Return ``words`` and ``more``; an option of one value of ``more`` takes the other's place."""
    line, rest = list(words), list(more)
    for name in [word for word in more if word.startswith("--") and word not in ADD_UP]:
        if name in line:
            line[line.index(name) + 1] = rest[rest.index(name) + 1]
            del rest[rest.index(name) : rest.index(name) + 2]
    return line + rest
