"""Vision models of timm and torchvision, where they are installed: one of each family."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.foreign.families import LARGEST, NotTried, line_of, noted
from benchmarks.foreign.route import Build, Case, seed
from benchmarks.foreign.ways import attempted

CLASSES, SIDE = 8, 64
VARIANTS: tuple[dict[str, Any], ...] = (
    {"img_size": SIDE, "patch_size": 16, "embed_dim": 32, "depth": 4, "num_heads": 2},
    {"img_size": SIDE, "embed_dim": 32, "depths": (2, 4), "num_heads": (2, 2), "window_size": 4},
    {"depths": (1, 4, 1, 1), "dims": (16, 16, 16, 16)},
    {"depths": (1, 4, 1, 1), "embed_dims": (16, 16, 16, 16)},
    {"depths": (1, 4, 1, 1)},
    {"layers": (1, 4, 1, 1)},
    {"img_size": SIDE},
    {},
)
"""Options that make some families of timm small; the first that a model takes."""
DROPPED = {"drop_path_rate": 0.1}
"""Stochastic depth, whose rate grows with depth."""


def missing(package: str) -> bool:
    """Whether the package is not installed."""
    return importlib.util.find_spec(package) is None


def timm_families() -> dict[str, str]:
    """Return {family: a model of it}, the ones made for tests first; nothing without timm."""
    if missing("timm"):
        return {}
    import timm
    from timm.models import _registry

    found: dict[str, str] = {}
    names = timm.list_models()
    for name in sorted(names, key=lambda name: (not name.startswith("test_"), len(name), name)):
        found.setdefault(_registry._model_to_module[name], name)
    return dict(sorted(found.items()))


def torchvision_models() -> dict[str, Build]:
    """Return {family: a small model's maker}; nothing without torchvision."""
    if missing("torchvision"):
        return {}
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig
    from torchvision.models.resnet import BasicBlock, Bottleneck
    from torchvision.models.swin_transformer import SwinTransformerBlock, SwinTransformerBlockV2

    swin: dict[str, Any] = {
        "patch_size": [4, 4],
        "embed_dim": 16,
        "depths": [2, 4],
        "num_heads": [2, 2],
        "window_size": [4, 4],
        "num_classes": CLASSES,
    }
    stages = [CNBlockConfig(16, 16, 4), CNBlockConfig(16, None, 2)]
    return {
        "vision_transformer": partial(
            models.VisionTransformer, SIDE, 16, 4, 2, 32, 64, num_classes=CLASSES
        ),
        "swin_transformer": partial(
            models.SwinTransformer,
            **swin,
            stochastic_depth_prob=0.0,
            block=SwinTransformerBlock,
        ),
        "swin_transformer_v2": partial(
            models.SwinTransformer,
            **swin,
            stochastic_depth_prob=0.0,
            block=SwinTransformerBlockV2,
        ),
        "swin_transformer, stochastic depth": partial(models.SwinTransformer, **swin),
        "convnext": partial(models.ConvNeXt, stages, num_classes=CLASSES),
        "convnext, stochastic depth": partial(
            models.ConvNeXt, stages, stochastic_depth_prob=0.2, num_classes=CLASSES
        ),
        "resnet": partial(models.ResNet, BasicBlock, [1, 4, 1, 1], num_classes=CLASSES),
        "resnet, bottleneck": partial(models.ResNet, Bottleneck, [1, 4, 1, 1], num_classes=CLASSES),
        "maxvit": partial(
            models.MaxVit, (SIDE, SIDE), 16, 4, [16, 16], [1, 4], 8, num_classes=CLASSES
        ),
    }


def loss_of(model: Any, images: Tensor) -> Tensor:
    """Mean squared distance of the output from a fixed random tensor."""
    out = model(images.clone())
    source = torch.Generator().manual_seed(2)
    return (out - torch.randn(out.shape, generator=source)).square().mean()


def case_of(build: Build) -> Case:
    """Return the model's case at the first size that it takes. Raises NotTried."""
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in build().parameters())
    except Exception as error:
        raise NotTried(f"no small model: {line_of(error)}") from error
    if size > LARGEST:
        raise NotTried(f"no small model: {size} parameters")

    def seeded() -> Any:
        seed(0)
        return build().train()

    told = ""
    for side in (SIDE, 96, 160, 224):
        images = torch.rand((2, 3, side, side), generator=torch.Generator().manual_seed(1))
        try:
            model = seeded()
            loss = loss_of(model, images)
            loss.backward()
        except Exception as error:
            told = told or line_of(error)
            continue
        return Case(seeded, partial(loss_of, images=images))
    raise NotTried(f"no inputs found: {told}")


def timm_case(name: str, **more: Any) -> Case:
    """Return the case of a timm model, made small by the first options that it takes."""
    import timm

    told: NotTried | None = None
    for variant in VARIANTS:
        options = {"num_classes": CLASSES, **variant, **more}
        try:
            return case_of(partial(timm.create_model, name, pretrained=False, **options))
        except NotTried as error:
            told = error
    assert told is not None
    raise told


def judged_timm(family: str, *, dropped: bool = False) -> dict[str, Any]:
    """Return the row of one family of timm, with stochastic depth if asked."""
    name, more = timm_families()[family], DROPPED if dropped else {}
    row = {"family": family + (", stochastic depth" if dropped else ""), "class": name}
    return noted(row, lambda: attempted(timm_case(name, **more)))


def judged_torchvision(family: str) -> dict[str, Any]:
    """Return the row of one family of torchvision."""
    build = torchvision_models()[family]
    row = {"family": family, "class": getattr(build, "func", build).__name__}
    return noted(row, lambda: attempted(case_of(build)))
