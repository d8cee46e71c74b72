"""Growing a model: more layers, more units, or both, as lines from its tensors to the large one's.

A way to choose each layer's origin (``swe.transforms.depth``) with a way to choose each unit's
(``swe.transforms.width``). Pure: from two anatomies and a generator to lines; no module, no device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Generator

from swe.base.config import require
from swe.base.errors import ConfigError
from swe.transforms.anatomy import Anatomy, require_growth
from swe.transforms.carry import Carry, grown_state, grown_weights
from swe.transforms.depth import DEPTHS, Origins
from swe.transforms.maps import Copies, Dense, Line, Term
from swe.transforms.transform import Given, Made, Transform
from swe.transforms.width import WIDTHS, Widening


@dataclass(frozen=True)
class Grown:
    """What a growth makes of a model: every parameter's line, and whether its function stays.

    ``why_not``: "" where the large model computes the small one's function, to rounding. ``eps``:
    by spaces, what the epsilon of their LayerNorms has to be multiplied by for that, as it is no
    weight; spaces without an entry keep it.
    """

    lines: Mapping[str, Line]
    why_not: str
    eps: Mapping[str, float] = field(default_factory=dict)

    @property
    def preserves(self) -> bool:
        """Whether the function stays."""
        return not self.why_not

    def made(self, given: Given) -> Made:
        """Return what the lines make of a model; an epsilon that would have to change changes it.

        ConfigError as ``swe.transforms.carry``.
        """
        eps = "LayerNorm keeps its epsilon, which is no weight" if self.eps else ""
        return Made(
            weights=grown_weights(self.lines, given.weights, given.shapes),
            states=grown_state(self.lines, given.states, given.carry),
            why_not="; ".join(filter(None, (self.why_not, eps))),
        )


@dataclass(frozen=True, kw_only=True)
class Growth(Transform):
    """A way to grow, by the names of :data:`METHODS` or of the two ways. ConfigError for others."""

    kind: ClassVar[str] = "growth"

    depth: str = "stack"
    """One of swe.transforms.depth.DEPTHS."""
    width: str = "fpi"
    """One of swe.transforms.width.WIDTHS."""

    def __post_init__(self) -> None:
        require(self.depth in DEPTHS, "depth", self.depth, f"one of {', '.join(DEPTHS)}")
        require(self.width in WIDTHS, "width", self.width, f"one of {', '.join(WIDTHS)}")

    def require(self, old: Anatomy, new: Anatomy, carry: Carry, generator: Generator) -> None:
        """Refuse what :meth:`plan` does."""
        self.plan(old, new, generator)

    def apply(self, given: Given) -> Made:
        """Grow weights and moments by the plan."""
        return self.plan(given.old, given.new, given.generator).made(given)

    def plan(self, old: Anatomy, new: Anatomy, generator: Generator) -> Grown:
        """Return the lines from ``old`` to ``new``. ConfigError where the method cannot do it."""
        require_growth(old, new)
        origins = DEPTHS[self.depth](old.depth, new.depth)
        if not all(origins.active) and not old.ends:
            raise ConfigError(
                f"depth = {self.depth!r}: new layers must do nothing, and none of this model can "
                "(its anatomy has no ends); grow with depth = 'stack'"
            )
        return assembled(old, new, origins, WIDTHS[self.width](old, new, generator))


def assembled(old: Anatomy, new: Anatomy, origins: Origins, widening: Widening) -> Grown:
    """Return the lines of a choice of layers with a choice of units.

    A layer that does nothing still passes the LayerNorms on its stream. LN of what has mean 0 and
    variance 1 is the same again, to the share that epsilon has of 1, if its own weight is 1 and its
    bias 0: so what is handed on to such a layer is normalised and no more, and the old layer's last
    weight and bias are those of the last of its copies. What is 1 and 0 begins without moments.
    """
    lines: dict[str, Line] = {
        name: (Term(name, tuple(map(widening.of, axes))),) for name, axes in old.rest.items()
    }
    for layer, active in enumerate(origins.active):
        fixed = {} if active else dict.fromkeys(old.ends, 0.0)
        handed_on = not all(origins.active[layer + 1 : layer + 2])
        inner = () if active else old.norms[:-1]
        for weight, bias in (*inner, *(old.norms[-1:] if handed_on else ())):
            fixed |= {weight: 1.0, bias: 0.0}
        for name, axes in old.layer.items():
            terms = widening.terms(origins.parents[layer], old.depth, axes)
            lines[new.name(layer, name)] = tuple(
                _constant(old.name(parent, name), maps, fixed[name] / len(terms))
                if name in fixed
                else Term(old.name(parent, name), maps)
                for parent, maps in terms
            )
    return Grown(lines, _why_not(origins, widening), widening.eps)


METHODS: dict[str, Growth] = {
    "stacking": Growth(depth="stack"),
    "interpolation": Growth(depth="interpolate"),
    "identity": Growth(depth="identity"),
    "net2net": Growth(depth="identity", width="net2net"),
    "fpi": Growth(depth="stack", width="fpi"),
    "aki": Growth(depth="stack", width="aki"),
    "lemon": Growth(depth="identity", width="lemon"),
}
"""By the names of their papers: Gong et al. 2019 (progressive stacking) and G_stack (Du et al.,
arXiv 2405.15319); interpolation (Chang et al., arXiv 1710.10348); identity growth (Shen et al.,
arXiv 2203.06211); Net2Net (arXiv 1511.05641); bert2BERT's two initialisations, each with its depth
by stacking (Chen et al., arXiv 2110.07143); LEMON, width and depth (Wang et al., arXiv
2310.07999)."""


def _constant(parent: str, maps: tuple[Copies | Dense | None, ...], value: float) -> Term:
    """Return a tensor of the shape that the parent grows to, with one value in each entry."""
    return Term(parent, maps, scale=0.0, dual=0.0, plus=value)


def _why_not(origins: Origins, widening: Widening) -> str:
    return "; ".join(part for part in (origins.why_not, widening.why_not) if part)
