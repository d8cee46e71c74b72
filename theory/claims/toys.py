"""Ledger records of the toy models that run on the training core, read from their result files.

The toys take minutes, so the ledger reads what they left instead of running them again; what was
not run says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evidence.claim import Claim, Finding, Record, Verdict, share
from evidence.results import read_data, reading
from theory.claims import forecasts, toy_families, toy_hessian, toy_predictions
from theory.claims.toy_families import TITLES, gap

COMMAND = "python paper_repro.py toy claims"


def toy_claims(out: Path) -> list[Record]:
    """Return the records of the toys on the training core, from the files in ``out``."""
    records = []
    for name, claims in CLAIMS.items():
        data = read_data(out, f"toy/{name}.json")
        with reading(out / "toy" / f"{name}.json"):
            records += [claim.told(None if data is None else claim.check(data)) for claim in claims]
    return records


def _core(data: dict[str, Any]) -> Finding:
    core = data["core_against_flow"]
    holds = abs(core["slope"] - 1) < 0.05  # the next order of eta bends the line by 2 %
    steps = " to ".join(f"{eta:g}" for eta in (core["step_sizes"][0], core["step_sizes"][-1]))
    return Finding.measured(
        Verdict.whether(holds),
        f"L = {core['depth']}, d = {core['size']}: largest |R - flow| / R(0) from "
        f"{core['errors'][0]:.2e} to {core['errors'][-1]:.2e} as eta goes {steps}, slope "
        f"{core['slope']:.3f}",
    )


def _swe(data: dict[str, Any]) -> Finding:
    parts, helped = [], 0
    for setting in data["settings"]:
        versus = setting["against_baseline"]
        best = min(
            (arm for arm in versus if arm.startswith("swe")),
            key=lambda arm: float(versus[arm]["difference"]["mean"]),
        )
        helped += versus[best]["verdict"] == "helps"
        parts.append(f"{_where(setting)} {best} {gap(versus[best])}")
    verdict, qualifier = _helped(helped, len(parts))
    return Finding.measured(
        verdict,
        f"log10 final loss of the best SWE arm minus the baseline's, n = {data['seeds']}: "
        + "; ".join(parts),
        qualifier,
    )


def _helped(settings: int, of: int) -> tuple[Verdict, str]:
    """Verdict and qualifier of "this helps", by the number of settings in which it does."""
    if not settings:
        return Verdict.NO_GAIN, "in any setting"
    return share(settings, of, "settings")


def _tying(data: dict[str, Any]) -> Finding:
    entries = [(s, s["against_equal_start"]["swe-f 10 %"]) for s in data["settings"]]
    verdicts = [entry["verdict"] for _, entry in entries]
    count = {word: verdicts.count(word) for word in ("helps", "no gain", "hurts")}
    verdict, qualifier = share(count["helps"], len(entries), "settings")
    if not count["helps"]:
        verdict, qualifier = Verdict.REFUTED, "equal start"
    return Finding.measured(
        verdict,
        f"SWE-F at 10 % minus the equal start, log10 final loss, n = {data['seeds']}: helps in "
        f"{count['helps']}, no gain in {count['no gain']}, hurts in {count['hurts']} of "
        f"{len(entries)} settings: " + "; ".join(f"{_where(s)} {gap(e)}" for s, e in entries),
        qualifier,
    )


def _rule(data: dict[str, Any]) -> Finding:
    parts, good = [], True
    for arm in ("swe-a", "swe-m"):
        steps = [u for s in data["settings"] for u in s["chosen"][arm]["untied_at"]]
        never = sum(step < 0 for step in steps)
        costs = [s for s in data["settings"] if s["against_equal_start"][arm]["verdict"] == "hurts"]
        good &= never < len(steps) or not costs
        parts.append(
            f"{arm} never untied in {never} of {len(steps)} runs, and hurts against the equal "
            f"start in {len(costs)} of {len(data['settings'])} settings"
        )
    return Finding.measured(Verdict.whether(good), "; ".join(parts))


def _moments(data: dict[str, Any]) -> Finding:
    parts, verdicts = [], []
    for setting in data["settings"]:
        entry = setting["best_rate_end"]["copy"]["rescale"]
        verdicts.append(entry["verdict"])
        lengths = ", ".join(
            f"{arm} {_ratios(setting, arm)}" for arm in ("copy", "rescale", "reset")
        )
        parts.append(
            f"alignment {setting['alignment']:.2f}: rescale {gap(entry)}, n = "
            f"{entry['difference']['n']}; updates over those with own moments, in turn: {lengths}"
        )
    verdict, qualifier = _helped(verdicts.count("helps"), len(verdicts))
    return Finding.measured(
        verdict,
        "log10 final loss minus copy's, each at its best rate: " + "; ".join(parts),
        qualifier,
    )


def _ratios(setting: dict[str, Any], arm: str) -> str:
    """Update lengths over own moments' in each window after the untie, as factors."""
    return " ".join(f"{2 ** w['mean']:.2f}" for w in setting["lengths"][arm]["over own"])


def _summed(data: dict[str, Any]) -> Finding:
    second = [s["lengths"]["sum copy"]["over own"][1] for s in data["settings"]]
    short = all((w["mean"] if w["high"] is None else w["high"]) < -1 for w in second)
    return Finding.measured(
        Verdict.whether(short),
        "lengths over own moments', in turn after the untie: "
        + "; ".join(
            f"alignment {s['alignment']:.2f}: copied {_ratios(s, 'sum copy')}, rescaled "
            f"{_ratios(s, 'sum rescale')}, copied log10 final loss "
            f"{gap(s['best_rate_end']['copy']['sum copy'])} against the mean's copy"
            for s in data["settings"]
        ),
    )


def _where(setting: dict[str, Any]) -> str:
    return f"{TITLES.get(setting['optimiser'], setting['optimiser'])} eps {setting['eps']:g}:"


def _claim(
    identity: str,
    statement: str,
    figure: str,
    anchor: str,
    check: Callable[[dict[str, Any]], Finding],
) -> Claim:
    return Claim(identity, statement, "ours", figure, f"docs/theory.md#{anchor}", check, COMMAND)


CLAIMS: dict[str, tuple[Claim, ...]] = {
    "deep_linear": (
        _claim(
            "TOY-CORE",
            "The training core's tied step follows the paper's shared flow: its error is "
            "proportional to the step size",
            "toy_deep_linear",
            "10-toy-models-on-the-training-core",
            _core,
        ),
    ),
    "teacher_student": (
        _claim(
            "TOY-SWE",
            "Teacher-student residual modules: some SWE schedule ends below the never-shared "
            "baseline",
            "toy_teacher_student",
            "10-toy-models-on-the-training-core",
            _swe,
        ),
        _claim(
            "TOY-TYING",
            "Teacher-student: tying for 10 % of the run gains over the equal start alone",
            "toy_teacher_student",
            "10-toy-models-on-the-training-core",
            _tying,
        ),
        _claim(
            "TOY-RULE",
            "Teacher-student: SWE-A and SWE-M untie when tying begins to cost",
            "toy_teacher_student",
            "10-toy-models-on-the-training-core",
            _rule,
        ),
    ),
    "judged": (
        _claim(
            "TOY-UNROLLED",
            "Unrolled blocks with input injection: SWE-F, rate and tau chosen on other networks, "
            "ends below the baseline and below the equal start",
            "toy_judged",
            "a-model-in-which-sharing-wins",
            toy_families.unrolled,
        ),
        _claim(
            "TOY-LISTA",
            "LISTA: SWE-F, rate and tau chosen on other networks, ends below the baseline and "
            "below the equal start",
            "toy_judged",
            "a-model-in-which-sharing-wins",
            toy_families.lista,
        ),
    ),
    "hessian": (
        _claim(
            "TOY-HESSIAN",
            "Unrolled blocks under SGD: the quadratic about the teacher says whether SWE-F ends "
            "below baseline and equal start, and its part that does not couple the layers' mean "
            "with their differences does not",
            "toy_hessian",
            "which-part-of-the-curvature-says-so",
            toy_hessian.coupling,
        ),
        _claim(
            "TOY-DIAGONAL",
            "Unrolled blocks under AdamW: preconditioned by a fixed diagonal, the gradients' root "
            "mean square at the start, that quadratic says so too",
            "toy_hessian",
            "which-part-of-the-curvature-says-so",
            toy_hessian.diagonal,
        ),
    ),
    "forecast": (
        _claim(
            "FORECAST",
            "Before a run, from rehearsals of an eighth of its updates: does SWE-F end below the "
            "better control (right in 8 of 10, of three answers), its best tau (7 of 10), by how "
            "much (within a factor of 2 in 6 of 10)",
            "toy_forecast",
            "a-forecast-for-a-run",
            forecasts.forecast,
        ),
    ),
    "stopping": (
        _claim(
            "ONLINE",
            "A rule that unties while the run goes on, fitted to what a decision loses (optimal "
            "stopping by fitted values), ends nearer to the best tau than SWE-A's cosine rule",
            "",
            "a-forecast-for-a-run",
            forecasts.online,
        ),
    ),
    "predictions": (
        _claim(
            "TOY-TAU",
            "The best tau of the toys is that of the exchangeable quadratic (SGD) or of the "
            "descent ratio from signal-to-noise (AdamW; one step ahead: exchangeable layers, one "
            "rate), estimated on a run that never shares",
            "toy_predictions",
            "predicted-then-measured",
            toy_predictions.best_tau,
        ),
        _claim(
            "TOY-GAIN",
            "So is the gain of SWE over the equal start and the baseline (SGD), and of the common "
            "mode's speed (AdamW)",
            "toy_predictions",
            "predicted-then-measured",
            toy_predictions.gain,
        ),
        _claim(
            "TOY-PREMISE",
            "Where the exchangeable quadratic fails on the students, exchangeability and the "
            "known optimum fail: without the one it is right near the teacher, and far away "
            "neither holds",
            "toy_predictions",
            "predicted-then-measured",
            toy_predictions.premise,
        ),
    ),
    "moments": (
        _claim(
            "TOY-MOMENTS",
            "AdamW, residual modules: rescaling the second moments at the untie ends below copying "
            "them",
            "moments",
            "9-sign-like-updates-and-adam",
            _moments,
        ),
        _claim(
            "TOY-MOMENTS-SUM",
            "AdamW, residual modules: moments copied under the sum convention make the updates "
            "after the untie less than half as long as those of layers with moments of their own",
            "moments",
            "9-sign-like-updates-and-adam",
            _summed,
        ),
    ),
}
"""By the result file that judges them, in the ledger's order."""
