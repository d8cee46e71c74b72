"""The staircase: skills learnt one after the other, untied, tied and let go; and the gain by K."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from figures.base import style
from figures.base.drawing import of_file
from figures.base.whiskers import half_width
from figures.base.wording import count, listing, plain

ARMS = {
    "untied": ("untied", "#D55E00", "s", "-"),
    "half way": ("SWE, let go half way", "#CC79A7", "D", "-."),
    "best": ("SWE, best $\\tau$", "#009E73", "^", "-"),
    "tied": ("always shared", "#0072B2", "o", "--"),
}
RULES = {
    "sign": ("sign, runs", "s"),
    "adamw": ("AdamW, runs", "D"),
    "sgd": ("SGD, runs", "o"),
}


def _panels(data: dict[str, Any]) -> Figure:
    figure = style.new_figure(7.2)
    # Quarters are exact in binary: the layout's sums, whose order varies, then agree.
    top, middle, bottom = figure.subplots(3, 1, height_ratios=(1.25, 1.25, 0.75))
    _losses(top, data["curves"])
    _gains(middle, data)
    _taus(bottom, data["tau"])
    return figure


def _losses(axes: Axes, curves: dict[str, Any]) -> None:
    for row, (name, (label, colour, marker, line)) in enumerate(ARMS.items()):
        arm = curves["arms"][name]
        axes.plot(curves["times"], arm["loss"], color=colour, linestyle=line, label=label)
        axes.plot(
            arm["hops"],
            [10 ** (0.6 - 0.2 * row)] * len(arm["hops"]),
            marker,
            color=colour,
            markerfacecolor="white",
            markersize=3.5,
        )
    axes.set(yscale="log", xlabel="time", ylabel="loss over its start", ylim=(1e-5, 8.0))
    axes.set_xlim(0.0, curves["times"][-1])
    axes.legend(loc="lower left")
    style.panel_title(axes, "a", f"gradient flow, {curves['skills']} skills")


def _gains(axes: Axes, data: dict[str, Any]) -> None:
    rows = data["noise"]
    depths = [row["skills"] for row in rows]
    for key, label, colour, line in (
        ("front", "best noise, small starts", style.FAINT, ":"),
        ("best", "best noise", "#E69F00", "-"),
        ("full_noise", "full noise", "#56B4E9", "--"),
        ("flow", "flow", "#222222", "-"),
    ):
        axes.plot(depths, [row[key] for row in rows], line, color=colour, label=label)
    for update, (label, marker) in RULES.items():
        runs = [row for row in data["simulated"] if row["update"] == update and row["noise"] > 0]
        axes.errorbar(
            [row["skills"] for row in runs],
            [row["gain"] for row in runs],
            [half_width(row["gain_error"], row["n"]) for row in runs],
            fmt=marker,
            color=style.INK,
            markerfacecolor="white",
            markersize=4,
            elinewidth=1.0,
            label=label,
        )
    axes.set(xscale="log", yscale="log", xlabel="skills and layers, K", ylabel="untied over tied")
    axes.set_xticks(depths, [str(depth) for depth in depths])
    ticks = [1, 2, 4, 8, 16]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="upper left", ncols=2)
    axes.set_ylim(0.9, 60.0)
    share = data["caption_numbers"]["share"]
    style.panel_title(axes, "b", f"ratio of times to {share:g} of the first loss")


def _taus(axes: Axes, rows: list[dict[str, Any]]) -> None:
    looks = (("#0072B2", "o", "-"), ("#E69F00", "^", "--"), ("#009E73", "D", "-."),
             ("#CC79A7", "s", ":"), ("#222222", "v", "-"))  # fmt: skip
    for (colour, marker, line), one in zip(looks, rows, strict=False):
        axes.plot(
            [row["budget"] for row in one["rows"]],
            [row["fraction"] for row in one["rows"]],
            line,
            color=colour,
            marker=marker,
            markerfacecolor="white",
            markersize=4,
            label=f"K = {one['skills']}",
        )
    axes.set(ylim=(-0.05, 1.05), xlabel="budget over the critical one", ylabel="best $\\tau$ / T")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(loc="upper left")
    style.panel_title(axes, "c", "when to let go")


def _caption(data: dict[str, Any]) -> str:
    numbers, curves, tau = data["caption_numbers"], data["curves"], data["tau"]
    deepest = data["noise"][-1]
    runs = listing(
        f"{row['update']} {plain(row['gain'], 3)} (by the drift {plain(row['expected'], 3)})"
        for row in data["simulated"]
        if row["noise"] > 0.0
    )
    quiet = next(row for row in data["simulated"] if row["noise"] == 0.0)
    first = data["simulated"][0]
    share = f"{numbers['share']:g}"
    random = data["random"]
    return (
        f"Skill k is the product of the first k squared weights; all start at {curves['start']:g}. "
        "(a) Exact loss; marks above: when each skill is half learnt. The best τ for budget "
        f"{plain(curves['budget'], 3)} is {plain(curves['best_fraction'], 3)} of it. (b) Time to "
        f"{share} of the first loss, untied over tied, from {deepest['start']:g}: in flow "
        f"{plain(numbers['flow_low'], 3)} to {plain(numbers['flow_high'], 3)} for all K and starts "
        f"tried; by expected sign steps at the noise that is best for tying up to "
        f"{plain(numbers['best_gain'], 3)} at K = {numbers['best_skills']} (exponent of K "
        f"{plain(numbers['best_slope'], 2)}). Points: runs with noise, n = {first['n']}, K = "
        f"{first['skills']}, from {first['start']:g}, 95 % intervals: {runs}; AdamW without noise "
        f"{plain(quiet['gain'], 3)}. (c) Best τ by budget; the critical budgets are "
        f"{listing(plain(one['over_tied_last_hop'], 3) for one in tau)} of the tied last hop’s "
        f"time. Starts drawn for each layer (K = {random['skills']}, n = "
        f"{count(random['draws'])}): last hop {plain(random['over_equal']['ratio'], 3)} times that "
        f"of the equal start at their geometric mean and {plain(random['over_tied']['ratio'], 3)} "
        "times that of tied layers."
    )


FIGURE = of_file(
    "theory/staircase.json",
    _panels,
    _caption,
    title="Skills that build on one another",
    alt="Loss against time: untied layers go down one stair a skill, tied ones stay on the first "
    "and then fall past all at once; released half way they have stairs again. Below, the ratio of "
    "times against the number of skills: near one in flow, like its root in full noise, more in "
    "between; and the best share of the budget to stay tied, which jumps from nought.",
)
