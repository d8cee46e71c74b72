"""This rank's part of a tensor that may be spread over ranks (a DTensor), without gathering it."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether ``tensor`` is a DTensor. By its method: importing the class takes seconds."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """Return this rank's shard of a DTensor, sharing its storage; any other tensor itself."""
    whole: Any = tensor
    part: Tensor = whole.to_local() if is_sharded(tensor) else tensor
    return part
