"""The result files of the theory and the toy models: each a function of (seed, scale)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from training.cache import cached_result, load_result, result_key
from training.interrupt import Interrupted
from training.workers import WorkerDiedError

RESULTS: dict[str, dict[str, str]] = {
    "toy": {
        "teacher_student": "theory.toy_teacher_student:study",
        "predictions": "theory.toy_predictions:study",
        "deep_linear": "theory.toy_deep_linear:study",
        "moments": "theory.toy_moments:study",
        "adam_quadratic": "theory.toy_adam_quadratic:study",
        "adam_unshare": "theory.toy_adam_unshare:study",
    },
    "theory": {
        "claims": "theory.claims:check_all",
        "flow_curves": "theory.study:flow_curves",
        "theorem_bounds": "theory.study:theorem_bounds",
        "descent_bounds": "theory.study:descent_bounds",
        "speedup": "theory.speedup_study:speedup_study",
        "steps": "theory.speedup_study:steps_study",
        "admissible": "theory.speedup_study:admissible_study",
        "controls": "theory.controls:study",
        "gradient_noise": "theory.gradient_noise_study:study",
        "alignment": "theory.alignment_study:study",
        "common_component": "theory.beyond_sharing:study",
        "odd_targets": "theory.odd_targets:study",
        "quadratic": "theory.quadratic_study:study",
        "sign_descent": "theory.sign_descent_study:study",
    },
}
"""Result files by area, and the function of (seed, scale) that computes each.

Modules are named, not imported: only the toy models load torch. The longest work comes first, so
that no worker ends alone.
"""
_CODE = {"theory": ("theory",), "toy": ("theory", "training")}


def _compute(area: str, name: str, path: Path, key: str, seed: int, scale: str) -> None:
    """Compute and write one result, in a worker process."""
    module, function = RESULTS[area][name].split(":")
    work = partial(getattr(import_module(module), function), seed, scale)
    cached_result(path, key, {"seed": seed, "scale": scale}, work)


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
        key = result_key(config, _CODE[area])
        for name in RESULTS[area]:
            path = out / area / f"{name}.json"
            if load_result(path, key) is None:
                todo.append((area, name, path, key, seed, scale))
    if not todo:
        print(f"{' and '.join(areas)}: all results are there already")
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with (
        ProcessPoolExecutor(min(jobs, len(todo)), context) as pool,
        tqdm(total=len(todo), desc=" and ".join(areas), unit="result") as bar,
    ):
        running = {pool.submit(_compute, *task): task for task in todo}
        try:
            while running:
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    area, name, *_ = running.pop(future)
                    try:
                        future.result()
                    except BrokenProcessPool:
                        raise WorkerDiedError(
                            f"{out}: a worker process was killed (out of memory?); what is "
                            "finished is kept, and the same command continues it"
                        ) from None
                    bar.set_postfix_str(f"{area}/{name}")
                    bar.update()
                if running and stop():
                    raise Interrupted(f"{out}: stopped; the same command continues it")
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, Interrupted):  # files are whole or absent: a worker may just end
                for worker in set(multiprocessing.active_children()) - others:
                    worker.terminate()
            raise
