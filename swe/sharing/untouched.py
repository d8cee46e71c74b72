"""Extra passes through somebody's model that leave no trace on it.

A pass moves running statistics and power iterations, counts, fills caches, and calls hooks that
count too. All of that is put back: buffers, attributes of modules, and what their hooks hold. Only
parameters and their gradients are not looked after here.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from swe.sharing.weights import attributes_of

LARGEST = 100_000
"""Items of a container that is looked into; longer ones are data, not state."""
DEEPEST = 4
HOOK_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Undo = Callable[[], None]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Within the context ``model`` may be run; after it, its state is what it was before."""
    undo: list[Undo] = []
    seen: set[int] = set()
    for module in model.modules():
        undo += [_buffers(module), _attributes(module)]
        for _, value in attributes_of(module):
            _note(value, undo, seen, DEEPEST)
        for table in HOOK_TABLES:
            for hook in getattr(module, table).values():
                _note(hook, undo, seen, DEEPEST)
    try:
        yield
    finally:
        for action in undo:
            action()


def _buffers(module: nn.Module) -> Undo:
    table = dict(module._buffers)
    # A buffer that no pass may write to (a frequency table) is copied too: nobody says which is.
    values = {name: buffer.clone() for name, buffer in table.items() if buffer is not None}
    training = module.training

    def undo() -> None:
        module.training = training
        module._buffers.clear()
        module._buffers.update(table)
        with torch.no_grad():
            for name, value in values.items():
                buffer = table[name]
                if buffer is not None and not torch.equal(buffer, value):
                    buffer.copy_(value)

    return undo


def _attributes(module: nn.Module) -> Undo:
    before = dict(attributes_of(module))

    def undo() -> None:
        for name, value in attributes_of(module):
            if name not in before:
                del vars(module)[name]
            elif value is not before[name]:
                vars(module)[name] = before[name]
        for name in before.keys() - vars(module).keys():
            vars(module)[name] = before[name]

    return undo


def _note(value: Any, undo: list[Undo], seen: set[int], depth: int) -> None:
    """Remember what a value holds, and how to put it back, going down."""
    if depth == 0 or id(value) in seen or isinstance(value, Tensor | nn.Module | type | str | int):
        return
    seen.add(id(value))
    parts: list[Any] = []
    if isinstance(value, list) and len(value) <= LARGEST:
        parts = list(value)
        undo.append(lambda: value.__setitem__(slice(None), parts))
    elif isinstance(value, dict | set) and len(value) <= LARGEST:
        kept = value.copy()
        parts = list(value.values()) if isinstance(value, dict) else []
        undo.append(lambda: (value.clear(), value.update(kept))[0])
    elif isinstance(value, tuple):
        parts = list(value)
    elif isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not filled
                continue
            undo.append(_fill(cell, content))
            parts.append(content)
        parts += [value.__defaults__, value.__kwdefaults__]
    elif isinstance(value, types.MethodType):
        parts = [value.__self__, value.__func__]
    elif isinstance(getattr(value, "__dict__", None), dict) and not _works_beside(value):
        held = vars(value)
        parts = [held, *(getattr(value, name, None) for name in ("func", "args", "keywords"))]
    for part in parts:
        _note(part, undo, seen, depth - 1)


def _works_beside(value: Any) -> bool:
    """Whether an object is no mere state: a module, or something with threads, locks or files."""
    kinds = {type(part).__module__ for part in vars(value).values()}
    outside = {"_thread", "threading", "queue", "_queue", "_io", "io", "socket", "multiprocessing"}
    return isinstance(value, types.ModuleType) or bool(kinds & outside)


def _fill(cell: types.CellType, content: Any) -> Undo:
    def undo() -> None:
        cell.cell_contents = content

    return undo
