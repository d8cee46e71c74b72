"""Whatever a layer keeps and however it is run: tied, it trains as copies of it would."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from swe.sharing.adopt import adopt
from swe.sharing.schedule import SweAdaptive
from tests.swe.sharing.foreign import models
from tests.swe.sharing.foreign.copies import assert_as_copies, loss_of
from tests.swe.sharing.foreign.models import Model

BUILDS: dict[str, Callable[[], nn.Module]] = {
    "plain": Model,
    "cache by index": models.CachedModel,
    "losses kept on layers": models.AuxiliaryModel,
    "python list beside": models.BesideModel,
    "children": models.ChildrenModel,
    "closures": models.ClosureModel,
    "reentrant closures": partial(models.ClosureModel, reentrant=True),
    "weight norm": partial(Model, models.WeightNorm),
    "spectral norm": partial(Model, models.SpectralNorm),
    "parametrized": partial(Model, models.Parametrized),
    "batch norm": partial(Model, models.Normed),
    "lstm": partial(Model, models.Recurrent),
    "list of weights": partial(Model, models.ListOfWeights),
    "experts": partial(Model, models.Experts),
    "dropped inside": partial(Model, models.Dropped),
    "layer drop": models.DroppedModel,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("name", BUILDS)
def test_it_trains_as_copies(name: str) -> None:
    assert_as_copies(BUILDS[name], "layers")


KEPT: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "dilation": (partial(Model, models.Dilated), {"per_layer": ("dilation", "padding", "inner")}),
    "drop path": (partial(Model, models.DropPath), {"per_layer": ("drop_path",)}),
    "activation": (partial(Model, models.Alternating), {"per_layer": ("activation",)}),
    "alternating": (partial(Model, models.Alternating), {"unit": 2}),
    "alternating shapes": (partial(Model, models.Narrow), {"unit": 2}),
    "all but the first": (Model, {"take": slice(1, None)}),
    "the middle": (Model, {"take": slice(1, -1)}),
}


@pytest.mark.parametrize("name", KEPT)
def test_it_trains_as_copies_that_differ(name: str) -> None:
    build, options = KEPT[name]
    assert_as_copies(build, "layers", **options)


@pytest.mark.parametrize("reentrant", [False, True])
def test_probes_see_through_activation_checkpoints(reentrant: bool) -> None:
    """Correlations are those of the same layers without checkpoints, and no gradient is touched."""

    def correlations(model: models.Model) -> tuple[float, ...]:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        swe = adopt(model, "layers", SweAdaptive(interval=1, rho=-1.0), optimizer, 4)
        swe.begin_step(0, lambda: loss_of(model, 0))
        swe.begin_step(1, lambda: loss_of(model, 0))
        assert swe.statistics is not None
        assert all(parameter.grad is None for parameter in model.parameters())
        return swe.statistics.correlations

    torch.manual_seed(0)
    plain = Model()
    torch.manual_seed(0)
    wrapped = models.ClosureModel(reentrant=reentrant)
    assert correlations(wrapped) == pytest.approx(correlations(plain), rel=1e-5)
