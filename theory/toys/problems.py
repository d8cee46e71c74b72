"""The toys as problems whose optimum is known: what trains on the core is what the probes measure.

A `Problem` is n networks of L modules with k parameters each. `optimum` and `draws`, (n, L, k), are
the modules' optima as the target was built from them and their independent starts. The loss of a
network is 1/2 |residual|^2, in mean over the data of an update, plus what the class says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack
from theory.numerics.domain import Array
from theory.toys.deep_linear import Matrix
from theory.toys.teacher_student import Block, batch_of

HELD = 10**6
"""Updates from here on are never trained on: held-out data, one draw a number."""


class Trained(Protocol):
    """What training needs of n networks: starts, a stack with given weights, losses."""

    @property
    def draws(self) -> Array:
        """Modules' independent starts, (n, L, k)."""
        ...

    def stack(self, weights: Array) -> SharedStack:
        """Return an untied stack with these weights, (n, L, k)."""
        ...

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """Loss on that update's data, (n,).

        Of a stack of r n networks, (r n,): number i is trained on the data of network i mod n.
        """
        ...


class Problem(Trained, Protocol):
    """n networks whose optimum is known; see the module's docstring."""

    @property
    def optimum(self) -> Array:
        """Modules' optima, (n, L, k)."""
        ...

    def jacobian(self, weights: Array) -> Array:
        """Derivatives of the residual on held-out data, (n, residuals, L, k).

        J^T J is the Hessian at the optimum, where the residual is 0, and its Gauss-Newton part
        elsewhere: positive semidefinite everywhere.
        """
        ...


def untied(blocks: Sequence[nn.Module]) -> SharedStack:
    """Return a stack of these modules, one a layer."""
    return SharedStack(blocks, Layout.untied(len(blocks)))


def for_each_run(stack: SharedStack, values: Tensor) -> Tensor:
    """Repeat values of n networks, (n, ...), for a stack of r n: (r n, ...), in its precision.

    n must divide the number of networks of the stack.
    """
    like = next(iter(stack.parameters()))
    runs = len(like) // len(values)
    values = values.to(like.dtype)
    return values if runs == 1 else values.repeat(runs, *[1] * (values.dim() - 1))


def derivatives(stack: SharedStack, residual: Tensor) -> Tensor:
    """d residual (n, m) / d weights: (n, m, L, k), network by network, m backward passes."""
    wanted = [list(block.parameters()) for block in stack.blocks]
    flat = [p for block in wanted for p in block]
    rows = []
    for column in residual.sum(0):
        gradients = iter(torch.autograd.grad(column, flat, retain_graph=True))
        rows.append(
            torch.stack([torch.cat([next(gradients).flatten(1) for _ in b], 1) for b in wanted], 1)
        )
    return torch.stack(rows, 1)


@dataclass(frozen=True, kw_only=True)
class TeacherStudent:
    """Residual tanh blocks after a teacher of such blocks; see `theory.toys.teacher_student`.

    Loss: half the squared error, in mean over the inputs of an update. `data`: seed of the inputs.
    `samples`: held-out inputs of the Jacobian. `full`: these are also every update's and the held-
    out inputs, so that there is one fixed loss and no gradient noise.
    """

    optimum: Array
    draws: Array
    width: int
    data: int
    samples: int = 96
    full: bool = False

    @cached_property
    def _truth(self) -> nn.Module:
        return nn.Sequential(*self._blocks(self.optimum)).requires_grad_(requires_grad=False)

    def _blocks(self, weights: Array) -> list[nn.Module]:
        n, L, _ = weights.shape
        parts = torch.from_numpy(weights).reshape(n, L, 2, self.width, self.width)
        return [Block(parts[:, layer, 0], parts[:, layer, 1]) for layer in range(L)]

    def stack(self, weights: Array) -> SharedStack:
        """See `Problem`."""
        return untied(self._blocks(weights))

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `Problem`."""
        if self.full:
            inputs = self._probe_inputs()[..., 0].T[None]
        elif step < HELD:
            inputs = batch_of(self.data, step)
        else:
            source = torch.Generator().manual_seed(self.data + step - HELD + 1)
            inputs = torch.randn(1, self.width, 512, generator=source, dtype=torch.float64)
        inputs = inputs.expand(len(self.optimum), -1, -1)
        with torch.no_grad():
            wanted = for_each_run(stack, self._truth(inputs))
        found: Tensor = stack(for_each_run(stack, inputs))
        return 0.5 * (found - wanted).square().mean(-1).sum(-1)

    def jacobian(self, weights: Array) -> Array:
        """See `Problem`."""
        n, L, k = weights.shape
        inputs = self._probe_inputs().repeat(n, 1, 1)
        stack = self.stack(weights.repeat(self.samples, axis=0))  # one network an input
        found: Tensor = stack(inputs)
        rows = derivatives(stack, found[..., 0]).reshape(n, -1, L, k)
        return (rows / self.samples**0.5).numpy()

    def _probe_inputs(self) -> Tensor:
        source = torch.Generator().manual_seed(self.data)
        shape = (self.samples, self.width, 1)
        return torch.randn(shape, generator=source, dtype=torch.float64)

    def near(self, scale: float) -> TeacherStudent:
        """The same problem drawn together, with one fixed loss (`full`).

        Starts and optima lie at `scale` times their distance from the teacher's mean module. As
        scale -> 0 the loss becomes its own quadratic part.
        """
        mean = self.optimum.mean(axis=1, keepdims=True)
        return replace(
            self,
            optimum=mean + scale * (self.optimum - mean),
            draws=mean + scale * (self.draws - mean),
            full=True,
        )


@dataclass(frozen=True, kw_only=True)
class DeepLinear:
    """Product of matrices to the product of the optima; full gradient, no noise.

    Loss 1/2 |W_L .. W_1 - Phi|^2. See `theory.toys.deep_linear`.
    """

    optimum: Array
    draws: Array
    width: int

    def stack(self, weights: Array) -> SharedStack:
        """See `Problem`."""
        n, L, _ = weights.shape
        parts = torch.from_numpy(weights).reshape(n, L, self.width, self.width)
        return untied([Matrix(parts[:, layer]) for layer in range(L)])

    @cached_property
    def _eye(self) -> Tensor:
        return torch.eye(self.width, dtype=torch.float64).expand(len(self.optimum), -1, -1)

    @cached_property
    def _target(self) -> Tensor:
        with torch.no_grad():
            return self.stack(self.optimum)(self._eye)

    def _residual(self, stack: SharedStack) -> Tensor:
        found: Tensor = stack(for_each_run(stack, self._eye))
        return (found - for_each_run(stack, self._target)).flatten(1)

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `Problem`."""
        return 0.5 * self._residual(stack).square().sum(1)

    def jacobian(self, weights: Array) -> Array:
        """See `Problem`."""
        stack = self.stack(weights)
        return derivatives(stack, self._residual(stack)).numpy()


class Vector(nn.Module):
    """Append an own vector to what passes: hidden (n, r, k) -> (n, r + 1, k)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([hidden, self.weight[:, None]], dim=1)


@dataclass(frozen=True, kw_only=True)
class CoreQuadratic:
    """The exchangeable quadratic itself, trained by the core: the estimators' own test.

    Loss: `theory.models.quadratic`'s R with curvatures `own` and `common`, (k,), plus sum_l xi_l .
    w_l with xi of standard deviation `noise` for each module, coordinate and update.
    """

    optimum: Array
    draws: Array
    own: Array
    common: Array
    noise: float
    data: int

    def stack(self, weights: Array) -> SharedStack:
        """See `Problem`."""
        return untied([Vector(torch.from_numpy(part)) for part in weights.transpose(1, 0, 2)])

    def _residual(self, stack: SharedStack) -> tuple[Tensor, Tensor]:
        n, L, k = self.optimum.shape
        weights: Tensor = stack(for_each_run(stack, torch.zeros(n, 0, k)))
        optimum = for_each_run(stack, torch.from_numpy(self.optimum))
        apart = (weights - optimum) * torch.from_numpy(self.own**0.5)
        mean = weights.mean(1, keepdim=True) - optimum.mean(1, keepdim=True)
        joint = mean * torch.from_numpy((L * self.common) ** 0.5)
        return torch.cat([apart, joint], 1).flatten(1), weights

    def losses(self, stack: SharedStack, step: int) -> Tensor:
        """See `Problem`."""
        residual, weights = self._residual(stack)
        loss = 0.5 * residual.square().sum(1)
        if step >= HELD:
            return loss
        source = torch.Generator().manual_seed(self.data * 1_000_003 + step)
        xi = self.noise * torch.randn(self.optimum.shape, generator=source, dtype=torch.float64)
        return loss + (for_each_run(stack, xi) * weights).sum((1, 2))

    def jacobian(self, weights: Array) -> Array:
        """See `Problem`."""
        stack = self.stack(weights)
        return derivatives(stack, self._residual(stack)[0]).numpy()
