"""Mean cross-entropy that keeps one array of the logits' size where the stock one makes four.

The masked-language head has some 30 000 logits a prediction; in eager code the loss over them is
bound by memory. Stock: log-probabilities, a gradient of them (zeros but for one entry a row), the
gradient of the logits. Here the log-probabilities turn into the gradient in place:
d loss / d logits = (softmax - onehot) / n.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


def mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[label] in nats, 0-d, in at least float32.

    logits: (N, V), labels: (N,) int64 in 0..V-1, all counted. Differentiable once, and by one
    backward pass: its memory is used up. Compiled code gets the stock form, which a compiler fuses
    by itself.
    """
    if torch.compiler.is_compiling() or not logits.requires_grad:
        wide = torch.promote_types(logits.dtype, torch.float32)
        return functional.cross_entropy(logits.to(wide), labels)
    loss: Tensor = _MeanCrossEntropy.apply(logits, labels)
    return loss


class _MeanCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        kind = torch.promote_types(logits.dtype, torch.float32)
        log_p = functional.log_softmax(logits, -1, dtype=kind)
        ctx.log_p, ctx.kind = log_p, logits.dtype  # not "saved": changed in place, and used once
        ctx.save_for_backward(labels)
        return functional.nll_loss(log_p, labels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None]:
        [labels] = ctx.saved_tensors
        if ctx.log_p is None:
            raise RuntimeError("mean_cross_entropy: a second backward pass through the same loss")
        gradient, ctx.log_p = ctx.log_p, None
        gradient.exp_()
        index = labels.unsqueeze(-1)
        gradient.scatter_add_(-1, index, gradient.new_full((), -1.0).expand(index.shape))
        gradient.mul_(pull / labels.numel())
        return gradient.to(ctx.kind), None
