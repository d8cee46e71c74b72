"""One fine-tune from start to scores: train, score from the last weights, write predictions.

The run folder is that of the training core, plus ``score.json`` (last, so its presence means that
the run is done) and ``predictions/``. The checkpoint goes when the score is there: 45 of them per
task would fill a disk, and the run can be repeated exactly. It is, when a file that it only
answered is another one now, or was not there: its answers would be to other questions.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bert.finetune.learning.sentence_task import SentenceTask
from bert.finetune.learning.span_task import SpanTask
from bert.finetune.learning.task import Judged
from bert.finetune.scoring.predictions import write_glue, write_squad
from swe.base.config import to_dict
from swe.base.errors import CheckpointError, NonFiniteLossError
from swe.base.files import read_json, write_json
from swe.run import checkpoint
from swe.run.loop import train
from swe.run.record import RunFolder, commits_of
from swe.run.run_config import TrainConfig
from swe.run.speed import SpeedConfig
from swe.sharing.share_then_unshare import prepare
from swe.sharing.stack import find_stack

SCORE = "score.json"


def fine_tune(
    task: SentenceTask | SpanTask,
    config: TrainConfig,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, dict[str, Any]], None] | None = None,
    speed: SpeedConfig = SpeedConfig(),  # noqa: B008 - frozen
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = print,
    submitted: bool = False,
) -> dict[str, Any]:
    """Run one (task, rate, seed) to the end, going on where it was; returns its score record.

    Arguments and errors as ``swe.run.loop.train``; a loss that is not finite is a result here,
    recorded as a degenerate run, for the highest rates may well diverge. A finished run is repeated
    when a labelled part that it scored has changed, and if it is ``submitted`` also when a part
    without labels has.
    """
    content = {"train": to_dict(config), "task": task.describe()}
    run = RunFolder(folder, content)
    if (folder / SCORE).exists():
        found = dict(read_json(folder / SCORE))
        changed = stale_parts(task, found, submitted=submitted)
        if not changed:
            return found
        warn(f"{folder}: {', '.join(changed)} changed since it was answered; the run is repeated")
        shutil.rmtree(folder)
        run = RunFolder(folder, content)
    head = {
        "task": task.config.task,
        "rate": config.optimizer.peak_lr,
        "seed": config.seed,
        "steps": config.steps,
        "rows": len(task.rows),
    }
    try:
        summary = train(
            task,
            config,
            folder,
            device=device,
            speed=speed,
            progress=progress,
            stop=stop,
            warn=warn,
        )
    except NonFiniteLossError as error:
        reason = str(error).removeprefix(f"{folder}: ")
        score = head | {"value": None, "degenerate": True, "reason": reason, "scores": {}}
    else:
        model = _trained(task, config, run, torch.device(device), warn)
        with (
            torch.no_grad(),
            torch.autocast(
                torch.device(device).type, torch.bfloat16, enabled=config.precision == "bfloat16"
            ),
        ):
            score = head | _score(task, model, folder / "predictions", torch.device(device))
        score |= {"seconds": summary["seconds"], "parameters": summary["parameters_at_end"]}
    score["answered"] = {**task.other_parts(labelled=True), **task.other_parts(labelled=False)}
    score["commits"] = commits_of(folder)
    write_json(folder / SCORE, score)
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    return score


def stale_parts(
    task: SentenceTask | SpanTask, score: dict[str, Any], *, submitted: bool
) -> list[str]:
    """Return the parts whose answers are not those of a finished run, as :func:`fine_tune` says."""
    parts = task.other_parts(labelled=True)
    if submitted:
        parts |= task.other_parts(labelled=False)
    answered = score.get("answered", {})
    return [name for name, digest in parts.items() if answered.get(name) != digest]


def _trained(
    task: SentenceTask | SpanTask,
    config: TrainConfig,
    run: RunFolder,
    device: torch.device,
    warn: Callable[[str], None],
) -> nn.Module:
    found = checkpoint.latest(run.checkpoints, warn)
    if found is None or found.step != config.steps:
        raise CheckpointError(f"{run.checkpoints}: the final checkpoint is missing")
    model = task.build(config.seed)
    _, stack = find_stack(model)
    prepare(stack, config.schedule)
    found.load_weights(model)
    return model.to(device).eval()


def _score(
    task: SentenceTask | SpanTask, model: nn.Module, folder: Path, device: torch.device
) -> dict[str, Any]:
    if isinstance(task, SpanTask):
        answers, loss = task.answer(model, device)
        judged = task.judge_answers(answers)
        limit = judged.scores["best_f1_thresh"] if task.version == "2.0" else None
        write_squad(folder, task.dev.rows, answers, limit)
        return _record(judged, loss, task.config.margin)
    judged, loss = task.judge(model, device)
    more: dict[str, dict[str, float]] = {}
    constants: dict[str, dict[str, float]] = {}
    for name, part in task.parts.items():
        submission = task.glue.parts[name].submission
        if name == "train":
            continue
        predicted = task.predict(model, part, device)
        write_glue(folder / f"{submission or name}.tsv", task.glue, part, predicted)
        if part.rows[0].label is not None and name != "dev":
            more[name], constants[name] = task.scores(predicted, part), task.constants(part)
    return _record(judged, loss, task.config.margin) | {
        "other_parts": more,
        "other_baselines": constants,
    }


def _record(judged: Judged, loss: float, margin: float) -> dict[str, Any]:
    reason = judged.degenerate(margin)
    return {
        "metric": judged.primary,
        "value": judged.value,
        "baseline": judged.baseline,
        "degenerate": bool(reason),
        "reason": reason,
        "loss": loss,
        "scores": judged.scores,
    }
