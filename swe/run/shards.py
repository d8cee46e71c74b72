"""Checkpoint files of several ranks, by torch.distributed.checkpoint, readable by any number.

Each rank writes one safetensors file with its part: its slices under FSDP, its share of the whole
tensors where all ranks hold the same. The library's own container for that is used, not its default
one, whose index is a pickle: here a slice's place in the whole stands as JSON in the safetensors
header, and a file without it (as one process writes them) holds whole tensors. So every checkpoint
loads on any number of ranks, sharded or not, and loading executes nothing. Weights are stored under
their names, the optimiser's state under "name/entry".
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.optim import Optimizer

from swe.base.errors import CheckpointError
from swe.sharing.unshare import load_optimizer_state

Description = tuple[tuple[int, ...], torch.dtype]


def write(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write this rank's part of ``tensors`` into ``folder``, flushed. All ranks call it together.

    Raises CheckpointError on all ranks when any of them cannot write.
    """
    logging.getLogger("torch.distributed.checkpoint").setLevel(logging.ERROR)
    with _as_checkpoint_error(folder):
        state_dict_saver.save(
            dict(tensors),
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
        )


def files_of(folder: Path, rank: int) -> list[Path]:
    """Return the files that ``rank`` wrote by :func:`write`."""
    return sorted(folder.glob(f"shard-{rank + 1:05d}-*.safetensors"))


def load_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    """Fill the named ``tensors``, whole or sharded, in place. All ranks call it together.

    CheckpointError names the first tensor that is missing here or there, or of another shape.
    """
    saved = {name: what for name, what in described(path).items() if "/" not in name}
    own = {name: (tuple(t.shape), t.dtype) for name, t in tensors.items()}
    for name in sorted(saved.keys() | own.keys()):
        if saved.get(name) != own.get(name):
            raise CheckpointError(
                f"{path}: {name} has shape {_text(saved.get(name))} here and "
                f"{_text(own.get(name))} in the model: the checkpoint is of another model"
            )
    read(path, tensors)


def load_optimizer(path: Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Give ``optimizer`` its state back by parameter name, sharded as the parameters are.

    CheckpointError names a state that fits no parameter. All ranks call it together.
    """
    parameters = dict(model.named_parameters())
    wanted: dict[str, Tensor] = {}
    for key, (shape, dtype) in described(path).items():
        name, slash, _ = key.rpartition("/")
        if not slash:
            continue
        parameter = parameters.get(name)
        if parameter is None or (shape and shape != tuple(parameter.shape)):
            raise CheckpointError(
                f"{path}: optimizer state {key} of shape {shape} fits no parameter: the "
                "checkpoint is of another model"
            )
        wanted[key] = (
            torch.empty_like(parameter, dtype=dtype, requires_grad=False)
            if shape
            else torch.empty((), dtype=dtype)
        )
    read(path, wanted)
    states: dict[str, dict[str, Any]] = {}
    for key, tensor in wanted.items():
        name, _, entry = key.rpartition("/")
        states.setdefault(name, {})[entry] = tensor
    load_optimizer_state(model, optimizer, states)


def described(path: Path) -> dict[str, Description]:
    """Return {name: (shape, dtype)} of the whole tensors, from the files' headers."""
    with _as_checkpoint_error(path):
        found = HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    described = {}
    for name, entry in found.items():
        assert isinstance(entry, TensorStorageMetadata)
        described[name] = (tuple(entry.size), entry.properties.dtype)
    return described


def read(path: Path, tensors: dict[str, Tensor]) -> None:
    """Fill stored ``tensors``, of their right shapes, in place, each rank what it holds."""
    if not tensors:
        return
    with _as_checkpoint_error(path), warnings.catch_warnings():
        # One process is what is meant: the library says so each time.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        state_dict_loader.load(
            dict(tensors),
            storage_reader=HuggingFaceStorageReader(str(path)),
            no_dist=not dist.is_initialized(),
        )


@contextmanager
def _as_checkpoint_error(path: Path) -> Iterator[None]:
    """One line for what the library raises: its own exception lists every rank's trace."""
    try:
        yield
    except CheckpointException as error:
        rank, (cause, _) = next(iter(error.failures.items()))
        raise CheckpointError(f"{path}: rank {rank}: {type(cause).__name__}: {cause}") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: is no safetensors checkpoint ({error})") from None


def _text(description: Description | None) -> str:
    if description is None:
        return "None"
    shape, dtype = description
    return f"{shape}" if dtype == torch.float32 else f"{shape} {dtype}"
