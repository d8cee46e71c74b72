"""Rotations from the identity, and one-dimensional nets from standard starts."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import plain

STARTS = {
    "unshared": style.Look("not shared", "#D55E00", "s"),
    "one draw": style.Look("shared, one draw", "#0072B2", "o"),
    "mean of draws": style.Look("shared, mean of draws", "#56B4E9", "^"),
}
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(6.4)
    above, below = figure.subplots(2, 1)
    shared, zas = style.METHODS["shared"].colour, style.METHODS["zas"].colour
    handles = []
    for row, dash in zip(data["rotations"], DASHES, strict=False):
        above.plot(
            row["angle_over_pi"],
            row["identity"],
            color=shared,
            linestyle=dash,
            marker="o",
            markersize=3,
            markerfacecolor="white",
        )
        above.plot([0.0, 1.0], [row["zas"]] * 2, color=zas, linestyle=dash)
        handles.append(Line2D([], [], color=style.INK, linestyle=dash, label=f"L = {row['depth']}"))
    handles += [
        Line2D([], [], color=shared, label="identity, shared or not"),
        Line2D([], [], color=zas, label="ZAS"),
    ]
    above.legend(handles=handles, ncols=2, loc="upper left")
    above.set(
        yscale="log",
        xlabel="angle of the rotation / $\\pi$",
        ylabel="time to $10^{-6}$",
        xlim=(0.2, 1.0),
    )
    above.set_ylim(top=100 * max(row["zas"] for row in data["rotations"]))
    style.panel_title(above, "a", "rotations")
    for start, look in STARTS.items():
        rows = [row for row in data["nets"] if row["start"] == start]
        quartiles = list(zip(*(row["quartiles"] for row in rows), strict=True))
        depths = [row["depth"] for row in rows]
        below.fill_between(depths, quartiles[0], quartiles[2], color=look.colour, alpha=0.15)
        below.plot(
            depths,
            quartiles[1],
            color=look.colour,
            marker=look.marker,
            markerfacecolor="white",
            label=look.label,
        )
    below.set(xlabel="depth $L$", ylabel="log of time to the goal")
    below.legend(loc="upper left")
    style.panel_title(below, "b", "one-dimensional nets, layers drawn from N(0, 1)")
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    fits = numbers["slopes"]

    def said(name: str) -> str:
        fit = fits[name]
        return f"{plain(fit['slope'])} [{plain(fit['low'])}, {plain(fit['high'])}]"

    return (
        "(a) Time of the flow to 10⁻⁶ of the first loss, target a rotation: from the identity, "
        "tied or not, the product moves straight to the target and passes zero ever closer; at "
        f"{plain(numbers['largest_angle'], 2)}π and depth {numbers['deepest']} it needs "
        f"{plain(numbers['identity_over_zas'])} times as long as ZAS, and at a half turn (a "
        "negative eigenvalue) it never arrives. (b) Natural log of the time of one-dimensional "
        f"nets, median and quartiles of {numbers['draws']} draws; slope of the median per layer "
        f"with 95 % interval: not shared {said('unshared')}, predicted "
        f"{plain(numbers['predicted_unshared'])} for deep nets; one draw in all layers "
        f"{said('one draw')}, predicted {plain(numbers['predicted_one_draw'])}; the mean of the "
        f"draws {said('mean of draws')}, bending upwards. Sharing one draw lowers the exponent; "
        "it does not remove it."
    )


FIGURE = of_file(
    "theory/odd_targets.json",
    _panels,
    _caption,
    title="Rotations and one-dimensional nets: outside the theorems",
    alt="Two panels. Above: time to the goal against the angle of a rotation; flat for ZAS, "
    "growing without bound towards a half turn from the identity. Below: log time of "
    "one-dimensional nets grows linearly with depth, sharing the mean of the draws fastest.",
)
