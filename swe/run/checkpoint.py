"""Checkpoints: whole or absent, versioned, verified on load, and never a pickle.

A checkpoint is a folder ``step-00000100`` with ``weights.safetensors``, ``optimizer.safetensors``
(of several ranks: a file each, see ``swe.run.shards``) and ``state.json``, which holds the sha256
of the others and of its own content. It is written under a temporary name, flushed, and renamed in
one step by rank 0 after all ranks wrote; older ones are removed only after that. Either kind loads
on any number of ranks. Loading executes nothing: safetensors and JSON carry numbers and text alone.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from swe.base.errors import CheckpointError
from swe.base.files import file_digest, flush, json_digest, read_json, to_json
from swe.sharing.local import is_sharded
from swe.sharing.placement import World
from swe.sharing.unshare import load_optimizer_state, optimizer_state_by_name

FORMAT = "share-then-unshare checkpoint"
VERSION = 2
_TENSOR_FILE = re.compile(r"[\w-][\w.-]{0,99}\.safetensors", re.ASCII)
_TENSOR_FILES = ("weights.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint on disk; ``state`` is what the loop saved beside the tensors."""

    path: Path
    step: int
    state: dict[str, Any]

    @property
    def sharded(self) -> bool:
        """Whether several ranks wrote it, a file each."""
        return not (self.path / _TENSOR_FILES[0]).exists()

    def load_weights(self, model: nn.Module) -> None:
        """Copy the weights into ``model``. CheckpointError names the first tensor that differs."""
        if self.sharded or _is_sharded(model):
            from swe.run import shards

            shards.load_weights(self.path, _weights(model))
            return
        saved = _read(self.path / "weights.safetensors")
        own = _weights(model)
        for name in sorted(saved.keys() | own.keys()):
            have = _describe(own.get(name))
            got = _describe(saved.get(name))
            if have != got:
                raise CheckpointError(
                    f"{self.path}: {name} has shape {got} here and {have} in the model: "
                    "the checkpoint is of another model"
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(saved[name])

    def load_optimizer(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Give ``optimizer`` its per-parameter state back, by parameter name.

        CheckpointError names a state that fits no parameter.
        """
        if self.sharded or _is_sharded(model):
            from swe.run import shards

            shards.load_optimizer(self.path, model, optimizer)
            return
        parameters = dict(model.named_parameters())
        states: dict[str, dict[str, Any]] = {}
        for key, tensor in _read(self.path / "optimizer.safetensors").items():
            name, _, entry = key.rpartition("/")
            parameter = parameters.get(name)
            if (
                parameter is None
                or not tensor.is_floating_point()
                or (tensor.ndim and tensor.shape != parameter.shape)
            ):
                raise CheckpointError(
                    f"{self.path}: optimizer state {key} of shape {tuple(tensor.shape)} fits no "
                    "parameter: the checkpoint is of another model"
                )
            states.setdefault(name, {})[entry] = tensor
        if len({frozenset(state) for state in states.values()}) > 1:
            raise CheckpointError(
                f"{self.path}: optimizer state has not the same entries for all parameters"
            )
        load_optimizer_state(model, optimizer, states)


def _is_sharded(model: nn.Module) -> bool:
    return any(is_sharded(parameter) for parameter in model.parameters())


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "None"
    kind = "" if tensor.dtype == torch.float32 else f" {tensor.dtype}"
    return f"{tuple(tensor.shape)}{kind}"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: is no safetensors file ({error})") from None


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and persistent buffer once, under its first name."""
    kept = model.state_dict().keys()
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items() if name in kept}


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: Optimizer,
    state: Mapping[str, Any],
    *,
    keep: int = 2,
    world: World | None = None,
) -> Path:
    """Write the checkpoint of ``step`` into ``folder`` and keep the newest ``keep``.

    Of several ranks all call it together, in a folder that all see. Raises CheckpointError, on all,
    when it cannot be written; the earlier checkpoints are then untouched.
    """
    world = world or World()
    final = folder / f"step-{step:08d}"
    partial = world.on_first(lambda: folder / f".{final.name}.{os.getpid()}.partial")
    optimizer_tensors = {
        f"{name}/{key}": value.detach().contiguous()
        for name, entries in optimizer_state_by_name(model, optimizer).items()
        for key, value in entries.items()
        if isinstance(value, Tensor)
    }
    weights = {name: tensor.contiguous() for name, tensor in _weights(model).items()}
    tensors = dict(zip(_TENSOR_FILES, (weights, optimizer_tensors), strict=True))

    def finish(digests: Mapping[str, str]) -> None:
        missing = [name for name in digests if not (partial / name).is_file()]
        if missing:
            raise OSError(f"{missing[0]} is not seen by rank 0: the folder must be shared by all")
        head: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "step": step,
            "sha256": dict(digests),
            "state": dict(state),
        }
        head["sha256"]["state.json"] = json_digest(head)
        (partial / "state.json").write_text(to_json(head), encoding="utf-8")
        for path in partial.iterdir():
            flush(path)
        if final.exists():
            shutil.rmtree(final)
        os.replace(partial, final)
        flush(folder)

    try:
        world.on_first(lambda: _make_empty(partial))
        digests = _write(partial, tensors, world)
        world.on_first(lambda: finish(digests))
    except (OSError, SafetensorError, CheckpointError) as error:
        raise CheckpointError(
            f"{final}: could not be written ({error}); earlier checkpoints are untouched"
        ) from error
    finally:
        if world.is_first:
            shutil.rmtree(partial, ignore_errors=True)
    if not world.is_first:
        return final
    # Newer ones, if any, were refused: they must not push out those that were not.
    for old in [path for path in _folders(folder) if path.name < final.name][keep - 1 :]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _write(folder: Path, tensors: Mapping[str, dict[str, Tensor]], world: World) -> dict[str, str]:
    """Write the tensor files into ``folder``; returns {file name: sha256} of all ranks' files."""
    everything = {name: t for group in tensors.values() for name, t in group.items()}
    if world.size == 1 and not any(is_sharded(t) for t in everything.values()):
        for name, group in tensors.items():
            save_file(group, folder / name, metadata={"format": "pt"})
        return {name: file_digest(folder / name) for name in tensors}
    from swe.run import shards

    shards.write(folder, everything)
    own = world.all_or_none(
        lambda: {path.name: file_digest(path) for path in shards.files_of(folder, world.rank)}
    )
    return {name: digest for part in world.gather(own) for name, digest in part.items()}


def remove_unfinished(folder: Path) -> None:
    """Remove what writers killed in ``folder`` left; only for its one writer of the moment."""
    for path in folder.glob(".step-*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def _folders(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first."""
    return sorted(folder.glob("step-*"), reverse=True) if folder.is_dir() else []


def verify(path: Path) -> Checkpoint:
    """Read and check one checkpoint. Raises CheckpointError with the path and what is wrong."""
    try:
        head = read_json(path / "state.json")
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path}: has no state.json: not a checkpoint") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: state.json cannot be read ({error})") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a {FORMAT}")
    if head.get("version") != VERSION:
        version = repr(head.get("version"))[:40]
        raise CheckpointError(f"{path}: format version {version}, this program reads {VERSION}")
    digests, step, state = (head.get(name) for name in ("sha256", "step", "state"))
    if not (isinstance(digests, dict) and isinstance(state, dict) and _is_count(step)):
        raise CheckpointError(f"{path}: state.json lacks sha256, step or state")
    if _own_digest(head) != digests.get("state.json"):
        raise CheckpointError(f"{path}: state.json is changed (sha256 differs)")
    if path.name != f"step-{step:08d}":
        raise CheckpointError(f"{path}: is the checkpoint of update {step}, under another's name")
    files = digests.keys() - {"state.json"}
    stray = {file.name for file in path.glob("*.safetensors")} - files
    if stray or not files:
        raise CheckpointError(f"{path}: state.json has no sha256 of {min(stray, default='files')}")
    for name in sorted(files):
        if not _TENSOR_FILE.fullmatch(name):
            raise CheckpointError(
                f"{path}: state.json names {name[:40]!r}: no file of a checkpoint"
            )
        file = path / name
        if not file.is_file():
            raise CheckpointError(f"{path}: {name} is missing")
        if file_digest(file) != digests.get(name):
            raise CheckpointError(f"{path}: {name} is truncated or changed (sha256 differs)")
    return Checkpoint(path, step, state)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _own_digest(head: Mapping[str, Any]) -> str | None:
    """The sha256 of state.json's content without that sha256; None where it has no JSON form."""
    others = {name: value for name, value in head["sha256"].items() if name != "state.json"}
    try:
        return json_digest({**head, "sha256": others})
    except (ValueError, TypeError, RecursionError):  # NaN, infinity
        return None


def latest(
    folder: Path,
    refused: Callable[[str], None],
    check: Callable[[Checkpoint], object] = lambda found: None,
    world: World | None = None,
) -> Checkpoint | None:
    """Return the newest checkpoint that verifies; each refused one is named through ``refused``.

    ``check`` may refuse more, by CheckpointError. None when the folder holds no checkpoint. Raises
    CheckpointError when it holds some and all are refused: starting over in silence would throw
    the run away. Of several ranks the first looks for all.
    """
    return (world or World()).on_first(lambda: _latest(folder, refused, check))


def _latest(
    folder: Path, refused: Callable[[str], None], check: Callable[[Checkpoint], object]
) -> Checkpoint | None:
    folders = _folders(folder)
    reasons = []
    for path in folders:
        try:
            found = verify(path)
            check(found)
        except CheckpointError as error:
            reasons.append(str(error))
        else:
            for reason in reasons:
                refused(f"{reason}; {path.name} is used instead")
            return found
    for reason in reasons:
        refused(reason)
    if folders:
        raise CheckpointError(
            f"{folder}: none of its {len(folders)} checkpoints can be used: {reasons[0]}"
        )
    return None
