"""LEMON: copies in unequal shares, and a width that is no multiple by units that hold the average.

The model in which it is exact has no LayerNorm before its residual stream and none behind a GELU: a
decoder as GPT-2 is, of our own layers. Its epsilon is large, so that forgetting it would be seen.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bert.model.anatomy import HIDDEN, SCALE, bert_anatomy
from bert.model.config import BertConfig, Placement
from bert.model.encoder import Layer
from swe.base.errors import ConfigError
from swe.sharing.layout import Layout
from swe.sharing.stack import SharedStack
from swe.transforms.anatomy import FIXED, Anatomy, Axis
from swe.transforms.average import averages
from swe.transforms.carry import grown_state, grown_weights
from swe.transforms.growth import METHODS, Grown, Growth
from swe.transforms.maps import Copies
from tests.swe.transforms.test_growth import SMALL, grow, logits, shaken, wide

PLAIN = replace(SMALL, layer_norm_eps=1e-2)
ROWS = torch.arange(18).reshape(3, 6) * 5 % 16


class Plain(nn.Module):
    """Embeddings, Pre-LN layers, a last norm, and the embedding again as the decoder."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(16, config.hidden)
        self.positions = nn.Embedding(6, config.hidden)
        layers = [Layer(config) for _ in range(config.layers)]
        self.stack = SharedStack(layers, Layout.untied(config.layers))
        self.final_norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.stack(self.words(rows) + self.positions.weight)
        return functional.linear(self.final_norm(hidden), self.words.weight)


def plain_anatomy(config: BertConfig) -> Anatomy:
    return replace(
        bert_anatomy(config),
        rest={
            "words.weight": (FIXED, HIDDEN),
            "positions.weight": (FIXED, HIDDEN),
            "final_norm.weight": (Axis(space="hidden", way="in", kind="scale"),),
            "final_norm.bias": (Axis(space="hidden", way="in", kind="shift"),),
        },
        below=("words.weight", "positions.weight"),
        averaged=(),
    )


def plain(config: BertConfig) -> Plain:
    torch.manual_seed(3)
    model = Plain(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def wider(model: Plain, heads: int, method: str = "lemon", layers: int = 2) -> tuple[Plain, Grown]:
    """The model grown to so many heads of 4, with the epsilon that it asks for."""
    small = model.config
    large = replace(small, layers=layers, hidden=4 * heads, heads=heads, intermediate=19)
    draw = torch.Generator().manual_seed(7)
    planned = METHODS[method].plan(plain_anatomy(small), plain_anatomy(large), draw)
    eps = small.layer_norm_eps * planned.eps.get("hidden", 1.0)
    new = Plain(replace(large, layer_norm_eps=eps)).double()
    shapes = {name: parameter.shape for name, parameter in new.named_parameters()}
    new.load_state_dict(grown_weights(planned.lines, dict(model.named_parameters()), shapes))
    return new, planned


def change(model: Plain, new: Plain) -> float:
    return float((new(ROWS) - model(ROWS)).detach().abs().max())


def loss(model: Plain) -> Tensor:
    return functional.cross_entropy(model(ROWS).flatten(0, 1), ROWS.flatten().flip(0))


@pytest.mark.parametrize("heads", [3, 4, 5, 7])
def test_any_width_keeps_the_function_of_a_plain_decoder(heads: int) -> None:
    """8 to 12, 16, 20 and 28, and from 2 to 3 layers at once."""
    model = plain(PLAIN)
    new, planned = wider(model, heads, layers=3)
    assert planned.preserves
    assert change(model, new) < 1e-12
    expected = {} if heads == 4 else {"hidden": heads // 2 * 2 / heads}
    assert planned.eps == expected


def test_what_epsilon_left_as_it_is_changes() -> None:
    """To first order (1 / eta^2 - 1) eps / 2 v of a normalised vector, here 1.5 to 1 with v."""
    model = plain(PLAIN)
    new, _ = wider(model, 3)
    for module in new.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = PLAIN.layer_norm_eps
    seen = new.stack.blocks[0].get_submodule("attention_norm")
    old = model.stack.blocks[0].get_submodule("attention_norm")
    assert isinstance(seen, nn.LayerNorm)
    assert isinstance(old, nn.LayerNorm)
    before = model.words(ROWS) + model.positions.weight
    after = new.words(ROWS) + new.positions.weight
    value = before.var(-1, correction=0)
    ratio = ((seen(after)[..., :8] - seen.bias[:8]) / (old(before) - old.bias)).mean(-1)
    assert torch.allclose(ratio, ((value + 0.01) / (value + 0.015)).sqrt(), rtol=1e-10)
    assert change(model, new) > 1e-4


@pytest.mark.parametrize("heads", [3, 4, 5])
def test_gradients_pulled_back_are_the_small_models(heads: int) -> None:
    """The function being the same for every small model, its gradient is the map's pull-back."""
    model = plain(PLAIN)
    new, planned = wider(model, heads)
    loss(model).backward()
    loss(new).backward()
    states = {name: {"exp_avg": p.grad} for name, p in model.named_parameters()}
    mapped = grown_state(planned.lines, states, "mapped")
    for kind in ("own", "mapped"):
        total = torch.zeros((), dtype=torch.float64)
        for name, parameter in new.named_parameters():
            gradient = parameter.grad if kind == "own" else mapped[name]["exp_avg"]
            assert gradient is not None
            for term in planned.lines[name]:
                total = total + (gradient * term.weight(dict(model.named_parameters()))).sum()
        pulled = torch.autograd.grad(total, list(model.parameters()))
        for (name, parameter), found in zip(model.named_parameters(), pulled, strict=True):
            assert parameter.grad is not None
            assert torch.allclose(found, parameter.grad, rtol=1e-9, atol=1e-13), (kind, name)


@pytest.mark.parametrize("heads", [3, 4, 5])
def test_the_dual_is_exact_but_for_what_writes_the_stream(heads: int) -> None:
    """Readers, inner units, heads and the norms' own weights: one by one, and squared."""
    model = plain(PLAIN)
    new, planned = wider(model, heads)
    loss(model).backward()
    loss(new).backward()
    states = {
        name: {"exp_avg": p.grad, "exp_avg_sq": p.grad**2}
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    found = grown_state(planned.lines, states, "mapped")
    off = set()
    for name, parameter in new.named_parameters():
        assert parameter.grad is not None
        if not torch.allclose(found[name]["exp_avg"], parameter.grad, rtol=1e-9, atol=1e-13):
            off.add(name)
        elif name != "final_norm.bias":  # the average's square is no average of squares
            square = found[name]["exp_avg_sq"]
            assert torch.allclose(square, parameter.grad**2, rtol=1e-9, atol=1e-20), name
    writers = {
        f"stack.blocks.{layer}.{name}"
        for layer in (0, 1)
        for name in (
            "attention.output.weight",
            "attention.output.bias",
            "outer.weight",
            "outer.bias",
        )
    }
    assert off == writers | {"words.weight", "positions.weight"}


def test_unequal_shares_tell_copies_apart_and_equal_ones_never() -> None:
    """Two plain steps; copies of FPI are symmetric, so their gradients are equal for ever."""
    apart = {}
    for method in ("fpi", "lemon"):
        new, planned = wider(plain(PLAIN), 4, method)
        for _ in range(2):
            for parameter, gradient in zip(
                new.parameters(),
                torch.autograd.grad(loss(new), list(new.parameters())),
                strict=True,
            ):
                with torch.no_grad():
                    parameter.sub_(gradient, alpha=0.1)
        axis = planned.lines["words.weight"][0].axes[1]
        assert isinstance(axis, Copies)
        first, last = (axis.index == 0).nonzero().flatten().tolist()
        weight = new.words.weight
        apart[method] = float((weight[:, first] - weight[:, last]).detach().abs().max())
    assert apart["fpi"] < 1e-14
    assert apart["lemon"] > 1e-4


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_bert_keeps_its_function_at_a_multiple(placement: Placement) -> None:
    model = shaken(replace(SMALL, placement=placement))
    new, planned = grow(model, wide(model.config), Growth(depth="stack", width="lemon"))
    assert planned.preserves
    assert not planned.eps
    assert torch.allclose(logits(new), logits(model), rtol=0, atol=1e-12)


def test_bert_says_what_a_width_that_is_no_multiple_changes() -> None:
    """Pre-LN, its embeddings' and its head's norms; not the layers, nor one number as weight."""
    model = shaken(SMALL)
    large = replace(SMALL, hidden=12, heads=3)
    new, planned = grow(model, large, Growth(width="lemon"))
    assert "embedding_norm makes the residual stream" in planned.why_not
    assert "transform_norm follows a GELU" in planned.why_not
    assert planned.why_not.count("(8 to 12; take a multiple)") == 2
    rows = torch.arange(12).reshape(2, 6)
    assert not torch.allclose(new.encode(rows)[..., :8], model.encode(rows), rtol=0, atol=1e-3)
    with torch.no_grad():
        model.embedding_norm.weight.fill_(0.7)
    new, _ = grow(model, large, Growth(width="lemon"))
    assert torch.allclose(new.encode(rows)[..., :8], model.encode(rows), rtol=0, atol=1e-10)
    assert torch.allclose(new.encode(rows)[..., 8:], torch.zeros(4).double(), rtol=0, atol=1e-10)
    assert not torch.allclose(logits(new), logits(model), rtol=0, atol=1e-3)


def test_post_ln_has_no_use_for_the_average() -> None:
    post = replace(SMALL, placement="post")
    _, planned = grow(shaken(post), replace(post, hidden=12, heads=3), Growth(width="lemon"))
    assert "copied unequally often (8 to 12" in planned.why_not
    assert not planned.eps


def test_average_units_are_of_one_entry() -> None:
    found = averages(8, 12, torch.Generator().manual_seed(0))
    assert found.index.tolist()[:8] == list(range(8))
    assert len(set(found.index.tolist()[8:])) == 4
    with pytest.raises(ConfigError, match="units of = 4: must be one entry"):
        found.along(Axis(space="hidden", each=4))
    assert found.along(SCALE).scale.tolist() == [(2 / 3) ** 0.5] * 12
