"""Ledger records TOY-UNROLLED and TOY-LISTA, from the result of `theory.toys.judged`."""

from __future__ import annotations

from typing import Any

from evidence.claim import Finding, Verdict, share

TITLES = {"sgd": "SGD", "adamw": "AdamW"}


def gap(entry: dict[str, Any]) -> str:
    """The difference of a comparison's arm to its reference, with its interval."""
    difference = entry["difference"]
    low, high = difference["low"], difference["high"]
    interval = "no interval" if low is None else f"95 % {low:+.2f} to {high:+.2f}"
    return f"{difference['mean']:+.2f} ({interval})"


def _of(data: dict[str, Any], family: str) -> list[dict[str, Any]]:
    return [setting for setting in data["settings"] if setting["family"] == family]


def _where(setting: dict[str, Any]) -> str:
    named = [f"{key} {setting[key]:g}" for key in ("gamma", "eps") if key in setting]
    return " ".join([TITLES[setting["optimiser"]], *named])


def _against(setting: dict[str, Any]) -> str:
    arm = setting["chosen"]
    versus = ", ".join(
        f"{title} {gap(setting[key][arm])}"
        for title, key in (
            ("baseline", "against_baseline"),
            ("equal start", "against_equal_start"),
            ("always shared", "against_always_shared"),
        )
    )
    taus = [name for name in setting["against_baseline"] if name.startswith("swe-f")]
    helps = [
        name
        for name in taus
        if all(
            setting[key][name]["verdict"] == "helps"
            for key in ("against_baseline", "against_equal_start")
        )
    ]
    edge = "" if all(setting["inside"]) else ", a rate at its grid's edge"
    return (
        f"{_where(setting)} ({arm}): {versus}: {setting['verdict']}, "
        f"{len(helps)} of {len(taus)} taus help{edge}"
    )


def _evidence(data: dict[str, Any], settings: list[dict[str, Any]]) -> str:
    return (
        f"log10 held-out loss of SWE-F minus that of each control, n = {data['judging']} networks, "
        f"rates and tau chosen on {data['tuning']} others: " + "; ".join(map(_against, settings))
    )


def unrolled(data: dict[str, Any]) -> Finding:
    """In how many settings does it help against both controls? The residual students beside it."""
    settings = _of(data, "unrolled")
    helped = sum(setting["verdict"] == "helps" for setting in settings)
    if helped:
        verdict, qualifier = share(helped, len(settings), "settings")
    else:
        verdict, qualifier = Verdict.NO_GAIN, "in any setting"
    evidence = _evidence(data, settings)
    if residual := _of(data, "residual"):
        evidence += "; residual students, by the same search: " + "; ".join(map(_against, residual))
    return Finding.measured(verdict, evidence, qualifier)


def lista(data: dict[str, Any]) -> Finding:
    """The sign as it was measured."""
    settings = _of(data, "lista")
    words = {setting["verdict"] for setting in settings}
    verdict = {
        ("helps",): Verdict.HELPS,
        ("hurts",): Verdict.HURTS,
        ("no gain",): Verdict.NO_GAIN,
    }.get(tuple(words), Verdict.OPEN)
    return Finding.measured(verdict, _evidence(data, settings))
