"""One factor at a time round one centre, and a random fraction: where does sharing win?

Every cell is a study of the composition language with three arms (baseline, equal start, SWE-F) at
one rate for all, so that the rate is a factor like the others. The centre is the default run's
demonstration, the smallest cell found with SWE-F below both controls. The list of cells, and what
is expected of each, is on record (``records/factors/cells.json``) before the first of them runs.

The gain of a cell is the lower of both controls' final loss minus SWE-F's. Expected of a value is
its gain beside the centre's: larger, smaller, or the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from bert.study.language_study import LanguageStudy, asked_language

ARMS = ("baseline", "equal-start", "swe-f")
FIRST_SEED = 200
"""Seeds count from here: those of the search for the centre, and of its demonstration, are other
ones."""
Expected = Literal["larger", "smaller", "same", ""]


@dataclass(frozen=True)
class Level:
    """One value of a factor: what it is called, what it sets, what is expected and why."""

    value: str
    settings: dict[str, Any]
    expected: Expected
    why: str


@dataclass(frozen=True)
class Cell:
    """One study: {factor: value} of what differs from the centre, and the settings by name."""

    name: str
    differs: dict[str, str]
    settings: dict[str, Any]
    expected: Expected = ""
    """"" for the centre, and for the random fraction: of combinations nothing is said."""
    why: str = ""

    def study(self, seeds: int) -> LanguageStudy:
        """Return the cell's study with that many seeds."""
        given = CENTRE | self.settings | {"seeds": seeds}
        return asked_language("composition", "demo", FIRST_SEED, given)

    def to_json(self) -> dict[str, Any]:
        """The cell as its record has it."""
        return dict(vars(self))


CENTRE: dict[str, Any] = {"size": "6x32", "steps": 1000, "rates": [4e-3], "placement": "pre"}
"""Beside the demonstration's own: 6 symbols, 5 hops, 64 rows, tau 60 %."""
FACTORS: dict[str, tuple[Level, ...]] = {
    "depth": (
        Level("3", {"size": "3x32"}, "smaller", "fewer layers to learn the hop apart"),
        Level("12", {"size": "12x32"}, "larger", "the staircase's ratio grows with the depth"),
    ),
    "width": (
        Level("16", {"size": "6x16"}, "smaller", "smaller nets turned the sign in single runs"),
        Level("64", {"size": "6x64"}, "larger", "the tied hop comes earlier, within the budget"),
    ),
    "hops": (
        Level("2", {"language.hops": 2}, "smaller", "one stair beside the first: little to reuse"),
        Level("3", {"language.hops": 3}, "smaller", "two stairs beside the first"),
        Level("8", {"language.hops": 8}, "same", "more stairs, and less of each within the budget"),
    ),
    "eps": (
        Level("0.4", {"language.eps": 0.4}, "smaller", "two hops of five are computed otherwise"),
        Level("1", {"language.eps": 1.0}, "smaller", "no hop is any other: nothing is shared"),
    ),
    "budget": (
        Level("x0.5", {"steps": 500}, "smaller", "tied or not, one hop is all there is time for"),
        Level("x2", {"steps": 2000}, "larger", "the tied layers get through, the others do not"),
        Level("x4", {"steps": 4000}, "smaller", "the baseline gets through, too"),
    ),
    "rate": (
        Level("0.001", {"rates": [1e-3]}, "smaller", "the tied layers need the larger step"),
        Level("0.002", {"rates": [2e-3]}, "smaller", "the tied layers need the larger step"),
        Level("0.008", {"rates": [8e-3]}, "same", "past the controls' best rate, near SWE-F's"),
    ),
    "placement": (Level("post", {"placement": "post"}, "smaller", "tied branches add coherently"),),
    "branches": (
        Level("0.41", {"branch_scale": 0.41}, "smaller", "1/sqrt(L): layers nearer exchangeable"),
        Level("0.17", {"branch_scale": 0.17}, "smaller", "1/L: little left to gain by curvature"),
    ),
    "start": (
        Level("x0.25", {"initial_scale": 0.25}, "smaller", "the ratio tends to 1 as it goes to 0"),
        Level("x0.5", {"initial_scale": 0.5}, "smaller", "a small start turned the sign"),
        Level("x2", {"initial_scale": 2.0}, "same", "layers far apart, and a later hop"),
    ),
}
"""By factor, the values beside the centre's."""
FRACTION = 10
"""Cells of the random fraction."""
_DRAWN_FROM, _MOVED = 1, (2, 4)


def cells() -> list[Cell]:
    """Return the centre, every other value of one factor, and the random fraction.

    In the fraction two to four factors leave the centre, for any of their values but budgets above
    the centre's, which cost too much.
    """
    found = [Cell("centre", {}, {})]
    for factor, levels in FACTORS.items():
        for one in levels:
            differs = {factor: one.value}
            found.append(
                Cell(f"{factor} {one.value}", differs, one.settings, one.expected, one.why)
            )
    draw = random.Random(_DRAWN_FROM)
    return found + [_drawn(f"random {number}", draw) for number in range(1, FRACTION + 1)]


def _drawn(name: str, draw: random.Random) -> Cell:
    differs: dict[str, str] = {}
    settings: dict[str, Any] = {}
    moved = draw.sample(list(FACTORS), draw.randint(*_MOVED))
    for factor, levels in FACTORS.items():
        if factor not in moved:
            continue
        level = draw.choice([one for one in levels if _fits(one.settings, settings)])
        differs[factor] = level.value
        size = [part["size"].split("x") for part in (settings, level.settings) if "size" in part]
        settings |= level.settings
        if len(size) == 2:  # the depth of the one and the width of the other
            settings["size"] = f"{size[0][0]}x{size[1][1]}"
    return Cell(name, differs, settings)


def _fits(more: dict[str, Any], settings: dict[str, Any]) -> bool:
    """Whether a value is cheap enough, and its share of the hops a whole number of them."""
    hops = settings.get("language.hops", 5)
    return more.get("steps", 0) <= 1000 and (more.get("language.eps", 0.0) * hops).is_integer()
