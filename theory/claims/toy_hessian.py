"""Ledger records TOY-HESSIAN and TOY-DIAGONAL, from the result of `theory.toys.hessian`."""

from __future__ import annotations

from typing import Any

from evidence.claim import Finding, Verdict

GOAL = 0.8
"""Share of the verdicts, of three words, that counts as predicted."""


def _of(data: dict[str, Any], optimiser: str) -> list[dict[str, Any]]:
    return [setting for setting in data["settings"] if setting["optimiser"] == optimiser]


def _inner(data: dict[str, Any]) -> list[int]:
    """The untie times that are SWE-F's: neither the equal start's nor always shared's."""
    return [i for i, tau in enumerate(data["tau"]) if 0.0 < tau < 1.0]


def _parts(settings: list[dict[str, Any]]) -> list[str]:
    """The full Hessian first."""
    return sorted(settings[0]["parts"], key=lambda part: (part != "full", part))


def signs(
    data: dict[str, Any], settings: list[dict[str, Any]], part: str, *, decided: bool = False
) -> tuple[int, int]:
    """How many verdicts on SWE-F, one for every tau, are the measured ones, and of how many.

    `decided`: only where the measurement says "helps" or "hurts".
    """
    pairs = [
        (setting["parts"][part]["verdict"][i], setting["measured"]["verdict"][i])
        for setting in settings
        for i in _inner(data)
        if not decided or setting["measured"]["verdict"][i] in ("helps", "hurts")
    ]
    return sum(said == found for said, found in pairs), len(pairs)


def _share(data: dict[str, Any], settings: list[dict[str, Any]], part: str) -> float:
    right, of = signs(data, settings, part)
    return right / of


def _best(settings: list[dict[str, Any]], part: str) -> int:
    return sum(s["parts"][part]["best_tau"] in s["measured"]["best_tau_set"] for s in settings)


def _counts(data: dict[str, Any], settings: list[dict[str, Any]]) -> str:
    words = [s["measured"]["verdict"][i] for s in settings for i in _inner(data)]
    measured = ", ".join(f"{word} {words.count(word)}" for word in ("helps", "no gain", "hurts"))
    parts = []
    for part in _parts(settings):
        right, of = signs(data, settings, part)
        clear, all_clear = signs(data, settings, part, decided=True)
        parts.append(
            f"{part} {right} of {of} ({clear} of the {all_clear} that helped or hurt), best tau "
            f"{_best(settings, part)} of {len(settings)}"
        )
    return f"measured {measured}. Right, by part of the Hessian: {'; '.join(parts)}"


def _curve(data: dict[str, Any], setting: dict[str, Any]) -> str:
    """One setting's largest change against the equal start, as it was predicted and measured."""
    versus = "against_equal_start"
    means = setting["measured"][versus]["mean"]
    at = max(_inner(data), key=lambda i: abs(means[i]))
    said = ", ".join(
        f"{part} {setting['parts'][part][versus]['mean'][at]:+.2f}" for part in _parts([setting])
    )
    edge = "" if setting["inside"] else ", its rate at the grid's edge"
    return (
        f"gamma {setting['gamma']:g} eps {setting['eps']:g} T {setting['steps']}, tau "
        f"{data['tau'][at]:g}: {means[at]:+.2f} ({said}){edge}"
    )


def _evidence(data: dict[str, Any], settings: list[dict[str, Any]]) -> str:
    return (
        f"SWE-F at {len(_inner(data))} taus, against baseline and equal start both, n = "
        f"{data['judging']} networks, one rate for all arms: {_counts(data, settings)}. Largest "
        "change of log10 loss over the equal start, measured (predicted): "
        + "; ".join(_curve(data, setting) for setting in settings)
    )


def _nothing(data: dict[str, Any], optimiser: str) -> bool:
    return not _of(data, optimiser) or data["judging"] < 2


def coupling(data: dict[str, Any]) -> Finding:
    """SGD: are the full Hessian's signs right, and those of what commutes right less often?"""
    if _nothing(data, "sgd"):
        return Finding.measured(Verdict.OPEN, "no setting under SGD with two networks or more")
    settings = _of(data, "sgd")
    share = {part: _share(data, settings, part) for part in _parts(settings)}
    rest = max(value for part, value in share.items() if part != "full")
    qualifier = ""
    if share["full"] <= rest:
        verdict = Verdict.FAILS
    elif share["full"] >= GOAL and rest < GOAL:
        verdict = Verdict.HOLDS
    else:
        verdict = Verdict.LIMITS
        qualifier = f"{100 * share['full']:.0f} % of the signs, {100 * rest:.0f} % without it"
    coupled = [setting["coupling"] for setting in settings]
    return Finding.measured(
        verdict,
        _evidence(data, settings)
        + f". |[H, Q]| / |H| {min(coupled):.2f} to {max(coupled):.2f} at the teachers",
        qualifier,
    )


def diagonal(data: dict[str, Any]) -> Finding:
    """AdamW: are the signs of the full Hessian under a fixed diagonal right?"""
    if _nothing(data, "adamw"):
        return Finding.measured(Verdict.OPEN, "no setting under AdamW with two networks or more")
    settings = _of(data, "adamw")
    right = _share(data, settings, "full")
    verdict, qualifier = Verdict.HOLDS, ""
    if right < GOAL:
        verdict = Verdict.LIMITS if right > 0.5 else Verdict.FAILS
        qualifier = f"{100 * right:.0f} % of the signs"
    return Finding.measured(verdict, _evidence(data, settings), qualifier)
