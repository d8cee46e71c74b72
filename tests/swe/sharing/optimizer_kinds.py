"""Optimisers of the kinds that people use, each in a few lines: where they keep what."""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]] | Iterable[tuple[str, nn.Parameter]]


class Plain(Optimizer):
    """Steps by ``direction(p)`` over parameters with gradients."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for index, p in enumerate(group["params"]):
                if p.grad is not None:
                    p.sub_(group["lr"] * self.direction(group, index, p))

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        """Return what the weights are moved by, times the rate and down: here the gradient."""
        return gradient_of(p)


def gradient_of(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad


class Soap(Plain):
    """Lists of preconditioners, one a dimension, None for those left out."""

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        state, g = self.state[p], gradient_of(p)
        if not state:
            eye = torch.eye(p.shape[0])
            state.update(GG=[0.1 * eye, None], Q=[eye.clone(), None], step=0)
            state["exp_avg_sq"] = torch.zeros_like(p)
        rows = g.reshape(p.shape[0], -1)
        state["GG"][0].lerp_(rows @ rows.T, 0.1)
        state["Q"][0] = torch.linalg.qr(state["GG"][0] @ state["Q"][0])[0]
        state["exp_avg_sq"].lerp_(g.square(), 0.1)
        state["step"] += 1
        turned = (state["Q"][0].T @ rows).reshape(g.shape)
        return turned / (state["exp_avg_sq"].sqrt() + 0.1)


class Kron(Plain):
    """Factors in a list, contractions as text, a python number that counts."""

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        state, g = self.state[p], gradient_of(p)
        if not state:
            state["Q"] = [torch.ones(n) for n in p.shape]
            state["exprs"] = ("a,a...->a...", [("ab", "b")])
            state["count"] = {"steps": 0, "skipped": None}
        for q in state["Q"]:
            q.mul_(0.9).add_(0.1 * g.square().mean().sqrt())
        state["count"]["steps"] += 1
        first: Tensor = state["Q"][0]
        return torch.einsum("a,a...->a...", 1 / first, g) / state["count"]["steps"] ** 0.5


class Shampoo(Plain):
    """Dictionaries in dictionaries; two views of one buffer, and the parameter's start."""

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        state, g = self.state[p], gradient_of(p)
        if not state:
            buffer = torch.zeros(2, *p.shape)
            state["moments"] = {"both": buffer, "parts": {"first": buffer[0], "second": buffer[1]}}
            state["now"], state["rows"] = p, p.data.reshape(p.shape[0], -1)
        parts = state["moments"]["parts"]
        parts["first"].lerp_(g, 0.3)
        parts["second"].lerp_(g.square(), 0.3)
        assert state["now"] is p
        assert torch.equal(state["rows"].reshape(p.shape), p)
        both: Tensor = state["moments"]["both"]
        return both[0] / (both[1].sqrt() + 0.1) + 0.01 * state["rows"].reshape(p.shape)


class ScheduleFree(Plain):
    """Trains at y, keeps z in the state and its weight in the groups."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        for group in self.param_groups:
            group.update(train_mode=True, k=0, weight_sum=0.0)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            group["k"] += 1
            group["weight_sum"] += group["lr"] ** 2
            weight = group["lr"] ** 2 / group["weight_sum"]
            for p in group["params"]:
                if p.grad is not None:
                    z = self.state[p].setdefault("z", p.clone())
                    p.lerp_(z, weight)
                    p.sub_(p.grad, alpha=group["lr"] * (0.9 * (1 - weight) - 1))
                    z.sub_(p.grad, alpha=group["lr"])


class Quantised(Tensor):
    """Eight bits and a scale, as 8-bit optimisers keep their moments: no memory of its own."""

    codes: Tensor
    scale: Tensor

    @staticmethod
    def __new__(cls, codes: Tensor, scale: Tensor) -> Quantised:
        make: Any = torch.Tensor._make_wrapper_subclass
        made: Quantised = make(cls, codes.shape, dtype=scale.dtype)
        return made

    def __init__(self, codes: Tensor, scale: Tensor) -> None:
        self.codes, self.scale = codes, scale

    @classmethod
    def of(cls, value: Tensor) -> Quantised:
        scale = value.abs().max().clamp(min=1e-12) / 127
        return cls((value / scale).round().to(torch.int8), scale)

    def value(self) -> Tensor:
        return self.codes * self.scale

    @classmethod
    def __torch_dispatch__(  # type: ignore[override] # torch's stub lacks func
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.ops.aten.clone.default, torch.ops.aten.detach.default):
            return cls(func(args[0].codes), func(args[0].scale))
        raise TypeError(f"{func} of a quantised tensor")


class EightBit(Plain):
    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        state = self.state[p]
        last = state["exp_avg"].value() if state else torch.zeros_like(p)
        new = Quantised.of(last.lerp(gradient_of(p), 0.2))
        if state:
            state["exp_avg"].codes.copy_(new.codes)
            state["exp_avg"].scale.copy_(new.scale)
        else:
            state["exp_avg"] = new
        return state["exp_avg"].value()


class CommonCount(Plain):
    """One step count for all, an object that every state holds and the optimiser itself."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.count = torch.zeros(())

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.count.add_(1)
        super().step()

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        count = self.state[p].setdefault("step", self.count)
        return gradient_of(p) / count.sqrt()


class Lookahead(Optimizer):
    """As the common ones: no ``super().__init__``, the base's groups, slow weights in its state."""

    def __init__(self, optimizer: Optimizer, every: int = 2) -> None:
        self.optimizer, self.every = optimizer, every
        self.param_groups, self.defaults = optimizer.param_groups, optimizer.defaults
        self.state: Any = defaultdict(dict)
        for group in self.param_groups:
            group["counter"] = 0
            for p in group["params"]:
                self.state[p]["slow"] = p.detach().clone()

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.optimizer.step()
        for group in self.param_groups:
            group["counter"] += 1
            for p in group["params"] if group["counter"] % self.every == 0 else ():
                self.state[p]["slow"].lerp_(p, 0.5)
                p.copy_(self.state[p]["slow"])


class Combined:
    """Several optimisers as one, with groups and state put together at each look; no Optimizer."""

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = list(optimizers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    @property
    def state(self) -> ChainMap[Any, Any]:
        return ChainMap(*(optimizer.state for optimizer in self.optimizers))

    def zero_grad(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


class SlowInGroups(Plain):
    """Slow weights in the groups, one a parameter, beside the list of parameters."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        for group in self.param_groups:
            group["slow"] = [p.detach().clone() for p in group["params"]]

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        group["slow"][index].lerp_(p, 0.1)
        return gradient_of(p) + 0.3 * (p - group["slow"][index])


class MuonAndAdam(Plain):
    """Two rules in one class, told apart by a switch of the group."""

    def __init__(self, params: Sequence[nn.Parameter]) -> None:
        split = [[p for p in params if p.ndim > 1], [p for p in params if p.ndim < 2]]
        groups = [
            {"params": some, "use_muon": matrices}
            for some, matrices in zip(split, (True, False), strict=True)
        ]
        super().__init__(groups)

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        kept = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
        kept.lerp_(gradient_of(p), 0.2)
        norm: Tensor = kept.norm() + 0.1
        return kept / norm if group["use_muon"] else kept.sign() * 0.1


# What follows keeps its things where a new layer cannot find them.
class ById(Plain):
    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.kept: dict[int, Tensor] = {}

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        return self.kept.setdefault(id(p), torch.zeros_like(p)).lerp_(gradient_of(p), 0.2)


class ByIdInState(Plain):
    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        state: Any = self.state
        kept: Tensor = state[id(p)].setdefault("m", torch.zeros_like(p))
        return kept.lerp_(gradient_of(p), 0.2)


class ByPosition(Plain):
    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.kept: dict[int, Tensor] = {}

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        kept = self.kept.setdefault(index, torch.zeros_like(p))
        return kept.lerp_(gradient_of(p), 0.2)


class InAList(Plain):
    """Buffers made at the start, walked along with the parameters."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.kept = [[torch.zeros_like(p) for p in g["params"]] for g in self.param_groups]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group, buffers in zip(self.param_groups, self.kept, strict=True):
            for p, kept in zip(group["params"], buffers, strict=False):
                p.sub_(group["lr"] * kept.lerp_(gradient_of(p), 0.2))


class Store:
    def __init__(self) -> None:
        self.of: dict[int, Tensor] = {}


class InAHelper(Plain):
    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        self.store = Store()

    def direction(self, group: dict[str, Any], index: int, p: Tensor) -> Tensor:
        kept = self.store.of.setdefault(id(p), torch.zeros_like(p))
        return kept.lerp_(gradient_of(p), 0.2)


class Closure(Plain):
    """A function over the parameters that there were."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        mine = [p for group in self.param_groups for p in group["params"]]

        def all_of_them() -> list[Tensor]:
            return mine

        self.members: Callable[[], list[Tensor]] = all_of_them

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for p in self.members():
            p.sub_(0.05 * gradient_of(p))


class Flat(Plain):
    """One buffer for all."""

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        super().__init__(params, lr)
        total = sum(p.numel() for g in self.param_groups for p in g["params"])
        self.kept = torch.zeros(total)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        at = 0
        for group in self.param_groups:
            for p in group["params"]:
                part = self.kept[at : at + p.numel()].view_as(p)
                p.sub_(group["lr"] * part.lerp_(gradient_of(p), 0.2))
                at += p.numel()
