"""The result files of the theory and the toy models: each a function of (seed, scale)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from training.cache import cached_result, load_result, result_key

RESULTS: dict[str, tuple[str, ...]] = {
    "theory": ("claims", "flow_curves", "theorem_bounds", "descent_bounds"),
    "toy": ("deep_linear",),
}
"""Names of the result files by area; the longest work first, so that no worker ends alone."""
_CODE = {"theory": ("theory",), "toy": ("theory", "training")}


def _work(area: str, name: str, seed: int, scale: str) -> Callable[[], Any]:
    """Import and bind what computes one result: only the toy models load torch."""
    if area == "toy":
        from theory import toy_deep_linear

        return partial(toy_deep_linear.study, seed, scale)
    if name == "claims":
        from theory import claims

        return partial(claims.check_all, seed, scale)
    from theory import study

    return partial(getattr(study, name), seed, scale)


def _compute(area: str, name: str, path: Path, key: str, seed: int, scale: str) -> float:
    """Compute and write one result, in a worker process; returns the seconds it took."""
    config = {"seed": seed, "scale": scale}
    return float(cached_result(path, key, config, _work(area, name, seed, scale))["seconds"])


def compute_missing(
    out: Path, areas: Sequence[str], seed: int, scale: str, jobs: int
) -> dict[str, float]:
    """Compute the results of ``areas`` that ``out`` lacks for this seed, scale and code.

    ``jobs`` processes at a time, with a progress bar. Returns {area: seconds of work, those of
    results already there included}. What is finished stays when another fails or is interrupted.
    """
    config = {"seed": seed, "scale": scale}
    todo, seconds = [], dict.fromkeys(areas, 0.0)
    for area in areas:
        key = result_key(config, _CODE[area])
        for name in RESULTS[area]:
            path = out / area / f"{name}.json"
            found = load_result(path, key)
            if found is None:
                todo.append((area, name, path, key, seed, scale))
            else:
                seconds[area] += found["seconds"]
    if not todo:
        print(f"{' and '.join(areas)}: all results are there already")
        return seconds
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(min(jobs, len(todo)), context) as pool,
        tqdm(total=len(todo), desc=" and ".join(areas), unit="result") as bar,
    ):
        running = {pool.submit(_compute, *task): task for task in todo}
        try:
            for future in as_completed(running):
                area, name, *_ = running[future]
                seconds[area] += future.result()
                bar.set_postfix_str(f"{area}/{name}")
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return seconds
