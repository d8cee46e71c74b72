"""The comparison of all methods in words: tables, ledgers, and which method for which regime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evidence.cells import LANGUAGE_SEEDS
from evidence.comparison import HEADLINE_SEEDS
from evidence.plateau import on_plateau, verdict_of
from evidence.results import recorded_rivals
from evidence.rivals import CONTROLS, METHODS, Saving, language_of, saving, through
from figures.base.style import arm_look
from figures.base.tables import markdown, plain_markdown
from figures.base.wording import count, fixed, interval, listing, plain
from figures.bert.rivals import methods
from figures.pages.study_pages import setting

HEADINGS = {
    "method": "Method",
    "rate": "Peak rate",
    "difference": "Final loss minus baseline’s, 95 %",
    "n": "n",
    "verdict": "Verdict",
    "through": "Through",
    "saving": "Saving at equal loss",
    "claimed": "Claimed saving",
}
LEDGER = {
    "method": "Method",
    "updates": "Updates",
    "flops": "FLOPs, baseline’s = 1",
    "source": "Of them the source’s",
    "seconds": "Reference seconds",
}
REGIMES = {
    "composition": "Where one skill serves every depth (composition)",
    "hierarchy": "Where each level has a skill of its own to be learnt (hierarchy)",
    "text": "On text, past its plateau",
}


def table(data: dict[str, Any]) -> str:
    """Return every arm at every budget as markdown, and what was run and where below."""
    rows = []
    for name in data["order"]:
        entry = data["arms"][name]
        if "loss" not in entry:
            continue
        gap, rival = entry.get("difference"), METHODS.get(entry["method"])
        gone = through(data, name)
        rows.append(
            {
                "method": _title(name, entry),
                "rate": f"{entry['rate']:g}" + (" (end of grid)" if entry["rate_at_edge"] else ""),
                "difference": "—" if gap is None else interval(gap, 3),
                "n": str(entry["loss"]["n"]),
                "verdict": verdict_of(data, name),
                "through": "—" if gone is None else f"{gone} of {entry['loss']['n']}",
                "saving": "—" if gap is None else saving_words(saving(data, name)),
                "claimed": str(rival.claimed) if rival and rival.claimed else "—",
            }
        )
    base = data["arms"][data["reference"]]["loss"]["mean"]
    # At other budgets an effect is expected. Each end of a 95 % interval leaves out one in forty.
    compared = sum("difference" in arm and arm["budget"] == 1 for arm in data["arms"].values())
    chance = (
        f"Of {compared} arms without any effect at budget 1, {fixed(compared / 40, 1)} would be "
        "said to help, and as many to hurt, by chance."
    )
    left = [_title(name, data["arms"][name]) for name in data["order"] if "loss" not in
            data["arms"][name]]  # fmt: skip
    missing = f" Not run: {listing(left)}." if left else ""
    return (
        f"{markdown(HEADINGS, rows)}\n\nThe baseline ends at {fixed(base)} nats.{missing} "
        f"{chance} {setting(data)}"
    )


def ledgers(data: dict[str, Any]) -> str:
    """Return the three ledgers of every arm at budget 1 as markdown, and how seconds were taken."""
    rows = []
    for name in data["order"]:
        entry = data["arms"][name]
        if "loss" not in entry or entry["budget"] != 1:
            continue
        flops = sum(entry["flops"].values()) / len(entry["flops"])
        source = sum(entry["phase_flops"][:-1]) if entry["charged"] is not None else 0
        seconds = entry["reference_seconds"]
        rows.append(
            {
                "method": _title(name, entry),
                "updates": count(entry["steps"]),
                "flops": fixed(flops / entry["budget_flops"], 3),
                "source": fixed(source / entry["budget_flops"], 3) if source else "—",
                "seconds": "not timed" if seconds is None else plain(seconds),
            }
        )
    times = "; ".join(
        f"{model}: {plain(1000 * seconds)} ms over {count(data['update_intervals'][model])}"
        for model, seconds in data["update_seconds"].items()
    )
    return (
        f"{markdown(LEDGER, rows)}\n\nAn update in its least disturbed tenth, one thread on "
        f"{data['environment']['device']}, over intervals between logged rows: {times}. "
        f"{price(data)}"
    )


def price(data: dict[str, Any]) -> str:
    """Return what the study on record takes in core-hours at its own reference seconds."""
    study, hours = data["study"], 0.0
    later = study["finalists"] or len(study["rates"])
    tuned = len(study["rates"]) + later * (study["tuning_seeds"] - 1)
    runs = study["seeds"] + (tuned if len(study["rates"]) > 1 else 0)
    for entry in data["arms"].values():
        if entry.get("reference_seconds") is None:
            return "Not every arm was timed, so the whole has no price."
        hours += runs * entry["reference_seconds"] / 3600
    arms = len(data["arms"])
    return (
        f"{arms} arms of {runs} runs, tuning included, are {plain(hours, 2)} core-hours at these "
        "seconds."
    )


def _title(name: str, entry: Mapping[str, Any]) -> str:
    rival = METHODS.get(entry["method"])
    title = rival.title if rival else arm_look(entry["method"]).label
    budget = "" if entry["budget"] == 1 else f", budget x{entry['budget']:g}"
    return f"{title}{', source not charged' if entry['charged'] is False else ''}{budget}"


def saving_words(found: Saving | None) -> str:
    """Return "+30 % [+10, +45]", "not bracketed" with its seeds, or "not run"."""
    if found is None:
        return "not run"
    if found.mean is None:
        inside = found.n - found.worse - found.better
        return (
            f"not bracketed: {found.worse} worse than the least budget, {found.better} better "
            f"than the largest, {inside} between"
        )
    mean = f"{fixed(found.mean, 0, sign=True)} %"
    if found.low is None or found.high is None:
        return mean
    return f"{mean} [{fixed(found.low, 0, sign=True)}, {fixed(found.high, 0, sign=True)}]"


def advice(records: Path) -> str:
    """Say by regime which method to take, by the studies beside ``records``; "not run" without.

    A method is named where its interval lies below zero, its source charged, from LANGUAGE_SEEDS
    paired seeds on, on text from HEADLINE_SEEDS on and past the plateau; the one of least mean
    first.
    """
    said = sentences([one.data for one in recorded_rivals(records.parent / "studies")])
    return plain_markdown(said) if said else "not run"


def sentences(tables: Sequence[dict[str, Any]]) -> str:
    """Return a sentence a language; "" where none has been judged."""
    found: dict[str, str] = {}
    for data in tables:
        language = language_of(data)
        enough = HEADLINE_SEEDS if language == "text" else LANGUAGE_SEEDS
        able = [n for n in methods(data) if data["arms"][n]["difference"]["n"] >= enough]
        able = [name for name in able if name not in CONTROLS]
        if able and not on_plateau(data):
            found.setdefault(language, f"{REGIMES.get(language, language)}: {_choice(data, able)}.")
    return " ".join(found.values())


def _choice(data: dict[str, Any], able: Sequence[str]) -> str:
    arms = data["arms"]
    ranked = sorted(able, key=lambda name: arms[name]["difference"]["mean"])
    helping = [name for name in ranked if arms[name]["verdict"] == "helps"]
    hurting = [name for name in ranked if arms[name]["verdict"] == "hurts"]
    against = f"; {_names(data, hurting)} {'hurts' if len(hurting) == 1 else 'hurt'}" * bool(
        hurting
    )
    if not helping:
        return f"none of {len(able)} methods helps at the baseline's FLOPs{against}"
    first = helping[0]
    others = f", then {_names(data, helping[1:])}" if helping[1:] else ""
    gap = arms[first]["difference"]
    return (
        f"{_names(data, [first])} ({interval(gap, 2)} nats at the baseline's FLOPs, n = {gap['n']})"
        f"{others}{against}"
    )


def _names(data: dict[str, Any], names: Sequence[str]) -> str:
    return listing(_title(name, data["arms"][name]) for name in names)
