"""How large a step Theorems 3 and 4 really allow, across depth."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, plain

MARKERS = ("o", "^", "D", "v")
PANELS = {"theorem4": ("shared", "Theorem 4, sharing"), "theorem3": ("zas", "Theorem 3, ZAS")}


def _panels(data: dict[str, Any]) -> Figure:
    depths = max((row["depths"] for row in data["rows"]), key=len)
    targets = list(dict.fromkeys(row["target"] for row in data["rows"]))
    markers = dict(zip(targets, MARKERS, strict=False))
    figure = style.new_figure(6.6)
    panels = figure.subplots(2, 1, sharex=True)
    dashes = {"true": "none", "proved": "-", "paper": "--"}
    for letter, axes, (theorem, (method, words)) in zip("ab", panels, PANELS.items(), strict=True):
        colour = style.METHODS[method].colour
        for row in (r for r in data["rows"] if r["theorem"] == theorem):
            for kind, dash in dashes.items():
                axes.plot(
                    row["depths"],
                    [n * eta for n, eta in zip(row["depths"], row[kind], strict=True)],
                    color=colour,
                    linestyle=dash,
                    linewidth=1.2,
                    markerfacecolor="white",
                    marker=markers[row["target"]] if kind == "true" else "",
                )
        axes.set(xscale="log", yscale="log", ylabel="depth × step size")
        style.panel_title(axes, letter, words)
    style.depth_ticks(panels[-1], depths)
    panels[-1].set_xlabel("depth $L$ (layers)")
    handles = [
        Line2D([], [], color=style.INK, linestyle="--", label="paper's largest step"),
        Line2D([], [], color=style.INK, label="proved here"),
    ]
    handles += [style.open_mark(marker, f"true, {target}") for target, marker in markers.items()]
    style.legend_above(figure, handles, 2)
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]

    def words(name: str) -> str:
        found = numbers[name]
        first, last = found["window"]
        exponent = found["true_exponent"]
        return (
            f"at depth {count(found['deepest'])} up to {plain(found['true_over_paper_deep_low'])}"
            f" to {plain(found['true_over_paper_deep_high'])} times the paper's step, "
            f"{plain(found['true_over_proved_low'])} to {plain(found['true_over_proved_high'])} "
            f"times the proved one at all depths; exponent of L {plain(exponent['slope_low'])} to "
            f"{plain(exponent['slope_high'])} (fitted from {first} to {count(last)}; local slopes "
            f"{plain(exponent['low'])} to {plain(exponent['high'])})"
        )

    return (
        "Depth times step size: the paper's condition (dashes), the sharper one proved here "
        "(lines), and the largest up to which the theorem's inequality was seen to hold at every "
        f"step (points). (a) Theorem 4 holds {words('theorem4')}. (b) Theorem 3 holds "
        f"{words('theorem3')}."
    )


FIGURE = of_file(
    "theory/admissible.json",
    _panels,
    _caption,
    title="The step sizes that the theorems allow, and that they could",
    alt="Two panels over depth, both axes logarithmic: depth times step size. The paper's step "
    "sizes fall; the proved ones and the largest for which the inequality holds are flat and "
    "close to each other.",
)
