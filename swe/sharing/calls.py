"""The order of a user's calls, where a wrong one can be told with certainty.

Between two ``begin_step`` there are backward passes, one ``finish_gradients``, then the optimisers'
steps. Three mistakes change the updates in silence, and each leaves a sure sign:

- ``finish_gradients`` twice on the same gradients divides by the number of uses twice. Every write
  to a tensor raises its version: gradients that are the same objects, with at most one write since,
  were finished already. (Zeroing and one backward pass are two writes; several backward passes on
  top of finished gradients cannot be told from that, and pass.)
- an optimiser stepped since ``begin_step`` on tied gradients, and ``finish_gradients`` was not
  called: the step was along the sum. Only the optimiser's own hook says that it stepped: a skipped
  update, a probe or weights that are loaded are no step. Told at the next ``begin_step``.
- clipping gradients that a ``GradScaler`` multiplied, and a step of that scaler: told before the
  step is made, from the second one on. (A scaler is known by its first step, which cannot be told
  from one whose gradients the user changed after clipping.)
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.local import local
from swe.sharing.optimizers import family


class Calls:
    """Watches the optimisers of one run; the run keeps it alive, they do not."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.shared: Sequence[nn.Parameter] = ()
        """What ``finish_gradients`` divides in the present layout."""
        self.updated = False
        """Has an update been made, as far as can be told?"""
        self._begun = self._finished = self._summed = False
        self._left: list[tuple[weakref.ref[Tensor], int]] = []
        self._scaler: weakref.ref[GradScaler] | None = None
        self._clipped_scaled = False
        self._members = [member for optimizer in optimizers for member in family(optimizer)]
        hooked = [m for m in self._members if "_optimizer_step_post_hooks" in vars(m)]
        self._tells = bool(hooked)  # a wrapper may do without torch's hooks
        for member in hooked:
            member.register_step_pre_hook(_hook(weakref.WeakMethod(self._before_step)))
            member.register_step_post_hook(_hook(weakref.WeakMethod(self._after_step)))

    def begin(self, step: int) -> None:
        """A step begins. Raises ConfigError where an optimiser stepped along the sum before."""
        summed = self._summed
        self.updated |= self._begun and not self._tells
        self._begun, self._finished, self._summed, self._left = True, False, False, []
        if summed:
            raise ConfigError(
                f"begin_step({step}): the optimizer has stepped without finish_gradients, so tied "
                "layers moved by the sum of their gradients; call finish_gradients before "
                "optimizer.step (convention='sum' leaves the sum)"
            )

    def require_unfinished(self) -> None:
        """Raise ConfigError for gradients that :meth:`finished` had already."""
        if self._were_finished():
            raise ConfigError(
                "finish_gradients: called again on gradients that it has divided already; call it "
                "once for an update, after the last backward pass"
            )

    def finished(self, *, clipped: bool) -> None:
        """Gradients are the mean now, and ``clipped``."""
        self._finished = True
        self._clipped_scaled = clipped and self._are_scaled()
        gradients = [p.grad for p in self.shared if p.grad is not None]
        self._left = [(weakref.ref(g), local(g)._version) for g in gradients]

    def _were_finished(self) -> bool:
        now = [p.grad for p in self.shared if p.grad is not None]
        if not self._left or len(now) != len(self._left):
            return False
        same = all(g is known() for g, (known, _) in zip(now, self._left, strict=True))
        if not same:
            return False
        writes = [local(g)._version - v for g, (_, v) in zip(now, self._left, strict=True)]
        return max(writes) == 0 or (
            # One write may have been zeroing alone: nothing to divide then.
            max(writes) == 1 and any(bool(local(g).ne(0).any()) for g in now if not g.is_sparse)
        )

    def _are_scaled(self) -> bool:
        """Has the known scaler not unscaled these gradients, should it have scaled them?"""
        scaler = self._scaler() if self._scaler else None
        if scaler is None or not scaler.is_enabled():
            return False
        states = getattr(scaler, "_per_optimizer_states", {})
        stages = [states[id(m)].get("stage") for m in self._members if id(m) in states]
        return all(getattr(stage, "name", "") == "READY" for stage in stages)

    def _before_step(self) -> None:
        known = self._scaler() if self._scaler else None
        if known is not None and not self._clipped_scaled:
            return
        scaler = _calling_scaler(sys._getframe(2))
        if scaler is not None and scaler is known and scaler.get_scale() != 1.0:
            raise ConfigError(
                "finish_gradients: clipped gradients that the GradScaler had multiplied; call "
                "scaler.unscale_(optimizer) before it"
            )
        self._scaler = None if scaler is None else weakref.ref(scaler)

    def _after_step(self) -> None:
        self.updated = True
        if self._begun and not self._finished:
            self._summed |= any(p.grad is not None for p in self.shared)


def _hook(method: weakref.WeakMethod[Callable[[], None]]) -> Callable[..., None]:
    def at_step(*_: Any) -> None:
        call = method()
        if call is not None:
            call()

    return at_step


def _calling_scaler(frame: FrameType | None) -> GradScaler | None:
    """Return the scaler within whose ``step`` this is."""
    for _ in range(12):
        if frame is None:
            break
        if frame.f_code.co_name == "step":
            owner = frame.f_locals.get("self")
            if isinstance(owner, GradScaler):
                return owner
        frame = frame.f_back
    return None
