"""Other systems and devices, faked: refused in one line, or measured in their own units."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evidence.commands import ended
from swe.base.errors import ConfigError
from swe.base.lock import exclusive
from swe.base.platform import peak_resident_memory, require_device
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.schedule import SweFixed
from swe.sharing.share_then_unshare import ShareThenUnshare
from swe.sharing.stack import SharedStack
from tests.swe.sharing.residual import RegressionTask

ROOT = Path(__file__).resolve().parents[3]
SHOWN = "needs Linux or macOS"


def test_windows_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConfigError, match=f"swe.train: {SHOWN}"):
        train(RegressionTask(), TrainConfig(steps=4), tmp_path / "run")
    with pytest.raises(ConfigError, match=SHOWN), exclusive(tmp_path, print):
        pass
    assert ended("name", lambda late: 0) == 2
    assert capsys.readouterr().err.startswith(f"name: this command: {SHOWN}")
    assert list(tmp_path.iterdir()) == []


def test_all_can_be_imported_where_posix_modules_are_missing() -> None:
    """As on Windows: the refusal must be able to speak, and the sharing to work."""
    program = (
        "import sys\n"
        "for name in ('fcntl', 'resource'): sys.modules[name] = None\n"
        "import swe, paper_repro, bert.pretrain, bert.finetune.arms, bert.data.__main__\n"
        "trainer = 'share_then_unshare', 'ShareThenUnshareCallback', 'spread_albert'\n"
        "for name in set(swe.__all__) - set(trainer): getattr(swe, name)  # those need accelerate\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_sharing_works_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    schedule = SweFixed(until=1)
    layers = [torch.nn.Linear(3, 3) for _ in range(4)]
    stack = SharedStack(layers, schedule.start(4).layout)
    optimizer = torch.optim.SGD(stack.parameters(), lr=0.1)
    swe = ShareThenUnshare(stack, optimizer, schedule, 4)

    def loss() -> torch.Tensor:
        result: torch.Tensor = stack(torch.ones(2, 3)).square().mean()
        return result

    for step in range(4):
        swe.begin_step(step, loss)
        loss().backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
    assert swe.stack.layout.is_untied


@pytest.mark.parametrize("kind", ["mps", "xpu", "meta"])
def test_other_devices_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"device = '{kind}': must be one of cpu, cuda"):
        require_device(kind)
    with pytest.raises(ConfigError, match=f"device = '{kind}'"):
        train(RegressionTask(), TrainConfig(steps=4), tmp_path / "run", device=kind)
    assert not (tmp_path / "run").exists()


def test_a_model_on_another_device_is_refused() -> None:
    schedule = SweFixed(until=1)
    layers = [torch.nn.Linear(3, 3, device="meta") for _ in range(2)]
    stack = SharedStack(layers, schedule.start(2).layout)
    optimizer = torch.optim.SGD(stack.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="the model's device = 'meta': must be one of cpu, cuda"):
        ShareThenUnshare(stack, optimizer, schedule, 4)


def test_peak_memory_is_in_bytes_on_either_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same count is KiB on Linux and bytes on macOS."""
    here = peak_resident_memory()
    assert here > 50 * 2**20  # this process has torch in it
    monkeypatch.setattr(sys, "platform", "darwin")
    there = peak_resident_memory()
    assert here / 1024 <= there <= here / 1024 * 1.5  # it may have grown in between
