"""Ledger records TOY-TAU, TOY-GAIN and TOY-PREMISE, from the result of
`theory.toys.predictions`."""

from __future__ import annotations

from typing import Any

from evidence.claim import Finding, Verdict, share

TITLES = {
    ("deep linear", "sgd"): "deep linear",
    ("students", "sgd"): "SGD",
    ("students", "adamw"): "AdamW",
}
AGREES = 0.05
"""log10 of loss, 12 %: how close a curve counts as predicted in TOY-PREMISE."""


def _toys(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The toys themselves, without the control and without the problem drawn together."""
    return [
        (f"{TITLES[s['toy'], s['optimiser']]} eps {s['eps']:g}", s)
        for s in data["settings"]
        if (s["toy"], s["optimiser"]) in TITLES
    ]


def _only(data: dict[str, Any], toy: str) -> list[dict[str, Any]]:
    return [s for s in data["settings"] if s["toy"] == toy]


def _band(gap: dict[str, Any], places: int = 2) -> str:
    if gap["low"] is None:
        return f"{gap['mean']:.{places}f} (no interval)"
    return f"{gap['mean']:.{places}f} ({gap['low']:.{places}f} to {gap['high']:.{places}f})"


def _inside(value: float, gap: dict[str, Any]) -> bool:
    return gap["low"] is not None and bool(gap["low"] <= value <= gap["high"])


def best_tau(data: dict[str, Any]) -> Finding:
    """Is the predicted best tau among those that the measurement leaves?"""
    toys = _toys(data)
    parts = [
        f"{name}: {s['predicted_best_tau']:.2f} (measured {s['best_tau']:g}, not worse: "
        + ", ".join(f"{tau:g}" for tau in s["best_tau_set"])
        + ")"
        for name, s in toys
    ]
    [control] = _only(data, "quadratic")
    decided = [(name, s) for name, s in toys if len(s["best_tau_set"]) < len(s["tau"])]
    right = sum(s["best_tau_inside"] for _, s in decided)
    by_kind = {
        title: [s["best_tau_inside"] for name, s in decided if name.startswith(title)]
        for title in TITLES.values()
    }
    verdict, count = (
        share(right, len(decided), "settings") if decided else (Verdict.OPEN, "no setting decides")
    )
    return Finding.measured(
        verdict,
        "predicted best tau / T without a run that shares, nearest on the grid among those not "
        f"worse than the best (paired 95 %, n = {data['seeds']}): "
        + ", ".join(f"{name} {sum(v)} of {len(v)}" for name, v in by_kind.items())
        + f"; left out: {len(toys) - len(decided)} settings in which the measurement leaves every "
        f"tau. To say 0 always is right in {sum(0.0 in s['best_tau_set'] for _, s in decided)} of "
        f"{len(decided)}. A true quadratic through the core: {control['predicted_best_tau']:.2f} "
        f"(measured {control['best_tau']:g}). " + "; ".join(parts),
        count,
    )


def gain(data: dict[str, Any]) -> Finding:
    """Does the predicted gain lie in the measured interval?"""
    parts, right, count = [], 0, 0
    for name, s in _toys(data):
        pairs = [
            ("common mode's speed", s["common_speed"]["predicted"], s["common_speed"]["measured"])
        ]
        if "predicted" in s:
            pairs = [
                (
                    "over equal start",
                    s["predicted_gain_over_equal_start"],
                    s["gain_over_equal_start"],
                )
            ]
            if s["toy"] == "students":
                pairs.append(
                    ("over baseline", s["predicted_gain_over_baseline"], s["gain_over_baseline"])
                )
        for what, predicted, measured in pairs:
            count += 1
            right += _inside(predicted, measured)
            parts.append(f"{name} {what} {predicted:.2f}, measured {_band(measured)}")
    verdict, qualifier = share(right, count, "comparisons")
    return Finding.measured(
        verdict,
        f"log10 loss of the reference over that of SWE at the predicted best tau > 0 (SGD), and "
        f"the common mode's speed tied over untied (AdamW, first 2 % of the run), n = "
        f"{data['seeds']}: {right} of {count} predictions lie in the measured 95 % interval: "
        + "; ".join(parts),
        qualifier,
    )


def _largest_gap(setting: dict[str, Any], key: str) -> float:
    return max(abs(p - m["mean"]) for p, m in zip(setting[key], setting["measured"], strict=True))


def premise(data: dict[str, Any]) -> Finding:
    """Which assumption fails where the exchangeable quadratic does."""
    [control] = _only(data, "quadratic")
    near, far = (
        _only(data, "students near"),
        [s for s in _only(data, "students") if s["optimiser"] == "sgd"],
    )
    true_gap = _largest_gap(control, "predicted")
    near_gap = max(_largest_gap(s, "general") for s in near)
    exchangeable_gap = max(_largest_gap(s, "predicted") for s in near)
    far_gap = max(_largest_gap(s, "general") for s in far)
    holds = control["best_tau_inside"] and max(true_gap, near_gap) < AGREES < far_gap
    first, still = far[0]["premises"], near[0]["premises"]
    return Finding.measured(
        Verdict.whether(holds),
        f"largest |predicted - measured| log10 loss over tau: a true quadratic {true_gap:.3f}; "
        f"students at {data['near']:g} of their distance from the teacher's mean, one fixed loss: "
        f"{near_gap:.3f} without exchangeability, {exchangeable_gap:.3f} with (share of the "
        f"Hessian that is not exchangeable {_band(still['defect'])}; baseline minus equal start "
        f"{_band(near[0]['baseline'])}, predicted {near[0]['predicted_baseline']:.2f}); at full "
        f"distance {far_gap:.2f} even without. There, at eps 0: cosine of gradient and "
        f"H (w - teacher) {_band(first['force_cosine_start'])} at the start and "
        f"{_band(first['force_cosine_end'])} at the end, so the student goes to other optima; "
        f"log10 of the noise's variance, end over start, "
        f"{_band(first['log10_noise_end_over_start'])}; alignment at the equal start "
        f"{_band(first['alignment_start'])}, exchangeable layers have "
        f"{first['alignment_start_predicted']['mean']:.2f}; means of the modules, tied and never "
        f"tied, end {_band(first['mean_paths_apart'])} of their way apart",
    )
