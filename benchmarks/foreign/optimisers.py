"""Every optimiser of torch, and of timm and transformers where they are installed."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.foreign.route import Case, Make, seed
from benchmarks.foreign.wrappers import told

WIDTH, DEPTH, RATE = 8, 4, 0.01
NOT_TRIED = {
    "LBFGS": "steps by a closure that it calls several times",
    "SparseAdam": "takes sparse gradients alone",
    "adahessian": "takes second derivatives of its own",
    "kron": "draws random numbers for each parameter: fewer of them are another run",
}
CLIPS = (
    "; it clips by the norm of all gradients itself, in which a tied layer counts once: give it "
    "max_grad_norm=None, and clip_norm=... to adopt"
)


class Matrices(nn.Module):
    """Residual layers of one square matrix each: some optimisers take nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(DEPTH)])

    def forward(self, hidden: Tensor) -> Tensor:
        """Run all layers."""
        for layer in self.layers:
            hidden = hidden + torch.tanh(layer(hidden))
        return hidden


def _build() -> nn.Module:
    seed(0)
    return Matrices()


def _loss(model: nn.Module) -> Tensor:
    source = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn((2, 16, WIDTH), generator=source)
    loss: Tensor = (model(inputs) - targets).square().mean()
    return loss


def optimisers() -> dict[str, Make]:
    """Return {library and name: maker}."""
    found: dict[str, Make] = {}
    for name in sorted(vars(torch.optim)):
        made: Any = getattr(torch.optim, name)
        if isinstance(made, type) and issubclass(made, Optimizer) and made is not Optimizer:
            found[f"torch {name}"] = partial(cast(Any, made), lr=RATE)
    for name in ("Adam", "AdamW", "SGD"):
        for way in ("foreach", "fused"):
            options = {"lr": RATE, way: True}
            found[f"torch {name}, {way}"] = partial(getattr(torch.optim, name), **options)
    found["torch SGD, Nesterov"] = partial(torch.optim.SGD, lr=RATE, momentum=0.9, nesterov=True)
    found["torch AdamW, AMSGrad"] = partial(torch.optim.AdamW, lr=RATE, amsgrad=True)
    if importlib.util.find_spec("transformers"):
        from transformers.optimization import Adafactor

        found["transformers Adafactor"] = partial(Adafactor, lr=RATE, relative_step=False)
    if importlib.util.find_spec("timm"):
        from timm.optim import list_optimizers

        found |= {f"timm {name}": partial(_of_timm, name) for name in list_optimizers()}
        found["timm lamb, max_grad_norm=None"] = partial(_of_timm, "lamb", max_grad_norm=None)
    return found


def _of_timm(name: str, parameters: Sequence[nn.Parameter], **options: Any) -> Optimizer:
    from timm.optim import create_optimizer_v2

    made: Any = create_optimizer_v2(parameters, opt=name, lr=RATE, **options)
    return made


def judged_optimiser(name: str) -> dict[str, Any]:
    """Return one optimiser's row of the record."""
    row: dict[str, Any] = {"optimiser": name}
    short = name.partition(" ")[2]
    reason = NOT_TRIED.get("kron" if short.startswith("kron") else short)
    if reason:
        return row | {"not_tried": reason}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make = optimisers()[name]
        try:
            groups = make(list(_build().parameters())).param_groups
        except Exception as error:
            return row | {"not_tried": " ".join(str(error).split())[:160]}
        row |= told(Case(_build, _loss), "layers", make)
    if "wrong" in row and groups[0].get("max_grad_norm") is not None:
        row["wrong"] += CLIPS
    return row
