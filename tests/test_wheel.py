"""What an installation brings: the core alone, beside a user's own files of general names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.slow


def run(*command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in ``folder`` with no way to the checkout; output of both streams together."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
    return subprocess.run(
        command,
        cwd=folder,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it needs: a build leaves folders behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in done.stdout.splitlines():
        if not name.startswith(("records/", "docs/", "tests/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    built = run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps",
        "--no-index", "-w", str(out), str(source), folder=out,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout
    [path] = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the wheel's content, installed without dependencies."""
    folder = tmp_path_factory.mktemp("site")
    done = run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
        "--target", str(folder), str(wheel), folder=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return folder


def test_it_holds_the_core_the_types_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.split("/")[0] for name in names}
    assert {name for name in inside if not name.endswith(".dist-info")} == {"swe"}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "swe").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == ours
    data = {"swe/py.typed", "swe/__init__.pyi", "swe/predict/calibration.npz"}
    assert data <= set(names)
    assert any(name.endswith("/LICENSE") for name in names)
    assert any(name.endswith("/NOTICE") for name in names)


def test_its_dependencies_are_few(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    [path] = [name for name in archive.namelist() if name.endswith("/METADATA")]
    needed = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", archive.read(path).decode(), re.M)
    assert set(needed) == {"torch", "numpy", "scipy", "safetensors", "lazy-loader"}


def test_the_readme_s_example_runs_next_to_the_user_s_own_files(site: Path, tmp_path: Path) -> None:
    [example] = re.findall(r"<!-- example -->\n```python\n(.*?)```", README, re.S)
    (tmp_path / "training.py").write_text(example + "\nprint(swe.state.layout.is_untied)\n")
    for name in ("theory", "bert", "figures", "evidence"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the user has one of his own')\n")
    done = run(sys.executable, "training.py", folder=tmp_path, PYTHONPATH=str(site))
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["True"]), done.stdout


def test_type_checkers_see_the_installed_types(site: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from swe import SharedStack, SweFixed, adopt\n"
        "reveal_type(SharedStack)\n"
        "reveal_type(adopt)\n"
        "SweFixed(untl=0.1)\n"
    )
    done = run(
        sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "mine.py",
        folder=tmp_path, MYPYPATH=str(site),
    )  # fmt: skip
    told = done.stdout
    assert "swe.sharing.stack.SharedStack" in told, told
    assert "-> swe.sharing.share_then_unshare.ShareThenUnshare" in told, told
    assert re.search(r'mine.py:4: error: Unexpected keyword argument "untl"', told), told
