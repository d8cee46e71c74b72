"""Tying layers in mid-run: those that are to share go to their mean, the point nearest to all.

Its inverse is ``swe.transforms.carry.untied``, which gives each layer a copy of what it shared.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from swe.sharing.layout import Layout
from swe.transforms.anatomy import Anatomy
from swe.transforms.carry import FIRST, SECOND
from swe.transforms.transform import Made

AT_ONCE = 2**16
"""Entries that are averaged together in float64: all of a large matrix's layers would be more than
the model."""


def tied(made: Made, anatomy: Anatomy, layout: Layout) -> Made:
    """Return a model with the layers that share by ``layout`` alike; states are their block's.

    Layers that are alike already stay as they are, bit for bit; where others are, the function
    changes. Moments are averaged as weights are; a layer without state has no part in that, and
    step counts are the first one's.
    """
    weights, states = dict(made.weights), dict(made.states)
    for name in anatomy.layer:
        own = [anatomy.name(layer, name) for layer in range(anatomy.depth)]
        held = {one: states.pop(one) for one in own if one in states}
        for block in sorted(set(layout.owner)):
            names = [one for one, owner in zip(own, layout.owner, strict=True) if owner == block]
            weights |= dict.fromkeys(names, _mean([weights[one] for one in names]))
            have = [held[one] for one in names if one in held]
            if have:
                moments = [key for key in (*FIRST, *SECOND) if key in have[0]]
                means = {key: _mean([state[key] for state in have]) for key in moments}
                # The block takes its name from its place in the tied layout.
                states[own[block]] = {**have[0], **means}
    moved = any(
        one is not made.weights[name] and not torch.equal(one, made.weights[name])
        for name, one in weights.items()
    )
    why_not = [made.why_not, "layers that are to share were not alike" if moved else ""]
    return Made(
        weights=weights, states=states, why_not="; ".join(filter(None, why_not)), flops=made.flops
    )


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    first = tensors[0]
    if all(torch.equal(first, other) for other in tensors[1:]):
        return first
    found = torch.empty_like(first, memory_format=torch.contiguous_format)
    parts = [tensor.contiguous().flatten().split(AT_ONCE) for tensor in tensors]
    for to, *own in zip(found.view(-1).split(AT_ONCE), *parts, strict=True):
        to.copy_(torch.stack([one.double() for one in own]).mean(0))
    return found
