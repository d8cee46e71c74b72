"""Ranks that train one model must step along one gradient, whoever sees to that.

A wrapper (DistributedDataParallel) knows the parameters that it was given. Those that an untie adds
it never synchronises, in silence, and the ranks' weights drift apart; the same without a wrapper
from the first update on. So the norms that the ranks finish with are compared once, at the first
update of a run and at the first after each change of layout.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from swe.base.errors import RanksDifferError


def several_ranks() -> bool:
    """Whether this process is in a group of several ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def require_one_gradient(norm: Tensor, *, untied: bool) -> None:
    """Raise RanksDifferError on every rank unless all have the same ``norm``, a 0-d tensor.

    A collective over the default group. ``untied``: after a change of layout, for the remedy.
    """
    norms = [torch.zeros_like(norm) for _ in range(dist.get_world_size())]
    dist.all_gather(norms, norm.detach().clone())
    # NaN on any rank is everybody's: the loop stops for it, and all must decide alike here.
    if any(other.isnan() for other in norms) or all(torch.equal(norms[0], n) for n in norms):
        return
    told = ", ".join(f"{float(other):.6g}" for other in norms)
    remedy = (
        "the wrapper around the model does not know the new layers: wrap it anew "
        "(DistributedDataParallel(model)) when begin_step returns an event"
        if untied
        else "wrap the model (DistributedDataParallel(model)) after adopt"
    )
    raise RanksDifferError(
        f"gradients: differ between ranks (norms {told}), so their weights would drift apart; "
        f"{remedy}; for independent runs in one group, guards=False"
    )
