"""Products of a vector with the Hessian of a loss over the layers, tied or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from swe.base.config import one_line
from swe.base.errors import ConfigError, NonFiniteLossError
from swe.probes.space import Space
from swe.sharing.eager import eagerly
from swe.sharing.passes import graph_of
from swe.sharing.seeds import derive_seed
from swe.sharing.stack import Stack
from swe.sharing.statistics import drawing
from swe.sharing.untouched import untouched

Method = Literal["exact", "differences"]
LADDER = tuple(4.0**k for k in range(-5, 2))
"""Steps tried for central differences, in units of (machine epsilon)^(1/3) times the weights' norm:
there truncation (step^2) and rounding (epsilon / step) balance for derivatives of order one. Most
are shorter: an eigenvector may move few of the weights, each then by far more than its own size."""


class Products:
    """Counts what :func:`hessian` yields: H v by one call."""

    def __init__(
        self,
        space: Space,
        product: Callable[[Tensor], Tensor],
        method: Method,
        *,
        count: int,
        error: float = 0.0,
    ) -> None:
        self.space, self.method, self.error = space, method, error
        self._product, self.count = product, count

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H ``vector``. Raises NonFiniteLossError where it is not finite."""
        self.count += 1
        found = self._product(vector)
        if not _finite(found):
            raise NonFiniteLossError("curvature: a product with the Hessian is not finite")
        return found


@contextmanager
def differentiable() -> Iterator[None]:
    """Within the context attention has a second derivative, and nothing runs compiled.

    Neither the flash and efficient kernels nor compiled blocks can be differentiated twice; the
    function is the same up to rounding. Kernel choices are put back after.
    """
    with sdpa_kernel(SDPBackend.MATH), eagerly():
        yield


@contextmanager
def hessian(stack: Stack, loss: Callable[[], Tensor], seed: int) -> Iterator[Products]:
    """Within the context: products with the Hessian of ``loss()`` over the untied layers.

    By double backward through one graph, or where that fails by central differences of gradients
    (2 a product), for which the layers' own leaves are moved, never the parameters. Dropout is that
    of ``seed`` in every product. ``error`` is then the relative change of a product between two
    steps, the larger one of a random direction and of the gradient's.

    Raises ConfigError for parameters in half precision or spread over ranks, a loss that does not
    reach them, and where there is no second derivative by either way; NonFiniteLossError where the
    loss is not finite.
    """
    layers = nn.ModuleList(stack.layer_modules())
    with untouched(layers), drawing(stack, seed), differentiable(), stack.layer_leaves() as leaves:
        space = Space(stack.layout.in_units(leaves), stack.layout.unit)
        _require_fine(space.leaves[0])

        def value() -> Tensor:
            torch.manual_seed(derive_seed("dropout", seed))
            found = loss()
            if not _finite(found.detach()):
                raise NonFiniteLossError(f"curvature: loss() is {found.item()}")
            return found

        of = value()
        slope = space.gradient(of, graph=True)
        exact: Callable[[Tensor], Tensor] = partial(_twice, space, slope)
        differences = Differences(space, lambda: space.gradient(value()))
        trial = space.draw(True, space.size, "trial", seed)
        reason = _why_not(exact, trial)
        if reason or _has_foreign_node(of):
            directions = [trial, slope.detach()]
            stated = differences.choose(directions)
            count = len(directions) * len(LADDER)
            # Ten times their own error, unless that says little: then what they say stands.
            apart = 0.0 if reason else _change(exact(trial), differences(trial))
            if apart > min(10 * stated, 0.1):
                reason = "a torch.autograd.Function in it leaves its own out"
        if not reason:
            yield Products(space, exact, "exact", count=1)
            return
        del exact, slope, of  # and with them the graph
        if not math.isfinite(stated):
            raise ConfigError(
                f"curvature: loss() has no second derivative: {reason}; nor are differences of "
                "gradients finite. Use operations that torch differentiates twice (in transformers "
                "attn_implementation='eager') and a float32 model"
            )
        yield Products(space, differences, "differences", count=count, error=stated)


def _why_not(product: Callable[[Tensor], Tensor], trial: Tensor) -> str:
    """Say why there is no product by double backward; empty where there is."""
    try:
        return "" if _finite(product(trial)) else "it is not finite"
    except RuntimeError as error:
        return one_line(error)


def _has_foreign_node(loss: Tensor) -> bool:
    """Whether some torch.autograd.Function is in the graph of ``loss``.

    torch's own operations raise where they have no second derivative. A Function whose backward is
    marked once-differentiable, or calls a kernel, has one that is silently 0 where gradients are
    asked for by their inputs, as here: only a comparison finds that.
    """
    foreign = torch.autograd.function.BackwardCFunction
    return any(isinstance(node, foreign) for node in graph_of(loss))


def _twice(space: Space, gradient: Tensor, vector: Tensor) -> Tensor:
    """Differentiate <gradient, vector> once more; the graph stays for the next product."""
    found = torch.autograd.grad(
        gradient, space.leaves, grad_outputs=vector, retain_graph=True, allow_unused=True
    )
    return space.flat(found)


class Differences:
    """H v by (g(w + h v) - g(w - h v)) / 2h, h |v| a fixed share of |w|."""

    def __init__(self, space: Space, gradient: Callable[[], Tensor]) -> None:
        self._space, self._gradient = space, gradient
        self._base = [leaf.data for leaf in space.leaves]
        self._length = float(space.flat(self._base).norm()) or 1.0
        self.step = torch.finfo(self._base[0].dtype).eps ** (1 / 3)

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the central difference, by two gradients."""
        size = float(vector.norm())
        if size == 0:
            return torch.zeros_like(vector)
        distance = self.step * self._length / size
        ahead, behind = (self._moved(vector, sign * distance) for sign in (1, -1))
        return (ahead - behind) / (2 * distance)

    def choose(self, directions: Sequence[Tensor]) -> float:
        """Take the step of the ladder that agrees best with the next longer one.

        Returns how well: the larger relative change over ``directions``, infinite where none is
        finite. As a longer step truncates more and a shorter one rounds more, it bounds both errors
        of the step that is taken, in those directions.
        """
        unit = self.step
        errors = [0.0] * (len(LADDER) - 1)
        for direction in directions:
            found = [self._tried(direction, unit * rung) for rung in LADDER]
            for index, (one, other) in enumerate(pairwise(found)):
                errors[index] = max(errors[index], _change(one, other))
        best = min(range(len(errors)), key=errors.__getitem__)
        self.step = unit * LADDER[best]
        return errors[best]

    def _tried(self, direction: Tensor, step: float) -> Tensor:
        self.step = step
        try:
            return self(direction)
        except NonFiniteLossError:
            return torch.full_like(direction, math.nan)

    def _moved(self, vector: Tensor, distance: float) -> Tensor:
        try:
            for leaf, base, part in self._each(vector):
                leaf.data = torch.add(base, part, alpha=distance)
            return self._gradient()
        finally:
            for leaf, base, _ in self._each(vector):
                leaf.data = base

    def _each(self, vector: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        return zip(self._space.leaves, self._base, self._space.parts(vector), strict=True)


def _change(one: Tensor, other: Tensor) -> float:
    """|one - other| over the longer of them: 0 where both are zero, infinite where not finite."""
    size = float(torch.maximum(one.norm(), other.norm()))
    apart = float((one - other).norm())
    if not math.isfinite(apart):
        return math.inf
    return apart / size if size > 0 else 0.0


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _require_fine(leaf: Tensor) -> None:
    """Refuse half precision.

    There a gradient has 8 or 11 bits: differences of two of them are noise, and so is what Q leaves
    of layers that are nearly equal. A float32 copy of the leaves alone would meet half-precision
    activations, so the model is the caller's to convert.
    """
    if leaf.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"stack: parameters are {str(leaf.dtype).removeprefix('torch.')}, too coarse for a "
            "second derivative; measure model.float(), autocast or not"
        )
