"""Where sharing wins and where it does not: final loss by arm, judged on networks of their own."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import count, interval, listing

TITLES = {"sgd": "SGD", "adamw": "AdamW"}
FAMILIES = {"unrolled": "Unrolled", "lista": "LISTA", "residual": "Residual"}
COLUMNS = 2
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _panels(data: dict[str, Any]) -> Figure:
    settings = data["settings"]
    rows = -(-len(settings) // COLUMNS)
    figure = style.new_figure(1.6 + 1.35 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False).T.ravel()
    for letter, axes, setting in zip(LETTERS, panels, settings, strict=False):
        _panel(axes, data["arms"], setting)
        style.panel_title(axes, letter, _short(setting))
    for axes in panels[len(settings) :]:
        axes.set_visible(False)
    for axes in panels[:rows]:
        axes.set_ylabel("$\\log_{10}$ loss")
    return figure


def _panel(axes: Axes, arms: list[str], setting: dict[str, Any]) -> None:
    found = setting["against_baseline"]
    controls = [found[arm]["loss"]["mean"] for arm in ("baseline", "equal-start")]
    axes.axhline(min(controls), color=style.FAINT, linewidth=0.8, linestyle="--")
    for place, arm in enumerate(arms):
        look = style.arm_look("swe-f" if arm.startswith("swe-f") else arm)
        loss = found[arm]["loss"]
        values = list(found[arm]["values"].values())
        axes.plot([place + 0.25] * len(values), values, ".", color=style.FAINT, markersize=2)
        if loss["low"] is not None:
            axes.plot([place] * 2, [loss["low"], loss["high"]], color=look.colour)
        face = look.colour if arm == setting["chosen"] or arm in arms[:2] else "white"
        axes.plot(
            place,
            loss["mean"],
            look.marker,
            color=look.colour,
            markerfacecolor=face,
            markersize=4.5,
        )
    axes.set_xticks(range(len(arms)), arms, rotation=60, ha="right")
    axes.grid(visible=False, axis="x")


def _short(setting: dict[str, Any]) -> str:
    """Unrolled networks by their numbers, others by name: a panel is narrow."""
    symbols = {"gamma": "$\\gamma$", "eps": "$\\varepsilon$"}
    named = (
        [f"{symbols[key]} {setting[key]:g}" for key in symbols]
        if "gamma" in setting
        else [FAMILIES[setting["family"]]]
    )
    return ", ".join([*named, TITLES[setting["optimiser"]]])


def _caption(data: dict[str, Any]) -> str:
    parts = []
    for letter, setting in zip(LETTERS, data["settings"], strict=False):
        arm = setting["chosen"]
        named = {"gamma": "γ", "eps": "ε"}
        where = [f"{named[key]} = {setting[key]:g}" for key in named if key in setting]
        both = [
            interval(setting[f"against_{control}"][arm]["difference"], 2)
            for control in ("baseline", "equal_start")
        ]
        named_so = [FAMILIES[setting["family"]], *where, TITLES[setting["optimiser"]]]
        parts.append(
            f"({letter}) {', '.join(named_so)}: {arm} "
            f"{both[0]} and {both[1]} ({setting['verdict']})"
        )
    updates = sorted({setting["steps"] for setting in data["settings"]})
    return (
        f"Final held-out loss of {data['judging']} judging networks by arm: mean, 95 % interval, "
        f"each network a grey dot; {listing(count(n) for n in updates)} updates. Unrolled: "
        f"{data['depth']} blocks h + γ (tanh(W h + u) − h), width {data['width']}, after a teacher "
        "whose modules differ by ε; LISTA on sparse codes; residual students of a residual "
        f"teacher. Each arm's rate was chosen on {data['tuning']} other networks, and so was the "
        "filled SWE-F. Dashed: the better of baseline and equal start. The filled SWE-F minus the "
        f"baseline and minus the equal start, within a network: {listing(parts)}."
    )


FIGURE = of_file(
    "toy/judged.json",
    _panels,
    _caption,
    name="toy_judged",
    title="Where sharing wins, and where it does not",
    alt="Final held-out loss of baseline, equal start, SWE-F at three untie times and always "
    "shared, one panel a setting: unrolled networks, LISTA and residual students.",
)
