"""Studies on record in words: the blocks study:NAME/TABLE and theory:NAME/TABLE of docs/bert.md."""

from __future__ import annotations

from typing import Any

from evidence.plateau import verdict_of
from figures.base.style import arm_look
from figures.base.tables import markdown
from figures.base.wording import count, ended, fixed, interval, plain, size_of
from figures.bert.speedup import ratio_words
from figures.bert.tables import paper_gain

_TABLE = {
    "arm": "Arm",
    "rate": "Peak rate",
    "n": "n",
    "loss": "Final loss, nats",
    "difference": "Minus baseline, 95 %",
    "verdict": "Verdict",
    "accuracy": "Accuracy, %",
    "gain": "Points over baseline, 95 %",
    "paper": "Paper's points",
}
_THEORY = {
    "quantity": "Quantity",
    "n": "n",
    "predicted": "Predicted",
    "measured": "Measured",
    "verdict": "Verdict",
}


def study_table(table: dict[str, Any]) -> str:
    """Return a table's arms as markdown, with what was run and where below."""
    rows = []
    for name in table["order"]:
        entry = table["arms"][name]
        if "loss" not in entry:
            continue
        points, paper = entry["accuracy_percent"], paper_gain(table, name)
        rows.append(
            _row(table, name)
            | {
                "accuracy": fixed(points["mean"]["mean"], 2),
                "gain": interval(points["difference"], 2) if "difference" in points else "—",
                "paper": "—" if paper is None else fixed(paper, 2, sign=True),
            }
        )
    ratios = "; ".join(
        f"{arm_look(arm).label} {ratio_words(ratio)}"
        for arm, ratio in table.get("speedup", {}).items()
    )
    speed = f"\n\nBudget of an equal baseline over the arm's: {ratios}." if ratios else ""
    return f"{markdown(_TABLE, rows)}{speed}\n\n{setting(table)}"


def _row(table: dict[str, Any], name: str) -> dict[str, str]:
    """What every table of arms has of one."""
    entry = table["arms"][name]
    gap = entry.get("difference")
    return {
        "arm": arm_look(name).label,
        "rate": f"{entry['rate']:g}" + (" (end of grid)" if entry["rate_at_edge"] else ""),
        "n": str(entry["loss"]["n"]),
        "loss": fixed(entry["loss"]["mean"]),
        "difference": "—" if gap is None else interval(gap),
        "verdict": verdict_of(table, name),
    }


def language_table(table: dict[str, Any]) -> str:
    """Return a language's arms as markdown: losses, and how many seeds learnt each part."""
    parts = list(next(arm["reached"] for arm in table["arms"].values() if "reached" in arm))
    kept = ("arm", "rate", "n", "loss", "difference", "verdict")
    columns = {key: _TABLE[key] for key in kept} | {part: f"Learnt {part}" for part in parts}
    rows = []
    for name in table["order"]:
        entry = table["arms"][name]
        if "loss" not in entry:
            continue
        rows.append(_row(table, name) | {part: str(entry["reached"][part]) for part in parts})
    language = dict(table["study"]["language"])
    kind = language.pop("kind")
    fields = ", ".join(f"{key} {value}" for key, value in sorted(language.items()))
    return f"{markdown(columns, rows)}\n\nLanguage: {kind}, {fields}. {setting(table)}"


def theory_table(table: dict[str, Any]) -> str:
    """Return predictions beside measurements as markdown: carried quantities, gains by tau."""
    rows = [
        {
            "quantity": entry["quantity"],
            "n": str(entry["n"]),
            "verdict": entry["verdict"],
            "predicted": _ends(entry["predicted"]),
            "measured": _ends(entry["measured"]),
        }
        for entry in table.get("carried", [])
    ]
    rows += [
        {
            "quantity": f"gain of SWE-F over the equal start, tau {100 * gain['tau']:g} % "
            "(predicted: ratio of descents minus 1; measured: nats)",
            "n": str(gain["n"]),
            "predicted": _ends(gain["predicted"]),
            "measured": _ends(gain["measured"]),
            "verdict": gain["verdict"] + ("" if gain["same_rate"] else " (rates differ)"),
        }
        for gain in table.get("gains", [])
    ]
    return markdown(_THEORY, rows)


def _ends(found: dict[str, Any] | None) -> str:
    if found is None:
        return "—"
    if found["low"] is None or found["low"] == found["high"]:
        return plain(found["mean"])
    return f"{plain(found['mean'])} [{plain(found['low'])}, {plain(found['high'])}]"


def _trials(study: dict[str, Any]) -> str:
    seeds, finalists = study["tuning_seeds"], study.get("finalists", 0)
    if finalists and seeds > 1:
        return f"1 seed of their own, each arm's best {finalists} with {seeds - 1} more"
    return f"{seeds} seed(s) of their own"


def setting(table: dict[str, Any]) -> str:
    """Say what was run, and where."""
    study, base = table["study"], table["arms"][table["reference"]]
    where = table["environment"]
    state = "" if table["complete"] else " Not finished: n says how far it came."
    rates = ", ".join(f"{rate:g}" for rate in study["rates"])
    tuned = (
        f"rates {rates} tried by every arm with {_trials(study)}"
        if len(study["rates"]) > 1
        else f"one rate ({rates}) for all arms, not tuned"
    )
    words = "" if "language" in study else f"vocabulary {study['vocabulary']}, "
    return (
        f"{size_of(study)}, {study['placement'].capitalize()}-LN, {words}"
        f"{count(base['steps'])} updates, {count(base['tokens'])} tokens (x2: twice that), {tuned}."
        f"{state}{ended(table)} {where['device']}, torch {where['torch']}, commit "
        f"{where['commit'][:10]}, `{where['command']}`."
    )
