"""What stands around a model or its layers: checkpointing, adapters, compilers, several ranks."""

from __future__ import annotations

import copy
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import (
    CheckpointImpl,
    checkpoint_wrapper,
)

from benchmarks.foreign.families import case_of
from benchmarks.foreign.route import NEAR, Case, Make, descent, distance, fitting_rate
from swe.base.errors import SweError
from swe.sharing.places import name_of

MODELS = {"gpt2": ("GPT2LMHeadModel", "transformer.h"), "bert": ("BertModel", "encoder.layer")}
Wrap = Callable[[Any, str], tuple[Any, str]]
"""Takes a fresh model and the name of its list; returns what is trained and the list's name."""


def each_layer(change: Callable[[nn.Module], nn.Module]) -> Wrap:
    """Put something in the place of every layer."""

    def wrap(model: Any, where: str) -> tuple[Any, str]:
        _, layers = name_of(model, where)
        for name, layer in list(layers.named_children()):
            layers._modules[name] = change(layer)
        return model, where

    return wrap


def compiled_in_place(layer: nn.Module) -> nn.Module:
    """``layer.compile()``; without code generation, which takes minutes and changes no graph."""
    layer.compile(backend="aot_eager")
    return layer


def compiled_around(module: nn.Module) -> Any:
    """``torch.compile`` of the module, a module around it."""
    return torch.compile(module, backend="aot_eager")


def checkpointing(*, reentrant: bool) -> Wrap:
    """The switch that transformers has."""

    def wrap(model: Any, where: str) -> tuple[Any, str]:
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        if reentrant:
            model.enable_input_require_grads()
        return model, where

    return wrap


def frozen(count: int) -> Wrap:
    """The first layers do not learn."""

    def wrap(model: Any, where: str) -> tuple[Any, str]:
        for layer in list(name_of(model, where)[1].children())[:count]:
            layer.requires_grad_(False)
        return model, where

    return wrap


def adapted(**options: Any) -> Wrap:
    """PEFT's low-rank adapters on every linear map; the rest does not learn."""

    def wrap(model: Any, where: str) -> tuple[Any, str]:
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(1)
        config = LoraConfig(r=2, init_lora_weights=False, **options)
        return get_peft_model(model, config), f"base_model.model.{where}"

    return wrap


def inside(name: str, around: Callable[[Any], Any]) -> Wrap:
    """Something around the whole model, which it keeps as ``name``."""
    return lambda model, where: (around(model), f"{name}.{where}")


def _sharded(*, whole: bool) -> Wrap:
    def wrap(model: Any, where: str) -> tuple[Any, str]:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (1,))
        for part in [model] if whole else name_of(model, where)[1].children():
            fully_shard(part, mesh=mesh)
        return model, where

    return wrap


def _fabric(model: Any) -> Any:
    from lightning.fabric import Fabric

    return Fabric(accelerator="cpu", devices=1).setup_module(model)


def _accelerated(model: Any) -> Any:
    from accelerate import Accelerator

    return Accelerator(cpu=True).prepare_model(model)


class _Owner(nn.Module):
    """A training class that keeps the model, as Lightning's do."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.net = model

    def forward(self, **inputs: Any) -> Any:
        return self.net(**inputs)


def _data_parallel(model: Any) -> Any:
    return nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)


WRAPPERS: dict[str, Wrap] = {
    "none": lambda model, where: (model, where),
    "a deep copy of the model": lambda model, where: (copy.deepcopy(model), where),
    "inside another module": inside("net", _Owner),
    "gradient_checkpointing_enable, reentrant": checkpointing(reentrant=True),
    "gradient_checkpointing_enable, not reentrant": checkpointing(reentrant=False),
    "torch's checkpoint_wrapper on each layer": each_layer(checkpoint_wrapper),
    "torch's checkpoint_wrapper on each layer, reentrant": each_layer(
        lambda layer: checkpoint_wrapper(layer, CheckpointImpl.REENTRANT)
    ),
    "layer.compile() on each layer": each_layer(compiled_in_place),
    "torch.compile in the place of each layer": each_layer(compiled_around),
    "torch.compile around the model": inside("_orig_mod", compiled_around),
    "model.compile()": lambda model, where: (compiled_in_place(model), where),
    "bfloat16 weights": lambda model, where: (model.bfloat16(), where),
    "float64 weights": lambda model, where: (model.double(), where),
    "the first layer frozen": frozen(1),
    "all layers frozen": frozen(99),
    "PEFT LoRA": adapted(target_modules="all-linear"),
    "PEFT LoRA, alpha_pattern of one layer": adapted(
        target_modules="all-linear", alpha_pattern={r".*\.1\..*": 64}
    ),
    "PEFT LoRA on some layers": adapted(
        layers_to_transform=[0, 1], target_modules=["c_attn", "query"]
    ),
    "accelerate's prepare": lambda model, where: (_accelerated(model), where),
    "Lightning Fabric's setup": inside("_forward_module", _fabric),
    "DataParallel around the model": inside("module", nn.DataParallel),
    "DistributedDataParallel around the model": inside("module", _data_parallel),
    "DistributedDataParallel around each layer": each_layer(_data_parallel),
    "fully_shard of the model": _sharded(whole=True),
    "fully_shard of each layer": _sharded(whole=False),
}
NEEDS = {"PEFT": "peft", "Lightning": "lightning", "accelerate": "accelerate"}
"""{beginning of a name: package that it needs}."""
RANKED = re.compile("Distributed|fully_shard")
"""Wrappers that want a process group."""
ROUGH = {"bfloat16 weights": 0.1}
"""bfloat16 rounds every update to three digits."""


@contextmanager
def one_rank() -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def lacks(name: str) -> str:
    """The package that a wrapper needs and that is not installed; empty otherwise."""
    packages = [package for begin, package in NEEDS.items() if name.startswith(begin)]
    return next((p for p in packages if importlib.util.find_spec(p) is None), "")


def judged_wrapper(name: str, family: str) -> dict[str, Any]:
    """Return one wrapper's row, around a model of ``family``."""
    made, where = MODELS[family]
    row: dict[str, Any] = {"wrapper": name, "class": made}
    if lacks(name):
        return row | {"not_tried": f"{lacks(name)} is not installed"}
    with warnings.catch_warnings(), one_rank() if RANKED.search(name) else nullcontext():
        warnings.simplefilter("ignore")
        plain, _ = case_of(family, made)
        make = descent(fitting_rate(plain))
        wrap = WRAPPERS[name]
        _, place = wrap(plain.build(), where)
        case = Case(lambda: wrap(plain.build(), where)[0], plain.loss)
        return row | told(case, place, make, ROUGH.get(name, NEAR))


def told(case: Case, where: str, make: Make, near: float = NEAR) -> dict[str, Any]:
    """Say what became of one case: its distance, its refusal, or what is wrong."""
    try:
        found = distance(case, where, make)
    except SweError as error:
        return {"refusal": str(error)}
    except Exception as error:
        return {"wrong": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    row: dict[str, Any] = {"distance": float(f"{found:.1g}")}
    return row if found < near else row | {"wrong": f"{found:.2g} away from untied copies"}
