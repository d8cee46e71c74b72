"""Who gets the credit: the gain over ZAS divided between start, averaging and tying."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures.base import style
from figures.base.drawing import of_file
from figures.base.wording import fixed, listing, plain

PARTS = {
    "start": ("the start", "#E69F00"),
    "averaging": ("averaging the start", "#56B4E9"),
    "tying": ("tying", "#0072B2"),
}


def _panels(data: dict[str, Any]) -> Figure:
    families = list(dict.fromkeys(row["family"] for row in data["rows"]))
    depth = data["depths"][-1]
    figure = style.new_figure(0.8 + 2.2 * ((len(families) + 1) // 2))
    grid = figure.subplots((len(families) + 1) // 2, 2, sharey=True, sharex=True, squeeze=False)
    kicks = data["kicks"]
    for k, (axes, family) in enumerate(zip(grid.flat, families, strict=False)):
        for shift, (part, (_, colour)) in zip((-0.27, 0.0, 0.27), PARTS.items(), strict=True):
            for at, kick in enumerate(kicks):
                row = next(
                    r
                    for r in data["rows"]
                    if (r["family"], r["depth"], r["kick"]) == (family, depth, kick)
                )
                mean, error = row[part]["mean"], row[part]["error"]
                axes.bar(at + shift, mean, 0.25, color=colour, zorder=2)
                axes.errorbar(
                    at + shift, mean, error, color=style.INK, linewidth=1.0, capsize=2, zorder=3
                )
        axes.axhline(0.0, color=style.INK, linewidth=0.8)
        axes.set_xticks(range(len(kicks)), [plain(kick, 1) for kick in kicks])
        axes.grid(visible=False, axis="x")
        style.panel_title(axes, "abcd"[k], family)
    for axes in grid[-1]:
        axes.set_xlabel("perturbation ε of the start")
    for axes in grid[:, 0]:
        axes.set_ylabel("gain, log₂ of times")
    handles = [Patch(color=colour, label=label) for label, colour in PARTS.values()]
    style.legend_above(figure, handles, 3)
    return figure


def _caption(data: dict[str, Any]) -> str:
    numbers = data["caption_numbers"]
    ties = listing(
        f"{fixed(v + 0.0, 3, sign=True) if abs(v) > 1e-9 else 'nothing'} ({family})"
        for family, v in numbers["tying"].items()
    )
    starts = listing(f"{fixed(v, 3, sign=True)} ({f})" for f, v in numbers["start"].items())
    return (
        "Gain of sharing over ZAS in the time of the flow to R = "
        f"{plain(data['eps'], 1)} of ZAS's first loss, as log₂ of quotients that add up: the start "
        "I + εG without sharing against ZAS; the mean of the layers' starts against their own; "
        f"tying against not tying from that mean. Depth {numbers['deepest']}, "
        f"{numbers['targets']} targets a family, bars are means, whiskers standard errors. From "
        f"the exact identity the start gives {starts}, tying {ties}: with and without tying "
        "gradient descent is the same sequence for normal targets (symmetric, rotation), measured "
        f"difference at most {plain(numbers['largest_difference_normal'], 2)}, and at least "
        f"{plain(numbers['least_difference_not_normal'], 2)} for the others. Over all "
        f"{numbers['runs']} runs tying was faster in {numbers['tying_helps']} and slower in "
        f"{numbers['tying_hurts']}."
    )


FIGURE = of_file(
    "theory/controls.json",
    _panels,
    _caption,
    title="Start or tying: where the gain over ZAS comes from",
    alt="Four panels, one a family of targets. For each size of perturbation three bars with "
    "standard errors: the part of the gain due to the start, to averaging the start over "
    "layers, and to tying. The start's bar is the large one; tying's is zero for normal "
    "targets from the exact identity and negative for the others.",
)
