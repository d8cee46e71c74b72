"""A figure as its module declares it, and the collection of all that are declared.

A module that draws ends with ``FIGURE = Drawing(...)``; nothing else has to know of it: the report
collects what the rooms hold, the tests too. Which claim a figure answers stands in the claim's
record, and only there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure

from evidence.results import read_data, reading
from figures.base import style

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """What a figure is drawn from, and where it lies."""

    data: T
    path: Path
    sources: tuple[str, ...]
    """Its files as captions show them."""


@dataclass(frozen=True, kw_only=True)
class Drawing(Generic[T]):
    """One figure: read, draw, say, save."""

    name: str
    title: str
    alt: str | Callable[[T], str]
    """What a reader who cannot see it is told; a function where it depends on the data."""
    read: Callable[[Path], Found[T] | None]
    """From a results folder; None where the results are not there."""
    panels: Callable[[T], Figure | None]
    """None where the data hold nothing to draw."""
    caption: Callable[[T], str]
    command: str
    """Makes the results that it needs."""

    def draw(self, out: Path) -> bool:
        """Draw it below ``out``; False when its results are absent.

        ResultError naming the file when its content is not what the figure expects.
        """
        found = self.read(out)
        return found is not None and self.draw_found(out, found)

    @style.styled
    def draw_found(self, out: Path, found: Found[T], name: str = "", title: str = "") -> bool:
        """Draw it of other data of its kind, under their name and title."""
        with reading(found.path):
            figure = self.panels(found.data)
            if figure is None:
                return False
            caption = self.caption(found.data)
            alt = self.alt if isinstance(self.alt, str) else self.alt(found.data)
        style.save(
            figure,
            out,
            name or self.name,
            title=title or self.title,
            caption=caption,
            alt=alt,
            sources=found.sources,
        )
        return True


def of_file(
    source: str,
    panels: Callable[[dict[str, Any]], Figure | None],
    caption: Callable[[dict[str, Any]], str],
    *,
    name: str = "",
    title: str,
    alt: str,
) -> Drawing[dict[str, Any]]:
    """A figure of "data" in the record ``source``, by default of its file's name.

    The first folder of ``source`` is the verb of paper_repro.py that writes it.
    """

    def read(out: Path) -> Found[dict[str, Any]] | None:
        data = read_data(out, source)
        return None if data is None else Found(data, out / source, (source,))

    return Drawing(
        name=name or Path(source).stem,
        title=title,
        alt=alt,
        read=read,
        panels=panels,
        caption=caption,
        command=f"python paper_repro.py {source.partition('/')[0]}",
    )


def collect(*rooms: ModuleType) -> dict[str, Drawing[Any]]:
    """Every ``FIGURE`` of the rooms' modules, by name; ValueError when two have the same name."""
    found: dict[str, Drawing[Any]] = {}
    for room in rooms:
        for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            figure = getattr(importlib.import_module(module.name), "FIGURE", None)
            if isinstance(figure, Drawing):
                if figure.name in found:
                    raise ValueError(f"{module.name}: another figure is called {figure.name!r}")
                found[figure.name] = figure
    return found
