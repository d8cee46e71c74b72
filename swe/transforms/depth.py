"""Which old layer each layer of a deeper stack begins as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Origins:
    """``parents`` (new,): the old layer that each new one copies; ``active`` (new,): whether it
    acts from the start, or has its branches' ends at zero; ``why_not``: why the function changes,
    "" where it does not."""

    parents: tuple[int, ...]
    active: tuple[bool, ...]
    why_not: str = ""


CHANGED = "every layer is run more than once"


def stacked(old: int, new: int) -> Origins:
    """Put the whole stack on itself, and its top layers on that for what is left over.

    Gong et al., Efficient training of BERT by progressively stacking, ICML 2019; the rest by the
    top layers as Chen et al., arXiv 2110.07143, Algorithm 1. Below the new layers nothing changes.
    """
    whole, rest = divmod(new, old)
    parents = (*(tuple(range(old)) * whole), *range(old - rest, old))
    return Origins(parents, (True,) * new, "" if new == old else CHANGED)


def interpolated(old: int, new: int) -> Origins:
    """Repeat each layer in its place, as evenly as goes (Chang et al., arXiv 1710.10348)."""
    parents = tuple(layer * old // new for layer in range(new))
    return Origins(parents, (True,) * new, "" if new == old else CHANGED)


def with_identities(old: int, new: int) -> Origins:
    """Repeat each layer in its place; all but the first of each do nothing at the start.

    Their last projections are zero, so each adds nothing to the residual stream, and gradients
    reach those projections alone until they have moved (Evci et al., arXiv 2201.05125; LEMON, Wang
    et al., arXiv 2310.07999, Section 4). A LayerNorm on the stream (Post-LN) is passed as
    ``swe.transforms.growth.assembled`` has it, which is ours.
    """
    parents = interpolated(old, new).parents
    active = tuple(layer == 0 or parents[layer - 1] != p for layer, p in enumerate(parents))
    return Origins(parents, active)


DEPTHS: dict[str, Callable[[int, int], Origins]] = {
    "stack": stacked,
    "interpolate": interpolated,
    "identity": with_identities,
}
