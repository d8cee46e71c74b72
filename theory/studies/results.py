"""The result files of the theory and the toy models: each a function of (seed, scale)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

from evidence.cache import cached_result, load_result, result_key
from swe.base.errors import WorkerDiedError
from swe.base.progress import Bars
from swe.base.workers import Workers

Task = tuple[str, str, Path, str, int, str]
"""Area, name, file, key, seed, scale."""

RESULTS: dict[str, dict[str, str]] = {
    "toy": {
        "teacher_student": "theory.toys.teacher_student:study",
        "predictions": "theory.toys.predictions:study",
        "judged": "theory.toys.judged:study",
        "forecast": "theory.toys.forecasting:study",
        "hessian": "theory.toys.hessian:study",
        "stopping": "theory.toys.stopping:study",
        "deep_linear": "theory.toys.deep_linear:study",
        "moments": "theory.toys.moments:study",
        "adam_quadratic": "theory.toys.adam_quadratic:study",
        "adam_unshare": "theory.toys.adam_unshare:study",
    },
    "theory": {
        "claims": "theory.claims.ledger:check_all",
        "adam_claims": "theory.toys.adam_claims:check_all",
        "flow_curves": "theory.studies.flows:flow_curves",
        "theorem_bounds": "theory.studies.flows:theorem_bounds",
        "descent_bounds": "theory.studies.flows:descent_bounds",
        "speedup": "theory.studies.speedup:speedup_study",
        "steps": "theory.studies.speedup:steps_study",
        "admissible": "theory.studies.speedup:admissible_study",
        "controls": "theory.studies.controls:study",
        "gradient_noise": "theory.studies.gradient_noise:study",
        "alignment": "theory.studies.alignment:study",
        "common_component": "theory.studies.beyond_sharing:study",
        "odd_targets": "theory.studies.odd_targets:study",
        "quadratic": "theory.studies.quadratic:study",
        "sign_descent": "theory.studies.sign_descent:study",
        "staircase": "theory.studies.staircase:study",
        "when": "theory.studies.when:study",
        "phases": "theory.studies.phases:study",
    },
}
"""Result files by area, and the function of (seed, scale) that computes each.

Modules are named, not imported: only the toy models load torch. The longest work comes first, so
that no worker ends alone.
"""


def _compute(area: str, name: str, path: Path, key: str, seed: int, scale: str) -> None:
    """Compute and write one result, in a worker process."""
    module, function = RESULTS[area][name].split(":")
    work = partial(getattr(import_module(module), function), seed, scale)
    cached_result(path, key, {"seed": seed, "scale": scale}, work)


def _worker() -> Callable[[Task], None]:
    """Return what a worker process does with a task."""
    return lambda task: _compute(*task)


def compute_missing(
    out: Path,
    areas: Sequence[str],
    seed: int,
    scale: str,
    jobs: int,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Compute the results of ``areas`` that ``out`` lacks for this seed, scale and code.

    ``jobs`` processes at a time, with a progress bar. What is finished stays when another fails or
    is interrupted. Raises Interrupted soon after ``stop()`` turns true: the results that were being
    computed are dropped. Raises WorkerDiedError when a worker process was killed.
    """
    config = {"seed": seed, "scale": scale}
    todo = []
    for area in areas:
        for name, where in RESULTS[area].items():
            key = result_key(config, where.split(":")[0])
            path = out / area / f"{name}.json"
            if load_result(path, key) is None:
                todo.append((area, name, path, key, seed, scale))
    if not todo:
        print(f"{' and '.join(areas)}: all results are there already")
        return
    what = " and ".join(areas)
    try:
        with Workers(min(jobs, len(todo)), _worker) as pool, Bars({what: "results"}) as bars:
            bars(what, 0, len(todo))
            for count, (task, _) in enumerate(pool.as_ready(todo, stop), 1):
                bars(what, count, len(todo), f"{task[0]}/{task[1]}")
    except WorkerDiedError:
        raise WorkerDiedError(
            f"{out}: a worker process was killed (out of memory?); what is finished is kept, and "
            "the same command continues it"
        ) from None
