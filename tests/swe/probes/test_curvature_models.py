"""The probe on models as people have them: attention kernels, compiled blocks, fused losses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bert.model.config import BertConfig
from bert.model.cross_entropy import mean_cross_entropy
from bert.model.encoder import build_bert
from swe.base.errors import ConfigError
from swe.probes.curvature import Curvature, curvature
from swe.probes.noise import gradient_noise
from swe.run.compiling import compile_loss
from swe.sharing.layers import share_layers
from swe.sharing.layout import Layout
from swe.sharing.stack import all_stacks, find_stack
from tests.swe.probes.test_curvature import Fused, Kind, Net, Tanh, agree
from tests.swe.sharing.residual import ResidualNet, start

DEPTH = 2
IDS = torch.tensor([[1, 5, 2, 7, 3], [4, 4, 6, 0, 2]])


def gpt2(attention: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    shape = transformers.GPT2Config(
        vocab_size=8, n_positions=8, n_embd=4, n_layer=DEPTH, n_head=2, n_inner=8,
        initializer_range=0.5, attn_implementation=attention, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model: nn.Module = transformers.GPT2LMHeadModel(shape).double().eval()
    return model


def stock_bert(attention: str) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    shape = transformers.BertConfig(
        vocab_size=8, max_position_embeddings=8, hidden_size=4, num_hidden_layers=DEPTH,
        num_attention_heads=2, intermediate_size=8, initializer_range=0.5,
        attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(0)
    model: nn.Module = transformers.BertForMaskedLM(shape).double().eval()
    return model


def token_loss(model: Callable[..., Any]) -> Tensor:
    loss: Tensor = model(input_ids=IDS, labels=IDS).loss
    return loss


@pytest.mark.parametrize("layout", [Layout.tied(DEPTH), Layout.untied(DEPTH)], ids=str)
@pytest.mark.parametrize(
    ("build", "where"), [(gpt2, "transformer.h"), (stock_bert, "bert.encoder.layer")]
)
def test_stock_transformers_exactly(
    build: Callable[[str], nn.Module],
    where: str,
    layout: Layout,
) -> None:
    """Through torch's fused attention and a cache, against the full Hessian of plain attention."""
    model, plain = build("sdpa"), build("eager")
    layers: Any = plain.get_submodule(where)
    share_layers(model, where, layout)
    plain.load_state_dict(model.state_dict())
    named = {n: p for n, p in plain.named_parameters() if n.startswith(f"{where}.")}
    head = len(where.split("."))
    rows = [
        (int(n.split(".")[head]), n.split(".", head + 1)[-1], i)
        for n, p in named.items()
        for i in range(p.numel())
    ]

    def of(flat: Tensor) -> Tensor:
        pieces = flat.split([p.numel() for p in named.values()])
        given = {n: v.view_as(p) for (n, p), v in zip(named.items(), pieces, strict=True)}
        return token_loss(lambda **inputs: functional_call(plain, given, (), inputs))

    flat = torch.cat([p.detach().flatten() for p in named.values()])
    full = torch.autograd.functional.hessian(of, flat, vectorize=True).numpy()
    found = curvature(
        find_stack(model)[1], lambda: token_loss(model), iterations=100, samples=30, tolerance=1e-4
    )
    assert found.method == "exact"
    assert len(layers) == DEPTH
    agree(found, full, rows, (0,) * DEPTH, spread=0.3)


def test_our_encoder_by_its_own_loss_and_by_torch_s() -> None:
    """Our loss can be differentiated once: the second derivative that torch gives is wrong."""
    config = BertConfig(
        layers=4, hidden=8, heads=2, intermediate=16, vocabulary=60, positions=8, initial_std=0.2
    )
    model = build_bert(config, 0).double().train()
    masked, labels = torch.tensor([[1, 3], [0, 2]]), torch.tensor([5, 3, 4, 1])

    def measure(cross_entropy: Callable[[Tensor, Tensor], Tensor]) -> Curvature:
        return curvature(model.stack, lambda: cross_entropy(model(IDS, masked), labels), samples=4)

    stock, ours = measure(functional.cross_entropy), measure(mean_cross_entropy)
    assert (stock.method, ours.method) == ("exact", "differences")
    assert 0 < ours.difference_error < 1e-5
    for name in ("sharpness", "tied_sharpness", "commutator"):
        near = pytest.approx(getattr(stock, name), rel=10 * ours.difference_error)
        assert getattr(ours, name) == near


# Torch hides this warning of its own tracer by a filter that pytest's "error" comes before.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_blocks_run_plainly() -> None:
    """Compiled code has no second derivative; it stays compiled, and the numbers are the same."""
    torch.compiler.reset()
    model = ResidualNet(3, 4)
    start(model, 0)
    inputs = torch.randn(8, 4)

    def loss() -> Tensor:
        return model(inputs).square().mean()

    plain = curvature(model.stack, loss, samples=2)
    compiled = compile_loss(loss, model.stack, "blocks", backend="aot_eager")
    expected = compiled()
    run = model.stack.run_layer
    assert curvature(model.stack, compiled, samples=2) == plain
    assert model.stack.run_layer is run
    assert torch.equal(compiled(), expected)
    parameters = list(model.stack.parameters())
    gradients = torch.autograd.grad(compiled(), parameters, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(gradients[0].sum(), parameters)
    torch.compiler.reset()


def test_checkpointed_layers() -> None:
    """Recomputed layers have the same curvature; by the old way no gradient comes through."""
    model = ResidualNet(3, 4)
    start(model, 0)
    inputs = torch.randn(8, 4)

    def loss() -> Tensor:
        return model(inputs).square().mean()

    plain = curvature(model.stack, loss, samples=2)
    model.stack.run_layer = partial(checkpoint, use_reentrant=False)
    assert curvature(model.stack, loss, samples=2) == plain
    model.stack.run_layer = partial(checkpoint, use_reentrant=True)
    with pytest.raises(ConfigError, match="checkpointing only with use_reentrant=False"):
        curvature(model.stack, loss)
    with pytest.raises(ConfigError, match="checkpointing only with use_reentrant=False"):
        gradient_noise(model.stack, [loss, loss])


def test_a_loss_of_another_model_is_refused() -> None:
    model, other = ResidualNet(2, 3), ResidualNet(2, 3)
    with pytest.raises(ConfigError, match="must run the model that holds the stack"):
        curvature(model.stack, lambda: other(torch.ones(1, 3)).sum())
    with pytest.raises(ConfigError, match="with gradients on"):
        curvature(model.stack, lambda: model(torch.ones(1, 3)).sum().detach())


def everything(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """All that a probe must leave as it was."""
    for name, parameter in model.named_parameters(remove_duplicate=False):
        yield name, (id(parameter), parameter.data_ptr(), parameter.detach().clone())
        yield f"{name}.grad", None if parameter.grad is None else parameter.grad.clone()
        yield f"{name}.requires_grad", parameter.requires_grad
    for name, buffer in model.named_buffers():
        yield f"buffer {name}", buffer.clone()
    for name, module in model.named_modules(remove_duplicate=False):
        hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        yield f"module {name}", (id(module), module.training, [list(h) for h in hooks])
    for name, stack in all_stacks(model):
        yield f"stack {name}", (stack.layout, [id(block) for block in stack.blocks])
    backends: Any = torch.backends.cuda
    for kernel in ("flash", "mem_efficient", "math", "cudnn"):
        yield kernel, getattr(backends, f"{kernel}_sdp_enabled")()
    yield "random", (torch.get_rng_state(), random.getstate(), torch.is_grad_enabled())


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    ("fused", "fails"), [(False, None), (False, 1), (True, None), (True, 4), (True, 35)]
)
@pytest.mark.parametrize("kind", ["stack", "list"])
def test_nothing_is_left_behind(kind: Kind, fused: bool, fails: int | None) -> None:
    """Nor when the loss raises, at once or in the middle of a difference."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [Fused(3) if fused else Tanh(3) for _ in range(4)]
    model = Net(layers, kind, Layout.tied(4, 2))
    inputs = torch.randn(5, 3, dtype=torch.float64)
    calls = 0

    def loss() -> Tensor:
        nonlocal calls
        calls += 1
        if calls == fails:
            raise KeyError("no such batch")
        return functional.dropout(model(inputs), 0.5).square().mean()

    model(inputs).sum().backward()
    model.register_forward_hook(lambda *_: None)
    find_stack(model)[1].blocks[1].eval()
    next(model.parameters()).requires_grad_(False)
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        with torch.no_grad():
            before = dict(everything(model))
            with pytest.raises(KeyError) if fails else nullcontext():
                curvature(find_stack(model)[1], loss, iterations=2, samples=2)
            after = dict(everything(model))
        assert before.keys() == after.keys()
        for name in before:
            assert same(before[name], after[name]), name
    finally:
        torch.backends.cuda.enable_flash_sdp(True)
