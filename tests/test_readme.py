"""The README's example runs, its lines are the ones that CI runs, its numbers are the records'."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_own_model_example_runs_and_learns() -> None:
    match = re.search(r"<!-- example -->\n```python\n(.*?)```", README, re.DOTALL)
    assert match is not None
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(compile(match[1], "README.md", "exec"), names)
    assert names["stack"].layout.is_untied
    assert names["swe"].state.layout.is_untied
    held = {id(p) for group in names["optimizer"].param_groups for p in group["params"]}
    assert held == {id(p) for p in names["model"].parameters()}
    assert float(names["loss"]().detach()) < 8.0 / 2, (
        "the target's variance is 8: half of it is learnt"
    )


def test_ci_takes_the_test_line_from_here() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "<!-- tests -->" in script
    block = README.split("<!-- tests -->")[1].split("```")[1]
    [line] = [row for row in block.splitlines() if row.startswith("python3 -m venv")]
    assert "'.[test]'" in line
    assert "-m pytest" in line
