"""A figure of a study's runs: the default comparison's in a report, a table's elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from figures.base.drawing import Drawing, Found
from figures.base.results import Study, read_study


def _read(out: Path) -> Found[Study] | None:
    study = read_study(out)
    return None if study is None else Found(study, out / study.source, (study.source,))


def of_runs(
    name: str,
    panels: Callable[[Study], Figure | None],
    caption: Callable[[Study], str],
    *,
    title: str,
    alt: str | Callable[[Study], str],
) -> Drawing[Study]:
    """Declare a figure of runs."""
    return Drawing(
        name=name,
        title=title,
        alt=alt,
        read=_read,
        panels=panels,
        caption=caption,
        command="python paper_repro.py bert",
    )
