"""Compiled code switched off where two layouts must be compared like with like, bit for bit."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import torch


def eagerly() -> contextlib.AbstractContextManager[Any]:
    """Run compiled functions as plain ones within the context; free where nothing was compiled."""
    if "torch._dynamo" not in sys.modules:  # loading it costs a second or two
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance
