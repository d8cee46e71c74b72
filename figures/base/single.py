"""A figure drawn from one result file: read, draw, say, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evidence.results import read_data, reading
from figures.base import style


def draw_from(
    out: Path,
    name: str,
    source: str,
    panels: Callable[[dict[str, Any]], Figure],
    caption: Callable[[dict[str, Any]], str],
    *,
    title: str,
    alt: str,
) -> bool:
    """Draw ``panels`` of the data at ``out / source`` with its caption; False when it is absent.

    ResultError naming the file when its content is not what the two functions expect.
    """
    data = read_data(out, source)
    if data is None:
        return False
    with reading(out / source):
        figure, words = panels(data), caption(data)
    style.save(figure, out, name, title=title, caption=words, alt=alt, sources=[source])
    return True
