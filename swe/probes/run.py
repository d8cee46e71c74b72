"""A training run as functions, so that a probe trains a run of its own and never the user's.

::

    def make() -> Run:
        torch.manual_seed(0)
        model = MyModel()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        return Run(model=model, layers="encoder.layer", optimizer=optimizer,
                   loss=loss_of, held=held_loss)

Every probe calls ``make`` anew. It must begin the same run each time, or two arms would differ by
their starts; :func:`fresh` checks that, and that ``loss`` is a function of model and update alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.config import require, require_between
from swe.base.errors import ConfigError
from swe.sharing.places import Where, count_of, find_places
from swe.sharing.seeds import apart
from swe.sharing.stack import SharedStack


def linear_decay(done: float) -> float:
    """Return the factor 1 - ``done`` on the peak rate: straight to 0, without a warm-up."""
    return 1.0 - done


def no_decay(done: float) -> float:
    """Return the factor 1 at all times."""
    return 1.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run before its first update, made anew by each call of a ``make`` function.

    Raises ConfigError, naming the field, for what no run can begin with. The model is in the mode
    (train or eval) in which ``loss`` is to run, and nothing is shared yet: a probe does that.
    """

    model: nn.Module
    """As it starts; on the device where it trains."""
    layers: Where | SharedStack
    """Name of the list of layers, such as "encoder.layer", or the list, or several; or an untied
    SharedStack or its name."""
    optimizer: Optimizer
    """Over all parameters of ``model``; the rates of its groups are the peak rates."""
    loss: Callable[[nn.Module, int], Tensor]
    """Loss of the batch of an update (0, 1, ...), a 0-d tensor: a pure function of the model and
    that number. Dropout is drawn from torch's own generator, as ever."""
    held: Callable[[nn.Module], Tensor | float]
    """Held-out loss; gradients are off, and the mode that it sets is set back."""
    rate: Callable[[float], float] = linear_decay
    """Factor on the peak rates where a fraction in [0, 1) of the updates is done."""
    clip_norm: float | None = None
    """Untied-equivalent gradient norm above which gradients are scaled down; None: never."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """For :func:`swe.sharing.adopt.adopt`: ``layers``, ``per_layer``, ``ignore``, ``guards``."""

    def __post_init__(self) -> None:
        _require_kind("model", self.model, nn.Module, "a torch module")
        _require_kind("optimizer", self.optimizer, Optimizer, "a torch optimiser")
        for name in ("loss", "held", "rate"):
            value = getattr(self, name)
            require(callable(value), name, value, "a function")
        if self.clip_norm is not None:
            require_between("clip_norm", self.clip_norm, 0, 1e9, open_low=True)
        unknown = self.options.keys() - {"layers", "per_layer", "ignore", "guards"}
        require(not unknown, "options", sorted(unknown), "layers, per_layer, ignore or guards")
        stack_of(self)
        ours = {id(parameter) for parameter in self.model.parameters()}
        held = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        if not ours & held:
            raise ConfigError("optimizer: holds no parameter of the model; build it from this one")


Make = Callable[[], Run]
"""Begins a run, the same one at each call."""


def stack_of(run: Run) -> tuple[str, SharedStack] | None:
    """Return (name, stack) of a run on a SharedStack; None for one on lists of the model's own.

    Raises ConfigError where the model has no such layers.
    """
    for name, module in run.model.named_modules():
        if isinstance(module, SharedStack) and (name == run.layers or module is run.layers):
            return name, module
    if isinstance(run.layers, SharedStack):
        raise ConfigError("layers: this SharedStack is not in the model")
    find_places(run.model, run.layers, count_of(run.layers), run.options.get("layers"))
    return None


@contextmanager
def fresh(make: Make) -> Iterator[Run]:
    """Begin a run; the random state that it leaves behind is the run's own until the context ends.

    ``make`` is called twice, and a second time from other random states: a run that comes out
    different, or is the same objects again, raises ConfigError, as does a ``loss`` that is not the
    same for the same update twice. The first run is used up by these checks.
    """
    with apart(1):
        first = make()
        _require_kind("make()", first, Run, "a Run")
        _require_pure(first)
    with apart(0):
        run = make()
        _require_kind("make()", run, Run, "a Run")
        _require_same_start(first.model, run.model)
        del first
        yield run


def _require_pure(run: Run) -> None:
    """Refuse a loss that differs between two calls for update 0 on the same model."""
    values = []
    for _ in range(2):
        with apart(0), torch.no_grad():
            value = run.loss(run.model, 0)
        if not (isinstance(value, Tensor) and value.ndim == 0):
            got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(f"loss: returned {got}, must be a tensor of no dimension")
        values.append(value)
    if not torch.equal(values[0], values[1]) and not values[0].isnan():
        raise ConfigError(
            f"loss: update 0 gave {values[0].item()!r}, then {values[1].item()!r}, on the same "
            "model; make the batch from the update's number, not from what was drawn before"
        )


def _require_same_start(first: nn.Module, second: nn.Module) -> None:
    """Refuse a second model that shares parameters with the first, or does not begin as it did."""
    if {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}:
        raise ConfigError("make: gave the same model twice; build the model inside make()")
    one, other = dict(first.named_parameters()), dict(second.named_parameters())
    if one.keys() != other.keys():
        raise ConfigError("make: gave two models of different parameters; it must begin one run")
    for name, value in one.items():
        same = value.shape == other[name].shape and torch.equal(value, other[name])
        if not same and not bool(value.isnan().any()):
            raise ConfigError(
                f"make: {name} is not the same at a second call; seed inside make(), as by "
                "torch.manual_seed(0) in its first line"
            )


def _require_kind(name: str, value: object, kind: type, words: str) -> None:
    require(isinstance(value, kind), name, type(value).__name__, words)
