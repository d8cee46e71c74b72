"""The probe against full Hessians taken by other ways, and that it leaves no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from swe.base.errors import ConfigError, NonFiniteLossError
from swe.probes.curvature import Curvature, curvature, largest_eigenvalue
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack, Stack, find_stack

Kind = Literal["stack", "list"]


class Emit(nn.Module):
    """Writes its own parameters behind the hidden value: the loss is then any function of them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(3, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(2, 2, dtype=torch.float64))

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.cat([hidden, self.first, self.second.flatten()])


class Tanh(nn.Module):
    """A residual layer with parameters of two shapes, one of them under two names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width, dtype=torch.float64)
        self.outer = nn.Linear(width, width, bias=False, dtype=torch.float64)
        self.outer.weight = self.inner.weight

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.outer(torch.tanh(self.inner(hidden)))


class Net(nn.Module):
    layers: Any

    def __init__(self, layers: list[nn.Module], kind: Kind, layout: Layout) -> None:
        super().__init__()
        self.layers = SharedStack(layers, layout) if kind == "stack" else nn.ModuleList(layers)
        if kind == "list":
            share_layers(self, "layers", layout)

    def forward(self, hidden: Tensor) -> Tensor:
        if isinstance(self.layers, SharedStack):
            out: Tensor = self.layers(hidden)
            return out
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


def layers_of(model: Net) -> list[nn.Module]:
    """Copies of the layers, each with parameters of its own."""
    stack = find_stack(model)[1]
    return [copy.deepcopy(stack.blocks[owner]) for owner in stack.layout.owner]


def full_hessian(
    layers: list[nn.Module], loss: Callable[[Callable[[Tensor], Tensor]], Tensor]
) -> tuple[np.ndarray, list[tuple[int, str, int]]]:
    """Hessian over all trainable parameters of untied ``layers``, and of each row whose it is."""
    model = Net(layers, "stack", Layout.untied(len(layers)))
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    values = [dict(model.named_parameters())[n] for n in names]

    def of(flat: Tensor) -> Tensor:
        pieces = flat.split([v.numel() for v in values])
        named = {n: p.view_as(v) for n, p, v in zip(names, pieces, values, strict=True)}
        return loss(lambda hidden: functional_call(model, named, (hidden,)))

    flat = torch.cat([v.detach().flatten() for v in values])
    rows = [
        (int(n.split(".")[2]), n.split(".", 3)[3], i)
        for n, v in zip(names, values, strict=True)
        for i in range(v.numel())
    ]
    return torch.autograd.functional.hessian(of, flat).numpy(), rows


def expected(
    hessian: np.ndarray, rows: list[tuple[int, str, int]], places: Sequence[int]
) -> tuple[float, float, float, float]:
    """lmax(H), lmax(C), |[H, Q]| / |H| and lmin(H), with Q and E written out entry by entry.

    ``places``: the place in the unit of each layer.
    """
    keys = [(places[layer], name, i) for layer, name, i in rows]
    same = np.array([[a == b for b in keys] for a in keys], dtype=float)
    mean = same / same.sum(1)
    q = np.eye(len(rows)) - mean
    distinct = sorted(set(keys))
    e = np.array([[a == b for b in distinct] for a in keys], dtype=float)
    e /= np.sqrt(e.sum(0))
    eigenvalues = np.linalg.eigvalsh(hessian)
    commutator = np.linalg.norm(hessian @ q - q @ hessian) / np.linalg.norm(hessian)
    tied = np.linalg.eigvalsh(e.T @ hessian @ e)[-1]
    return eigenvalues[-1], tied, float(commutator), eigenvalues[0]


def agree(
    found: Curvature,
    hessian: np.ndarray,
    rows: list[Any],
    places: Sequence[int],
    spread: float = 0.1,
) -> None:
    """Eigenvalues to the square of the tolerance asked for; the norm within five errors."""
    sharpness, tied, commutator, lowest = expected(hessian, rows, places)
    assert found.sharpness == pytest.approx(sharpness, rel=1e-6)
    assert found.tied_sharpness == pytest.approx(tied, rel=1e-6)
    assert abs(found.commutator - commutator) < 5 * found.commutator_error + 1e-6 * commutator
    assert found.commutator_error < spread * max(commutator, 0.1)
    assert lowest <= found.tied_sharpness <= found.sharpness * (1 + 1e-12)


CLOSE: dict[str, Any] = {"iterations": 200, "samples": 100, "tolerance": 1e-4}
LAYOUTS = [
    (Layout.untied(4), (0, 0, 0, 0)),
    (Layout.tied(4), (0, 0, 0, 0)),
    (Layout.tied(4, 2), (0, 1, 0, 1)),
    (Layout.untied(4, 2), (0, 1, 0, 1)),
    (Layout.tied(4, 2, last_reversed=True), (0, 1, 1, 0)),
    (Layout(4, 1, (1, 3)), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("kind", ["stack", "list"])
@pytest.mark.parametrize(("layout", "places"), LAYOUTS, ids=str)
def test_a_quadratic_of_known_hessian(layout: Layout, places: tuple[int, ...], kind: Kind) -> None:
    """Not positive definite; a linear term and the point play no part."""
    torch.manual_seed(1)
    square = torch.randn(28, 28, dtype=torch.float64)
    matrix, slope = square + square.T, torch.randn(28, dtype=torch.float64)
    model = Net([Emit() for _ in range(4)], kind, layout)
    empty = torch.zeros(0, dtype=torch.float64)

    def loss() -> Tensor:
        w = model(empty)
        return w @ matrix @ w / 2 + slope @ w

    rows = [
        (layer, name, i) for layer in range(4) for name, n in (("a", 3), ("b", 4)) for i in range(n)
    ]
    found = curvature(find_stack(model)[1], loss, **CLOSE)
    agree(found, matrix.numpy(), rows, places)
    assert (found.method, found.difference_error) == ("exact", 0.0)
    assert found.residual < 1e-4
    assert found.products <= 1 + 7 * layout.unit + 1 + 28 + 1 + 2 * 100 + 20


@pytest.mark.parametrize(
    ("kind", "frozen"),
    [("stack", ""), ("list", ""), ("stack", "bias"), ("list", "first layer's bias")],
)
@pytest.mark.parametrize(("layout", "places"), LAYOUTS[:3], ids=str)
def test_a_tanh_net(layout: Layout, places: tuple[int, ...], kind: Kind, frozen: str) -> None:
    """Against torch's own Hessian of an untied copy; a weight of two names, frozen biases."""
    torch.manual_seed(2)
    layers: list[Any] = [Tanh(3) for _ in range(4)]
    alone = frozen != "bias" and layout.is_untied  # tied layers are frozen as one
    for layer in layers[:1] if frozen and alone else layers if frozen else []:
        layer.inner.bias.requires_grad_(False)
    model = Net(layers, kind, layout)
    inputs, targets = torch.randn(2, 16, 3, dtype=torch.float64)

    def loss(net: Callable[[Tensor], Tensor]) -> Tensor:
        return (net(inputs) - targets).square().mean()

    found = curvature(find_stack(model)[1], partial(loss, model), **CLOSE)
    agree(found, *full_hessian(layers_of(model), loss), places)


def test_exchangeable_layers_commute() -> None:
    """H = A on the diagonal, B off it: [H, Q] = 0, and lmax(C) = lmax(A + 3 B) of four layers."""
    torch.manual_seed(3)
    a, b = (m + m.T for m in torch.randn(2, 7, 7, dtype=torch.float64))
    matrix = torch.kron(torch.eye(4, dtype=torch.float64), a - b) + b.repeat(4, 4)
    model = Net([Emit() for _ in range(4)], "stack", Layout.untied(4))

    def loss() -> Tensor:
        w = model(torch.zeros(0, dtype=torch.float64))
        return w @ matrix @ w / 2

    found = curvature(model.layers, loss, **CLOSE)
    assert found.commutator < 1e-14  # rounding of two products in float64
    assert found.tied_sharpness == pytest.approx(float(torch.linalg.eigvalsh(a + 3 * b)[-1]))
    assert found.sharpness == pytest.approx(float(torch.linalg.eigvalsh(matrix)[-1]))


@pytest.mark.parametrize("iterations", [1, 2, 4, 8])
def test_few_products_bound_the_sharpness_from_below(iterations: int) -> None:
    """So does the tied one, and the order of both holds however few there are."""
    torch.manual_seed(4)
    square = torch.randn(28, 28, dtype=torch.float64)
    matrix = square @ square.T
    model = Net([Emit() for _ in range(4)], "list", Layout.tied(4))

    def loss() -> Tensor:
        w = model(torch.zeros(0, dtype=torch.float64))
        return w @ matrix @ w / 2

    found = curvature(find_stack(model)[1], loss, iterations=iterations, samples=2, tolerance=0)
    assert found.tied_sharpness <= found.sharpness <= float(torch.linalg.eigvalsh(matrix)[-1])
    assert found.products == 1 + 2 * iterations + 2 * 2
    assert found.residual > 0


def test_lanczos_is_eigsh() -> None:
    torch.manual_seed(5)
    basis = torch.linalg.qr(torch.randn(120, 120, dtype=torch.float64))[0]
    spectrum = torch.cat([torch.linspace(-30, 1, 118, dtype=torch.float64), torch.tensor([5.0, 6])])
    matrix = basis @ torch.diag(spectrum) @ basis.T
    start = torch.randn(120, dtype=torch.float64)
    operator = LinearOperator((120, 120), matvec=lambda v: matrix.numpy() @ v, dtype=np.float64)
    (theirs,) = eigsh(operator, 1, which="LA", v0=start.numpy(), return_eigenvectors=False)
    value, residual = largest_eigenvalue(lambda v: matrix @ v, start, 300, 1e-6)
    assert value == pytest.approx(float(theirs), rel=1e-9)
    assert 0 < residual <= 1e-6
    rough, apart = largest_eigenvalue(lambda v: matrix @ v, start, 12, 1e-6)
    assert any(abs(rough - float(x)) <= apart * abs(rough) for x in spectrum)


class OnceOnly(torch.autograd.Function):
    """tanh with a gradient that cannot be differentiated, as fused kernels have it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        out = torch.tanh(hidden)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        return gradient * (1 - out**2)


class Fused(Tanh):
    def forward(self, hidden: Tensor) -> Tensor:
        branch: Tensor = OnceOnly.apply(self.inner(hidden))
        return hidden + self.outer(branch)


@pytest.mark.parametrize("kind", ["stack", "list"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_differences_where_there_is_no_second_derivative(kind: Kind, dtype: torch.dtype) -> None:
    """As good as they say, against the same function that can be differentiated twice."""
    torch.manual_seed(6)
    smooth = [Tanh(3) for _ in range(4)]
    inputs, targets = torch.randn(2, 16, 3, dtype=torch.float64)

    def loss(net: nn.Module, kind: torch.dtype) -> Tensor:
        error: Tensor = net(inputs.to(kind)) - targets.to(kind)
        return error.square().mean()

    fused = [Fused(3).to(dtype) for _ in range(4)]
    for one, other in zip(fused, smooth, strict=True):
        one.load_state_dict(other.state_dict())
    fine = Net(list(smooth), kind, Layout.tied(4))
    coarse = Net(list(fused), kind, Layout.tied(4))
    few = CLOSE | {"samples": 10}  # of the same random vectors in both
    exact = curvature(find_stack(fine)[1], lambda: loss(fine, torch.float64), **few)
    found = curvature(find_stack(coarse)[1], lambda: loss(coarse, dtype), **few)
    assert (exact.method, found.method) == ("exact", "differences")
    assert 0 < found.difference_error < (1e-5 if dtype == torch.float64 else 1e-1)
    margin = 4 * found.difference_error  # other directions than those it was taken in
    for name in ("sharpness", "tied_sharpness", "commutator"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=margin)


class Dropped(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width, dtype=torch.float64)
        self.dropout = nn.Dropout(0.5)
        self.fused = False

    def forward(self, hidden: Tensor) -> Tensor:
        inner = self.inner(self.dropout(hidden))
        return hidden + (OnceOnly.apply(inner) if self.fused else torch.tanh(inner))


@pytest.mark.parametrize("fused", [False, True])
def test_dropout_is_the_seed_s_in_every_product(fused: bool) -> None:
    torch.manual_seed(7)
    layers: list[Any] = [Dropped(3) for _ in range(3)]
    for layer in layers:
        layer.fused = fused
    model = Net(layers, "list", Layout.tied(3)).train()
    inputs = torch.randn(8, 3, dtype=torch.float64)
    probe = partial(curvature, find_stack(model)[1], lambda: model(inputs).square().mean())
    one = probe(1, iterations=4, samples=2)
    torch.rand(5)
    assert probe(1, iterations=4, samples=2) == one
    assert probe(2, iterations=4, samples=2) != one
    if fused:  # two draws of dropout in one difference would leave it useless
        assert one.difference_error < 1e-4


def blank(stack: Stack, loss: Callable[[], Tensor]) -> None:
    curvature(stack, loss, iterations=3, samples=2)


def root_at_zero(hidden: Tensor) -> Tensor:
    """Finite, with a gradient that is not."""
    return (hidden * 0).abs().sqrt().sum() + hidden.sum()


def test_what_cannot_be_measured_is_refused() -> None:
    torch.manual_seed(8)
    model = Net([Fused(3) for _ in range(2)], "list", Layout.tied(2))
    stack = find_stack(model)[1]
    inputs = torch.randn(4, 3, dtype=torch.float64)
    with pytest.raises(ConfigError, match=r"no second derivative: .*; nor are differences of"):
        blank(stack, lambda: root_at_zero(model(inputs)))
    with pytest.raises(NonFiniteLossError, match=r"loss\(\) is nan"):
        blank(stack, lambda: model(inputs).sum() * torch.nan)
    with pytest.raises(ConfigError, match="samples = 1"):
        curvature(stack, lambda: model(inputs).sum(), samples=1)
    model.bfloat16()
    with pytest.raises(ConfigError, match=r"parameters are bfloat16, .* measure model\.float"):
        blank(stack, lambda: model(inputs.bfloat16()).sum())
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no parameter that is trained"):
        blank(stack, lambda: model(inputs.bfloat16()).sum())


def test_a_loss_without_curvature() -> None:
    """By differences, as torch has no graph of a constant gradient; 0 but for rounding."""
    model = Net([Emit() for _ in range(3)], "stack", Layout.tied(3))
    found = curvature(model.layers, lambda: model(torch.zeros(0, dtype=torch.float64)).sum())
    assert abs(found.sharpness) < 1e-8
    assert abs(found.tied_sharpness) < 1e-8
