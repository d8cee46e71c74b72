"""Before anything is timed: does a contestant compute what the stock model computes?

Float32, no dropout, nothing compiled, the same weights and batch: the loss within 1e-5 relative and
every gradient within 1e-4 of its norm, as stock ``BertForMaskedLM`` has them. Ours Pre-LN is held
against the stock Pre-LN class, ours tied against the stock model with equal layers, whose layers'
gradients are summed. On the CPU in bfloat16 a second gate follows, against the same float32 values:
the loss within 1e-2 relative, and the cosine of the angle between the whole gradients above 0.999.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.side_by_side.contestants import (
    PLACEMENT,
    batches_of,
    gathered_loss,
    kernel_of,
    stock_model,
    whole_loss,
)
from benchmarks.side_by_side.settings import Settings
from bert.huggingface.convert import to_hugging_face
from bert.huggingface.families import Family
from bert.model.encoder import Bert, build_bert
from bert.pretraining.task import MaskedLanguageTask
from swe.run.arithmetic import Precision, arithmetic
from swe.run.cast_once import CastWeights
from swe.sharing.layout import Layout

LOSS, GRADIENT = 1e-5, 1e-4
"""Largest relative difference. Two orders of the same float32 sums over a width of 1024 and 24
layers are some 1e-6 apart."""
NARROW_LOSS, COSINE = 1e-2, 0.999
"""Of bfloat16 against float32. It keeps 8 bits, an error of 2**-9 = 2e-3 a number: a gradient with
independent errors of that size has a cosine of 1 - 2e-6, so 0.999 leaves room for depth."""
_LAYER = re.compile(r"\.layer\.\d+\.")


def gate(name: str, settings: Settings, task: MaskedLanguageTask) -> dict[str, Any]:
    """Compare contestant ``name`` with the stock model; {"passed", "loss", "gradient", "worst"}.

    ``loss`` and ``gradient`` are the largest relative differences, ``worst`` the parameter of the
    latter. a0 is compared with itself, and so shows what the device repeats.
    """
    settings = replace(settings, dropout=0.0, rows=min(4, settings.rows), batches=1)
    task = replace(task, config=replace(task.config, dropout=0.0), rows=settings.rows)
    device = settings.torch_device()
    [batch] = batches_of(settings, task)
    tied = name == "a4"
    stock = stock_model(task.config, settings.seed, tied=tied).to(device)
    reference = whole_loss(stock, batch)
    reference.backward()
    wanted = _gradients(stock, summed=tied)
    ours = build_bert(task.config, settings.seed)
    layout = Layout.tied(task.config.layers) if tied else ours.stack.layout
    ours.stack.retie(layout)
    ours.to(device)
    kernel = kernel_of(name, settings)

    def run(precision: Precision) -> tuple[float, dict[str, Tensor]]:
        """Relative difference of the loss, and the gradients."""
        stock.zero_grad()
        ours.zero_grad()
        if name in ("a0", "a1"):
            enabled = precision == "bfloat16"
            with torch.autocast(settings.device, torch.bfloat16, enabled=enabled):
                loss = (whole_loss if name == "a0" else gathered_loss)(stock, batch)
            loss.backward()
            found = _gradients(stock)
        else:
            casts = CastWeights() if precision == "bfloat16" else None
            with arithmetic(settings.device, precision, kernel, casts):
                loss = task.loss(ours, batch)
            loss.backward()
            family: Family = "roberta-prelayernorm" if name in PLACEMENT else "bert"
            found = _as_stock(ours, task, layout, family)
        return abs(float(loss.detach()) / float(reference.detach()) - 1), found

    error, found = run("float32")
    worst, parameter = _worst(wanted, found)
    result = {
        "passed": error <= LOSS and worst <= GRADIENT,
        "loss": error,
        "gradient": worst,
        "worst": parameter,
    }
    if settings.device == "cpu" and settings.precision == "bfloat16":
        error, found = run("bfloat16")
        likeness = cosine(wanted, found)
        passed = error <= NARROW_LOSS and likeness >= COSINE
        result |= {
            "passed": result["passed"] and passed,
            "bfloat16_loss": error,
            "bfloat16_cosine": likeness,
        }
    return result


def cosine(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> float:
    """Return the cosine of the angle between two gradients, all parameters in one; 0: others."""
    if wanted.keys() != found.keys():
        return 0.0
    one, other = (torch.cat([g[n].flatten().double() for n in wanted]) for g in (wanted, found))
    return float(one @ other / (one.norm() * other.norm()))


def _gradients(stock: Any, summed: bool = False) -> dict[str, Tensor]:
    """Gradients by name, copied; ``summed``: every layer's is the sum over layers."""
    found = {n: p.grad.clone() for n, p in stock.named_parameters() if p.grad is not None}
    if not summed:
        return found
    sums: dict[str, Tensor] = {}
    for name, gradient in found.items():
        key = _LAYER.sub(".layer.*.", name)
        sums[key] = sums[key] + gradient if key in sums else gradient
    return {name: sums[_LAYER.sub(".layer.*.", name)] for name in found}


def _as_stock(
    ours: Bert, task: MaskedLanguageTask, layout: Layout, family: Family
) -> dict[str, Tensor]:
    gradients = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}
    return to_hugging_face(gradients, task.config, layout, family)


def _worst(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> tuple[float, str]:
    if wanted.keys() != found.keys():
        return float("inf"), sorted(wanted.keys() ^ found.keys())[0]
    errors = {}
    for name, gradient in wanted.items():
        # A shift common to all keys leaves softmax alone: in exact arithmetic this one is zero.
        scale = wanted[name.replace("key.bias", "query.bias")].norm()
        errors[name] = float((found[name] - gradient).norm() / scale)
    worst = max(errors, key=errors.__getitem__)
    return errors[worst], worst
