"""Deep copies of a stack, known to one another, so that one left behind by an untie is found.

A stack holds a :class:`Twin`. When the model is copied by ``copy.deepcopy`` (torch's AveragedModel,
an EMA, a momentum teacher) the copy's twin joins the same family, weakly: it keeps nothing alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any


class Twin:
    """One stack's membership in the family of its deep copies."""

    def __init__(self, stack: Any, family: weakref.WeakSet[Twin] | None = None) -> None:
        self._stack: Callable[[], Any] = weakref.ref(stack)
        self._family = weakref.WeakSet[Twin]() if family is None else family
        self._family.add(self)

    def others(self) -> list[Any]:
        """List the stacks of the family that are alive, but this one."""
        stacks = [twin._stack() for twin in self._family if twin is not self]
        return [stack for stack in stacks if stack is not None]

    def __deepcopy__(self, memo: dict[int, Any]) -> Twin:
        stack = self._stack()
        copied = memo.get(id(stack))
        # Copied by itself, without its stack: a member of nothing.
        return Twin(self) if copied is None or stack is None else Twin(copied, self._family)

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _nobody, ()


class _Nobody:
    """Stands for the stack of a twin that was pickled: a file's model has no family here."""


def _nobody() -> Twin:
    return Twin(_Nobody())
