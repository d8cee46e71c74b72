"""One look for all figures, and the one place that writes them.

Theory is a line, a measurement a point with its interval. A colour and a marker belong to one arm
or one method everywhere; colours are Okabe and Ito's, which survive the common colour blindnesses,
and no distinction rests on colour alone. Every figure is one narrow column with its panels stacked,
so that its letters are 10 pixels high on a phone 390 pixels wide.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swe.base.files import atomic_open, write_text

WIDTH = 4.2
"""Inches; heights are each figure's own."""
LETTERS = 9.0
"""Points; no letter is smaller, but for those in exponents and indices."""
INK, FAINT, GRID = "#222222", "#8a8a8a", "#dddddd"

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": LETTERS,
    "axes.titlesize": LETTERS,
    "axes.titlelocation": "left",
    "axes.labelsize": LETTERS,
    "xtick.labelsize": LETTERS,
    "ytick.labelsize": LETTERS,
    "legend.fontsize": LETTERS,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "lines.markeredgewidth": 1.1,
    "axes.unicode_minus": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "share-then-unshare",
}


@dataclass(frozen=True)
class Look:
    """How one arm or method is drawn, everywhere."""

    label: str
    colour: str
    marker: str
    dash: tuple[float, tuple[float, ...]] = (0, ())


METHODS: dict[str, Look] = {
    "shared": Look("sharing", "#0072B2", "o"),
    "zas": Look("no sharing (ZAS)", "#D55E00", "s"),
}
ARMS: dict[str, Look] = {
    "baseline": Look("baseline", "#222222", "o"),
    "equal-start": Look("equal start", "#56B4E9", "s", (0, (5, 1.2))),
    "swe-f": Look("SWE-F", "#E69F00", "^"),
    "swe-a": Look("SWE-A", "#009E73", "D", (0, (4, 1, 1, 1))),
    "swe-m": Look("SWE-M", "#CC79A7", "v", (0, (2.5, 1))),
    "always-shared": Look("always shared", "#0072B2", "P", (0, (1, 1))),
    "cycle": Look("CYCLE", "#0072B2", "X", (0, (1, 1))),
    "cycle-rev": Look("CYCLE (REV)", "#0072B2", "D", (0, (2.5, 1))),
    "sequence": Look("SEQUENCE", "#0072B2", "v", (0, (4, 1, 1, 1))),
    "similarity": Look("similarity penalty", "#56B4E9", "P", (0, (1, 1))),
    "layer-drop": Look("layer drop", "#332288", "o"),
    "progressive-drop": Look("progressive drop", "#332288", "s", (0, (5, 1.2))),
    "stacking": Look("stacking", "#D55E00", "o"),
    "g-stack": Look("G_stack", "#D55E00", "s", (0, (5, 1.2))),
    "interpolation": Look("interpolation", "#D55E00", "D", (0, (4, 1, 1, 1))),
    "mslt": Look("MSLT", "#D55E00", "^", (0, (2.5, 1))),
    "identity": Look("identity layers", "#D55E00", "v", (0, (1, 1))),
    "net2net": Look("Net2Net", "#7F7F7F", "o"),
    "fpi": Look("FPI", "#7F7F7F", "s", (0, (5, 1.2))),
    "aki": Look("AKI", "#7F7F7F", "D", (0, (4, 1, 1, 1))),
    "aki-two-stage": Look("AKI, both stages", "#7F7F7F", "^", (0, (2.5, 1))),
    "lemon": Look("LEMON", "#B8A000", "P", (0, (1, 1))),
    "ligo": Look("LiGO", "#B8A000", "o"),
    "mango": Look("Mango", "#B8A000", "s", (0, (5, 1.2))),
    "core": Look("CoRe", "#882255", "D", (0, (4, 1, 1, 1))),
    "grow-share": Look("grow, share, unshare", "#9A5B00", "^", (0, (5, 1.2))),
    "swe-f 5 %": Look("SWE-F, 5 %", "#F0C04A", "v"),
    "swe-f 20 %": Look("SWE-F, 20 %", "#E69F00", "^"),
    "swe-f 50 %": Look("SWE-F, 50 %", "#9A5B00", "D"),
}

P = ParamSpec("P")
T = TypeVar("T")


def arm_look(arm: str) -> Look:
    """Return the look of an arm; a variant ("swe-f tau 2 %") has its family's, under its own name.

    An arm of no known family is drawn grey.
    """
    if arm in ARMS:
        return ARMS[arm]
    family, _, variant = arm.partition(" ")
    if family in ARMS:
        look = ARMS[family]
        return replace(look, label=f"{look.label}, {variant}")
    return Look(arm, FAINT, "X")


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run ``function`` in this style, whatever the session's settings, and restore those."""

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return function(*args, **kwargs)

    return inside


def new_figure(height: float) -> Figure:
    """Return an empty figure of the common width; no pyplot, so nothing needs closing."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def panel_title(axes: Axes, letter: str, text: str) -> None:
    """Write "a  text" over a panel; captions refer to the letter."""
    axes.set_title(f"$\\bf{{{letter}}}$  {text}")


def depth_ticks(axes: Axes, depths: Sequence[int]) -> None:
    """Label depths on a logarithmic axis, of many every second or third: they would touch."""
    shown = depths[:: -(-len(depths) // 7)]
    axes.set_xticks(shown, [str(depth) for depth in shown])
    axes.minorticks_off()


def arm_handles(arms: Sequence[str]) -> list[Line2D]:
    """Return legend entries of arms."""
    return [
        Line2D(
            [],
            [],
            color=look.colour,
            label=look.label,
            linestyle=look.dash,
            marker=look.marker,
        )
        for look in map(arm_look, arms)
    ]


def open_mark(marker: str, label: str) -> Line2D:
    """Return a legend's handle of a mark without a line."""
    return Line2D(
        [], [], color=INK, linestyle="none", marker=marker, markerfacecolor="white", label=label
    )


def legend_above(figure: Figure, handles: Sequence[Any], columns: int = 3) -> None:
    """Put one legend over all panels, where it can hide no data, in as many columns as fit."""
    while True:
        legend = figure.legend(handles=list(handles), loc="outside upper left", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()
        columns -= 1


def save(
    figure: Figure,
    out: Path,
    name: str,
    *,
    title: str,
    caption: str,
    alt: str,
    sources: Sequence[str],
) -> None:
    """Write ``out/figures/<name>`` as .png, .svg and .json (title, caption, alt text, sources).

    The bytes depend on the figure alone: no date, no random identifiers.
    """
    folder = out / "figures"
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        # Laid out once: the second format would only find the same places again, at half the cost.
        figure.set_layout_engine("none")
        with atomic_open(folder / f"{name}.{kind}") as stream:
            stream.write(buffer.getvalue())
    words = {
        "name": name,
        "title": title,
        "caption": caption,
        "alt": alt,
        "sources": list(sources),
    }
    text = json.dumps(words, indent=1, sort_keys=True, ensure_ascii=False)
    write_text(folder / f"{name}.json", text + "\n")
