"""Growth by a linear map whose entries are fitted on the large model's own loss.

A :class:`Learned` map makes every weight of the large model from the small model's, linearly, by
few parameters of its own. :func:`fit` descends on those parameters with the small model's weights
frozen; the large model is never updated. What comes out is what any growth makes: lines of terms
(``swe.transforms.maps``), so weights, moments and reports go the way of the other methods.

The fit is charged: each of its updates costs one of the large model and the map, forward and
backward (:meth:`Fit.cost`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from swe.base.config import require_between, require_count
from swe.base.errors import NonFiniteLossError
from swe.sharing.seeds import apart
from swe.transforms.anatomy import Anatomy, require_growth
from swe.transforms.carry import Carry, grown_state, power_of
from swe.transforms.growth import Grown
from swe.transforms.kronecker import Held, Kind
from swe.transforms.maps import Line
from swe.transforms.transform import Loss, States

WHY_NOT = "a fitted map mixes units and layers"
WARM_UP = 0.1


class Learned(nn.Module, ABC):
    """A linear map with parameters. ConfigError where ``new`` is not ``old``, larger."""

    def __init__(self, old: Anatomy, new: Anatomy) -> None:
        super().__init__()
        require_growth(old, new)
        self.old, self.new = old, new
        self.parts = nn.ParameterDict()
        """What is fitted, by name."""
        self.mixed: dict[str, int] = {}
        """Of each part: how many old entries a new one is a sum of."""

    @abstractmethod
    def weights(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the large model's weights, differentiable in the map's parameters."""

    @abstractmethod
    def lines(self) -> dict[str, Line]:
        """Return the map as it now is, a line a parameter of the large model."""

    @abstractmethod
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Return what each parameter that :meth:`applied` makes is a sum of, as in its line.

        None (an empty tuple) where all of its terms are multiplied by 0.
        """

    @abstractmethod
    def applied(
        self, source: Mapping[str, Tensor], kind: Kind = 0, held: Held | None = None
    ) -> dict[str, Tensor]:
        """Return what the map as it now is makes of weights or moments, without its other pieces.

        No two share memory, with one another or with the source; without gradients, at fewest
        FLOPs, with less than a layer of the large model held beside them. What has a parent that
        ``source`` lacks is left out. ``held``: duals, kept for the next kind.
        """

    def pieces(self) -> tuple[Learned, ...]:
        """Return the maps that it consists of: duals of one are dropped before the next one's."""
        return (self,)

    def made(self, source: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the large model's weights as :meth:`weights` does, by :meth:`applied`."""
        return {name: one for piece in self.pieces() for name, one in piece.applied(source).items()}

    def moments(self, states: States, carry: Carry) -> dict[str, dict[str, Any]]:
        """Return the optimiser's state of the large model, as ``swe.transforms.carry`` does.

        Of parameters all of whose parents have one by :meth:`applied`; of others by their lines.
        """
        if carry != "mapped":
            return {} if carry == "reset" else grown_state(self.lines(), states, carry)
        made: dict[str, dict[str, Any]] = {}
        partly: set[str] = set()
        for piece in self.pieces():
            parents = piece.parents()
            whole = {new: own for new, own in parents.items() if own and states.keys() >= {*own}}
            partly |= {new for new in parents.keys() - whole if {*parents[new]} & states.keys()}
            made |= _moved(piece, whole, states)
        if partly:
            lines = self.lines()
            made |= grown_state({new: lines[new] for new in partly}, states, carry)
        return made

    def grown(self) -> Grown:
        """Return the map as a growth, which keeps no function."""
        return Grown(self.lines(), WHY_NOT)

    def learn(self, name: str, start: Tensor, mixed: int) -> None:
        """Take a part to be fitted, of whose entries ``mixed`` add up."""
        self.parts[name] = nn.Parameter(start)
        self.mixed[name] = mixed

    def rates(self, rate: float) -> list[dict[str, Any]]:
        """Return Adam's groups: each part with ``rate`` over the entries that it mixes."""
        return [
            {"params": [part], "lr": rate / one.mixed[name]}
            for one in self.modules()
            if isinstance(one, Learned)
            for name, part in one.parts.items()
        ]


def _moved(
    piece: Learned, parents: Mapping[str, tuple[str, ...]], states: States
) -> dict[str, dict[str, Any]]:
    """The state of some of a piece's parameters: step counts are those of their first parents."""
    made: dict[str, dict[str, Any]] = {
        new: {
            key: value.clone() if isinstance(value, Tensor) else value
            for key, value in states[own[0]].items()
            if not _is_moment(value)
        }
        for new, own in parents.items()
    }
    every = {key for state in states.values() for key in state if _is_moment(state[key])}
    held: Held = {}
    for key in sorted(every):
        source = {name: state[key] for name, state in states.items() if key in state}
        found = piece.applied(source, power_of(key), held)
        for new in made.keys() & found.keys():
            made[new][key] = found[new]
    return made


def _is_moment(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def shaken(start: Tensor, noise: float, generator: Generator) -> Tensor:
    """Return ``start`` (..., new, old) with normal noise of deviation ``noise`` / sqrt(old).

    What noise adds to a mapped tensor is then about ``noise`` of its size, at any width. Without
    noise all copies of a unit have the same gradients, and stay copies.
    """
    drawn = torch.randn(start.shape, generator=generator, dtype=torch.float64)
    return start + (drawn * noise / math.sqrt(start.shape[-1])).to(start.dtype)


@dataclass(frozen=True)
class Fit:
    """What a fit did: the loss before each of its updates, and what the map costs a step."""

    losses: tuple[float, ...]
    map_flops: float
    """Matrix-product FLOPs of the map, forward and backward, an update."""

    @property
    def steps(self) -> int:
        """Updates made."""
        return len(self.losses)

    def factor(self, update: float) -> float:
        """Return what an update of the fit costs, in updates of ``update`` FLOPs."""
        return 1 + self.map_flops / update

    def cost(self, update: float) -> float:
        """Return the FLOPs of the fit, where an update of the large model takes ``update``."""
        return self.steps * (update + self.map_flops)


def map_flops(learned: Learned, source: Mapping[str, Tensor]) -> float:
    """Return the FLOPs of the map's matrix products, forward and backward, counted by running it.

    Gradients are left as they are.
    """
    held = [parameter.grad for parameter in learned.parameters()]
    with FlopCounterMode(display=False) as counter:
        made = learned.weights(source)
        torch.autograd.backward(
            [one for one in made.values() if one.requires_grad],
            [torch.zeros_like(one) for one in made.values() if one.requires_grad],
        )
    for parameter, grad in zip(learned.parameters(), held, strict=True):
        parameter.grad = grad
    return float(counter.get_total_flops())


def fit(
    learned: Learned,
    source: Mapping[str, Tensor],
    loss: Loss,
    *,
    steps: int = 100,
    rate: float = 0.1,
    seed: int = 0,
) -> Fit:
    """Fit ``learned`` by Adam; ``source`` and the large model stay as they are.

    ``rate`` is divided, part by part, by the old entries that a new one sums, so that one update
    changes no entry of a tensor, by any one factor of the map, by more than about ``rate`` times
    the tensor's largest: sum_i |dM_ji| |w_i| <= old (rate / old) max |w|, as Adam moves an entry
    by about its rate. It climbs over the first tenth and falls linearly to zero: a schedule of the
    map's own, as a hundred updates of the large run's warm-up would barely move it. ``seed`` is
    that of what the loss draws (dropout).

    ConfigError for an impossible ``steps`` or ``rate``; NonFiniteLossError, before the update.
    """
    require_count("steps", steps)
    require_between("rate", rate, 0, 1, open_low=True)
    frozen = {name: tensor.detach() for name, tensor in source.items()}
    adam = torch.optim.Adam(learned.rates(rate))
    warm = max(1, round(WARM_UP * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm + 1))
    )
    flops = map_flops(learned, frozen)
    losses = []
    with apart(seed):
        for step in range(steps):
            adam.zero_grad(set_to_none=True)
            value = loss(learned.weights(frozen), step)
            if not bool(torch.isfinite(value)):
                raise NonFiniteLossError(
                    f"growth: the loss at update {step + 1} of the fit is {float(value.detach())}; "
                    "fit at a lower rate"
                )
            value.backward()
            adam.step()
            schedule.step()
            losses.append(float(value.detach()))
    adam.zero_grad(set_to_none=True)
    return Fit(tuple(losses), flops)
