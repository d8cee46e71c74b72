"""Share-then-unshare under the transformers ``Trainer``: one call on a trainer before it trains.

::

    trainer = Trainer(model=model, args=args, train_dataset=data)
    swe = share_then_unshare(trainer, "bert.encoder.layer", SweFixed(until=0.1), held_batch)
    trainer.train()                       # or train(resume_from_checkpoint=True)

The layers are tied just after the trainer has built its optimiser (by ``create_optimizer`` or an
override of it), which is after it has loaded a checkpoint to resume from; ``trainer_state.json``
carries the schedule's state. Gradients become the mean over uses in ``on_pre_optimizer_step``. The
Trainer would clip before that, by the norm of the sums, so
``max_grad_norm`` is taken over: clipping is done here, by the untied-equivalent norm. (The
``grad_norm`` that the Trainer logs is of the sums, before clipping.)

One process on one device, as accelerate's wrappers would keep synchronising the tied parameters
alone after the untie. Under ``bf16`` the uses' gradients are summed in bfloat16 by autocast's
weight cache. The package is optional: ``pip install 'share-then-unshare[hf]'``.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import ConfigError
from swe.sharing.adopt import adopt
from swe.sharing.event import Event
from swe.sharing.places import Where
from swe.sharing.schedule import Schedule
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.statistics import finite_or_none

try:
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState
    from transformers.trainer_callback import ExportableState
except ImportError as error:
    raise ImportError(
        f"swe.sharing.huggingface needs transformers and accelerate ({error}): "
        "pip install 'share-then-unshare[hf]'"
    ) from error


OPTIONS = frozenset(inspect.getfullargspec(adopt).kwonlyargs) - {"clip_norm", "resume"}
"""What ``adopt`` takes by name and the Trainer does not say itself."""


def share_then_unshare(
    trainer: Trainer,
    where: Where,
    schedule: Schedule,
    held: Mapping[str, Tensor],
    **options: Any,
) -> ShareThenUnshareCallback:
    """Have ``trainer`` tie the layers at ``where`` and untie them by ``schedule``.

    ``where`` names a list of layers in ``trainer.model`` ("bert.encoder.layer"; for ALBERT see
    :func:`spread_albert`), or several. ``held`` is one collated batch with labels, for probes,
    guards and the check that an untie changes nothing. A trainer made with an optimiser of its own
    may keep it. ``options`` are those of :func:`swe.sharing.adopt.adopt` (``convention``,
    ``moments``, ``layers``, ``per_layer``, ``ignore``, ``guards``, ``followers``); clipping is the
    trainer's ``max_grad_norm``.

    Raises ConfigError for what ``adopt`` refuses, when training begins, and at once for a trainer
    that this cannot drive: several processes or devices, FSDP, DeepSpeed, ``fp16`` (whose scaled
    gradients cannot be clipped here), ``auto_find_batch_size``; and for unknown options.
    """
    unknown = options.keys() - OPTIONS
    if unknown:
        raise ConfigError(
            f"{', '.join(sorted(unknown))}: no option here; known are {', '.join(sorted(OPTIONS))}"
        )
    args = trainer.args
    for name, bad in (
        ("world_size", args.world_size > 1),
        ("n_gpu", args.n_gpu > 1),
        ("fsdp", bool(trainer.is_fsdp_enabled)),
        ("deepspeed", bool(trainer.is_deepspeed_enabled)),
        ("fp16", args.fp16),
        ("auto_find_batch_size", args.auto_find_batch_size),
    ):
        if bad:
            raise ConfigError(
                f"{name} = {getattr(args, name)!r}: the Trainer callback runs in one process on "
                "one device, in float32 or bf16, with a batch size that is given"
            )
    callback = ShareThenUnshareCallback()
    callback._plan = _Plan(trainer, where, schedule, held, options, args.max_grad_norm)
    build = trainer.create_optimizer

    def create_optimizer(*given: Any, **named: Any) -> Optimizer:
        return callback._tie(lambda: build(*given, **named))

    # The one moment after loading a checkpoint and before the first step; no event marks it.
    trainer.create_optimizer = create_optimizer
    trainer.add_callback(callback)
    return callback


@dataclasses.dataclass(frozen=True)
class _Plan:
    trainer: Trainer
    where: Where
    schedule: Schedule
    held: Mapping[str, Tensor]
    options: Mapping[str, Any]
    max_grad_norm: float


class ShareThenUnshareCallback(TrainerCallback, ExportableState):
    """Drives a schedule through a Trainer's events; made by :func:`share_then_unshare`.

    Attributes:
        swe: the runner, None before training begins.
        events: one record a change of layout, as in our run folders; kept across resumes.
        saved: state of the schedule, as it goes into ``trainer_state.json``.
    """

    def __init__(self) -> None:
        self._plan: _Plan | None = None
        self.swe: ShareThenUnshare | None = None
        self.events: list[dict[str, Any]] = []
        self.saved: dict[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Return what the Trainer keeps in its checkpoints."""
        saved = self.saved if self.swe is None else self.swe.to_json()
        return {"args": {}, "attributes": {"saved": saved, "events": list(self.events)}}

    def _tie(self, build: Any) -> Optimizer:
        """Tie the model as the checkpoint (or the schedule's start) says, then build."""
        plan = self._require_plan()
        trainer = plan.trainer
        if self.swe is not None:
            raise ConfigError("trainer: has trained already; make a new model and a new Trainer")
        # Where the Trainer restores callbacks itself, it has put an empty one in our place.
        trainer.remove_callback(ShareThenUnshareCallback)
        trainer.add_callback(self)
        kept = (trainer.state.stateful_callbacks or {}).get(type(self).__name__)
        kept = kept[-1] if isinstance(kept, list) else kept
        self.saved, self.events = None, []
        if trainer.state.global_step > 0:
            if not kept or not kept["attributes"]["saved"]:
                raise ConfigError(
                    "checkpoint: its trainer_state.json has no state of the schedule; it was "
                    "written without this callback"
                )
            self.saved, self.events = kept["attributes"]["saved"], kept["attributes"]["events"]
        model: nn.Module = trainer.model
        # Built before the layers are tied, from the names of all of them: a create_optimizer of the
        # user's may give each layer its own rate, which tied ones cannot have.
        optimizer: Optimizer = build()
        self.swe = adopt(
            model,
            plan.where,
            plan.schedule,
            optimizer,
            trainer.state.max_steps,
            clip_norm=plan.max_grad_norm or None,
            resume=self.saved,
            **plan.options,
        )
        return optimizer

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Take over clipping."""
        self._require_plan()
        args.max_grad_norm = 0.0

    def on_step_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Probe and untie when it is time."""
        plan, swe = self._require_plan(), self._require_swe()
        model = plan.trainer.model
        held = {name: tensor.to(args.device) for name, tensor in plan.held.items()}

        def loss() -> Tensor:
            with plan.trainer.compute_loss_context_manager():
                out: Tensor = plan.trainer.compute_loss(model, dict(held))
            return out

        model.train()
        event = swe.begin_step(state.global_step, loss)
        if event is not None:
            self.events.append(_record(event))
            plan.trainer.log(
                {"swe_blocks": float(event.after.block_count), "swe_held_loss": event.loss}
            )

    def on_pre_optimizer_step(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Turn the sums over uses into means, and clip."""
        self._require_swe().finish_gradients()

    def on_train_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave the arguments as they were given."""
        args.max_grad_norm = self._require_plan().max_grad_norm

    def _require_plan(self) -> _Plan:
        if self._plan is None:
            raise ConfigError(
                "callback: has no trainer; make it by share_then_unshare(trainer, ...)"
            )
        return self._plan

    def _require_swe(self) -> ShareThenUnshare:
        if self.swe is None:
            raise ConfigError("callback: training has not begun")
        return self.swe


def _record(event: Event) -> dict[str, Any]:
    correlations = event.correlations
    return {
        "step": event.step,
        "before": str(event.before),
        "after": str(event.after),
        "groups": list(event.after.groups),
        "held_loss": event.loss,
        "correlations": None if correlations is None else [finite_or_none(c) for c in correlations],
    }


def spread_albert(model: nn.Module) -> str:
    """Write an ALBERT's sharing out: a list with one place a repeat, the same group at many.

    ALBERT holds one group and loops over a count. Here the list gets ``num_hidden_layers`` places
    and the model's config says ``num_hidden_groups`` = that, so the same forward runs the same
    function, and :func:`swe.sharing.adopt.adopt` can untie it. Returns the list's name. The untied
    model is an ordinary ALBERT with as many groups as layers. Raises ConfigError for other models.
    """
    for name, module in model.named_modules():
        groups = getattr(module, "albert_layer_groups", None)
        if isinstance(groups, nn.ModuleList):
            config: Any = module.config
            depth, count = config.num_hidden_layers, config.num_hidden_groups
            places = [groups[int(i / (depth / count))] for i in range(depth)]
            groups._modules.clear()
            groups.extend(places)
            config.num_hidden_groups = depth
            return f"{name}.albert_layer_groups".lstrip(".")
    raise ConfigError(f"model: a {type(model).__name__} has no albert_layer_groups")
