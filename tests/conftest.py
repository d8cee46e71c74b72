"""One torch thread (results must not depend on the machine) and hypothesis without deadlines."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # local folders alone; nothing is looked up

import torch
from hypothesis import HealthCheck, settings

# Under nohup, or in the background of a script, these are ignored, and so they would be in every
# command that a test starts and signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
torch.set_num_threads(1)
# On a build server the same examples every time; at a desk new ones, to find what those miss.
settings.register_profile(
    "project",
    deadline=None,
    max_examples=40,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")
