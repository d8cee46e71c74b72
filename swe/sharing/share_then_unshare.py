"""The one place that acts on a schedule: tie at the start, probe, untie, keep gradients right.

It serves the training loop of this package and anybody's own loop alike::

    stack = SharedStack(my_blocks, schedule.start(len(my_blocks)).layout)
    ...
    swe = ShareThenUnshare(model, optimizer, schedule, steps)
    for step in range(steps):
        swe.begin_step(step, lambda: loss_of(model, batch))   # probes; unties when it is time
        loss_of(model, batch).backward()
        swe.finish_gradients()                                # mean of tied gradients; clips
        optimizer.step()
        optimizer.zero_grad()
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.config import from_dict, require, require_count, to_dict
from swe.base.errors import ConfigError, FunctionChangedError
from swe.base.platform import require_device
from swe.sharing.calls import Calls
from swe.sharing.drift import require_one_gradient, several_ranks
from swe.sharing.eager import eagerly
from swe.sharing.event import Event, SweState
from swe.sharing.followable import layers_of, require_followable, require_followable_class
from swe.sharing.followers import Followers, untie_copy
from swe.sharing.gradients import Convention, GradientRule
from swe.sharing.guard import check_split, check_tied
from swe.sharing.layout import Layout
from swe.sharing.optimizers import listed, unheld
from swe.sharing.placement import Parallel
from swe.sharing.schedule import Schedule, ScheduleState
from swe.sharing.seeds import apart, derive_seed
from swe.sharing.stack import Stack, all_stacks, find_stack
from swe.sharing.statistics import GradientStatistics
from swe.sharing.unshare import Handover, Moments, renew
from swe.sharing.untouched import untouched


def prepare(stack: Stack, schedule: Schedule) -> ScheduleState:
    """Bring a freshly built stack to the schedule's start, in place; build the optimiser after it.

    An untied stack is tied (the first unit's blocks stay) or, for an equal start, equalised.
    Raises ConfigError when the unit does not divide the depth, or for a stack that is tied in
    another way already.
    """
    state = schedule.start(stack.layout.depth)
    stack.retie(state.layout)
    if schedule.equal_start:
        stack.equalise()
    return state


class ShareThenUnshare:
    """Drive one model's SharedStack through a schedule of ``steps`` updates.

    Algorithm 1 of Yang et al., arXiv 2110.03848: tied layers move by the mean of their gradients
    (``convention``), and each by its own once the schedule has untied it. Several optimisers may
    train one model, each parameter held by one of them.

    Raises ConfigError at once when the schedule does not fit the stack, when the stack is not in
    the schedule's starting layout (see :func:`prepare`), for a model that is neither on the CPU
    nor on CUDA, for optimisers that cannot follow an untie, and for ``rescale`` with one that has
    no second moments. ``resume`` is what :meth:`to_json` gave, for a stack that is in the saved
    layout already; otherwise see :meth:`restore`.
    ``parallel`` says how the model lies on several ranks; a change of layout may then replace
    ``model`` and ``stack``. ``guards`` False leaves out the checks of :mod:`swe.sharing.guard`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        schedule: Schedule,
        steps: int,
        *,
        convention: Convention = "mean",
        clip_norm: float | None = None,
        moments: Moments = "copy",
        resume: Mapping[str, Any] | None = None,
        parallel: Parallel | None = None,
        guards: bool = True,
    ) -> None:
        for kind in sorted({parameter.device.type for parameter in model.parameters()}):
            require_device(kind, "the model's device")
        self.parallel = parallel or Parallel()
        self.model, self.schedule, self.steps = model, schedule, steps
        self.optimizers = listed(optimizer)
        self.convention, self.clip_norm, self.moments = convention, clip_norm, moments
        _, self.stack = find_stack(model)
        schedule.validate(self.stack.layout.depth, steps)
        earlier = None if resume is None else from_dict(SweState, resume, where="resume.")
        self.state = earlier.schedule if earlier else schedule.start(self.stack.layout.depth)
        if self.stack.layout != self.state.layout:
            raise ConfigError(
                f"stack: its layout is {self.stack.layout}, the schedule {schedule.kind} starts "
                f"from {self.state.layout}; call prepare(stack, schedule) before the optimiser"
            )
        require_followable(self.optimizers, layers_of(self.model))
        require_followable_class(self.optimizers, layers_of(self.model), moments)
        self._idle = unheld(self.model, self.optimizers)
        self._checked = False
        self.followers = Followers(model)
        self.calls = Calls(self.optimizers)
        self._renew_rule()
        self.statistics: GradientStatistics | None = None
        self.probes, self.begun = (earlier.probes, earlier.begun) if earlier else (0, -1)
        self._guards = guards and self.parallel.mode == "none"
        self._unchecked = self._guards
        self._layout_checked: Layout | None = None

    @property
    def optimizer(self) -> Optimizer:
        """The one optimiser. Raises ConfigError where there are several: see ``optimizers``."""
        if len(self.optimizers) > 1:
            raise ConfigError(f"optimizer: there are {len(self.optimizers)}; take swe.optimizers")
        return self.optimizers[0]

    def follow(self, *copies: nn.Module | dict[str, Tensor] | list[Tensor]) -> None:
        """Untie these copies of the model, too, whenever it is untied: see ``swe.untie_copy``.

        Averages (EMA, SWA), momentum teachers, torch's AveragedModel. Raises ConfigError for a
        copy that is not tied as the model is.
        """
        self.followers.add(self.model, *copies)

    def untie_copy(self, event: Event, copied: nn.Module) -> None:
        """Untie one copy that does not follow, after an untie: as ``swe.untie_copy``."""
        untie_copy(event, copied)

    def begin_step(
        self, step: int, loss: Callable[[], Tensor], *, measure: bool = False
    ) -> Event | None:
        """Probe if the schedule (or ``measure``) asks for it; untie or split if it is time.

        ``loss`` runs the model on a held batch; it is called for a probe, for the check that an
        untie changes nothing, and for the guards, at the first call and after a split. It may draw
        random numbers, but no new batch. Returns the event, or None when the layout stays; the
        probe of this step, if any, is then in ``self.statistics``. A step is decided once: calling
        again for the same step, as a resumed run may, does nothing.

        Raises FunctionChangedError when the held batch's loss is not the same, bit for bit, after
        the change, or a new block gets no gradient; and at the first call ConfigError for layers
        that do not compute or learn as copies of one another (:mod:`swe.sharing.guard`); and later
        ConfigError when an optimiser stepped without :meth:`finish_gradients` since the last call,
        when a parameter has become trainable that no optimiser holds, or for an optimiser whose
        first update showed that it cannot follow an untie.
        """
        if self._unchecked:
            check_tied(self.model, all_stacks(self.model), loss)
            self._unchecked = False
        if step <= self.begun:  # decided before the checkpoint that this run resumed from
            self.statistics = None
            return None
        self._require_order(step)
        self.begun = step
        due = self.schedule.wants_correlations(self.state, step)
        self.statistics = statistics = self.measure(loss, step) if due or measure else None
        correlations = statistics.correlations if statistics and due else None
        decided = self.schedule.decide(self.state, step, self.steps, correlations)
        before = self.state.layout
        if decided.layout == before:
            self.state = decided
            if not self.schedule.renews(step, self.steps):
                return None
            held = self._held_loss(loss)
            renew(self.model, self.optimizers, moments=self.moments)
            return Event(step, before, before, self._global(held), correlations)
        if statistics is None and self.moments == "rescale":
            statistics = self.measure(loss, step)
        held = self._held_loss(loss)
        self._unshare(decided.layout, self.moments, statistics)
        self.state = decided
        now = self._held_loss(loss)
        if self.parallel.world.any(not torch.equal(held, now)):
            raise FunctionChangedError(
                f"untie before step {step}: the held batch's loss went from {held.item()!r} to "
                f"{now.item()!r}"
            )
        notes: tuple[str, ...] = ()
        if self._guards:
            prefix = find_stack(self.model)[0]
            notes = check_split(self.model, all_stacks(self.model), loss, {prefix: before})
        return Event(step, before, decided.layout, self._global(held), correlations, notes)

    def _global(self, loss: Tensor) -> float:
        return self.parallel.world.mean(loss).item()

    def _unshare(
        self, layout: Layout, moments: Moments, statistics: GradientStatistics | None
    ) -> None:
        handover = Handover(moments=moments, statistics=statistics, convention=self.convention)
        require_followable(self.optimizers, layers_of(self.model), moments)
        before = self.followers.before_untie(self.model)
        self.model = self.parallel.unshare(self.model, self.optimizers, layout, handover)
        _, self.stack = find_stack(self.model)
        self._renew_rule()
        self.followers.untie(self.model, before)

    def _renew_rule(self) -> None:
        self.rule = GradientRule(self.model, self.convention, self.clip_norm)
        self.calls.shared = self.rule.shared
        self._trainable: list[bool] = []

    def _require_order(self, step: int) -> None:
        """Raise ConfigError for what the last update shows to be wrong, before it goes on."""
        self.calls.begin(step)
        self._require_held()
        if self.calls.updated and not self._checked:
            self._checked = True  # an optimiser's buffers are there since the first update
            require_followable(self.optimizers, layers_of(self.model), self.moments)

    def _require_held(self) -> None:
        trainable = [p.requires_grad for p in self.rule.parameters]
        if trainable == self._trainable:  # looked at already
            return
        for name in sorted(unheld(self.model, self.optimizers) - self._idle):
            raise ConfigError(
                f"optimizer: {name} is trainable now, but no optimizer holds it; give it to one "
                "(optimizer.add_param_group), or set requires_grad to False"
            )
        self._trainable = trainable

    def measure(self, loss: Callable[[], Tensor], step: int) -> GradientStatistics:
        """Probe the repeats' own gradients (one forward and backward pass)."""
        self.probes += 1
        seed = derive_seed("probe", step, *self.parallel.world.salt)
        with self._traceless():
            return self.parallel.probe(self.model, loss, seed)

    def _traceless(self) -> AbstractContextManager[None]:
        """What wraps a model on several ranks has state that must not be put back."""
        return untouched(self.model) if self.parallel.mode == "none" else nullcontext()

    def finish_gradients(self) -> Tensor:
        """Apply the convention and clipping to ``.grad``; returns the norm before clipping.

        Once for an update, after its last backward pass, before the optimisers' steps and, with a
        ``GradScaler``, after ``scaler.unscale_(optimizer)`` of each. Raises ConfigError when called
        again on the same gradients, on scaled ones that it would clip, or when a parameter has
        become trainable that no optimiser holds; RanksDifferError at the first update, or the first
        after an untie, whose gradients are not the same on all ranks (:mod:`swe.sharing.drift`).
        """
        self._require_held()
        self.calls.require_unfinished()
        norm = self.rule.apply()
        self.calls.finished(clipped=self.clip_norm is not None)
        if self._guards and self._layout_checked != self.stack.layout and several_ranks():
            require_one_gradient(norm, untied=self._layout_checked is not None)
        self._layout_checked = self.stack.layout
        self.followers.find_left_behind(self.model)
        return norm

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state: the stack is split to its layout, the optimiser follows.

        Weights and optimiser state are to be loaded afterwards, by name. ConfigError for anything
        that :meth:`to_json` cannot have returned for this stack.
        """
        self.take_over(from_dict(SweState, state, where="swe."))

    def take_over(self, state: SweState) -> None:
        """As :meth:`restore`, of a state that was read already."""
        require_count("swe.begun", state.begun, -1, self.steps)
        restored = state.schedule
        boundaries = self.stack.layout.repeats - 1
        counters = len(restored.low_checks)
        require(
            counters in (0, 1, boundaries),
            "swe.schedule.low_checks",
            counters,
            f"0, 1 or {boundaries} counters",
        )
        if restored.layout != self.stack.layout:
            self._unshare(restored.layout, "copy", None)
        self.state = restored
        self.probes, self.begun = state.probes, state.begun

    def to_json(self) -> dict[str, Any]:
        """Return the JSON-able state that :meth:`restore` takes."""
        return to_dict(self.saved())

    def saved(self) -> SweState:
        """Return the state that :meth:`take_over` takes."""
        return SweState(schedule=self.state, probes=self.probes, begun=self.begun)

    def _held_loss(self, loss: Callable[[], Tensor]) -> Tensor:
        with torch.no_grad(), apart(0), eagerly(), self._traceless(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "None of the inputs have requires_grad")
            value = loss().detach()
        self.parallel.settle(self.model)
        return value
