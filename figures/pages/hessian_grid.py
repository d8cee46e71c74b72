"""The unrolled family's settings on record: the block ``hessian-grid`` of docs/theory.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidence.results import read_json, reading
from figures.base.tables import markdown

PARTS = {"full": "full", "commuting": "uncoupled", "exchangeable": "exchangeable"}
TITLES = {"sgd": "SGD", "adamw": "AdamW"}
HEADINGS = {
    "setting": "Setting",
    "words": "Helps, no gain, hurts",
    "signs": f"Right ({', '.join(PARTS.values())})",
    "clear": "Of those that helped or hurt",
    "tau": "Best τ/T, not worse",
    "said": f"Best τ/T ({', '.join(PARTS.values())})",
    "change": "Largest change over the equal start",
    "full": "The full Hessian's there",
}


def table(records: Path) -> str:
    """Return every setting, a row an optimiser's sum; ``records`` is the default run's folder."""
    path = records.parent / "toys" / "hessian.json"
    data = read_json(path)
    if data is None:
        return "not run"
    with reading(path):
        inner = [i for i, tau in enumerate(data["tau"]) if 0.0 < tau < 1.0]
        rows = []
        for optimiser, title in TITLES.items():
            settings = [s for s in data["settings"] if s["optimiser"] == optimiser]
            rows += [_row(data, inner, setting) for setting in settings]
            if settings:
                rows.append(_sum(inner, settings, title))
        here = data["environment"]
        edges = sum(not setting["inside"] for setting in data["settings"])
        return (
            f"{markdown(HEADINGS, rows)}\n\nSWE-F at {len(inner)} untie times a setting, against "
            f"baseline and equal start both; n = {data['judging']} networks, one rate for all arms "
            f"that {data['tuning']} others chose ({edges} at an end of the rates tried); log10 of "
            f"the loss. `{here['command']}`, commit {here['commit'][:10]}."
        )


def right(inner: Sequence[int], setting: dict[str, Any], part: str, *, decided: bool) -> int:
    """How many verdicts of a part are the measured ones; `decided`: that help or hurt."""
    found, said = setting["measured"]["verdict"], setting["parts"][part]["verdict"]
    return sum(said[i] == found[i] for i in inner if not decided or found[i] != "no gain")


def _signs(inner: Sequence[int], settings: Sequence[dict[str, Any]]) -> dict[str, str]:
    words = [s["measured"]["verdict"][i] for s in settings for i in inner]
    count = {
        decided: ", ".join(
            str(sum(right(inner, s, part, decided=decided) for s in settings)) for part in PARTS
        )
        for decided in (False, True)
    }
    clear = len(words) - words.count("no gain")
    return {
        "words": ", ".join(str(words.count(word)) for word in ("helps", "no gain", "hurts")),
        "signs": f"{count[False]} of {len(words)}",
        "clear": f"{count[True]} of {clear}" if clear else "",
    }


def _row(data: dict[str, Any], inner: Sequence[int], setting: dict[str, Any]) -> dict[str, str]:
    found = setting["measured"]["against_equal_start"]["mean"]
    at = max(inner, key=lambda i: abs(found[i]))
    parts = [setting["parts"][part] for part in PARTS]
    return {
        "setting": f"{TITLES[setting['optimiser']]}, γ {setting['gamma']:g}, "
        f"ε {setting['eps']:g}, {setting['steps']} updates",
        **_signs(inner, [setting]),
        "tau": ", ".join(f"{tau:g}" for tau in setting["measured"]["best_tau_set"]),
        "said": ", ".join(f"{part['best_tau']:g}" for part in parts),
        "change": f"{found[at]:+.2f} at {data['tau'][at]:g}",
        "full": f"{parts[0]['against_equal_start']['mean'][at]:+.2f}",
    }


def _sum(inner: Sequence[int], settings: Sequence[dict[str, Any]], title: str) -> dict[str, str]:
    best = ", ".join(
        str(sum(s["parts"][part]["best_tau"] in s["measured"]["best_tau_set"] for s in settings))
        for part in PARTS
    )
    return {
        "setting": f"{title}, all",
        **_signs(inner, settings),
        "tau": "",
        "said": f"right: {best} of {len(settings)}",
        "change": "",
        "full": "",
    }
