"""What a reader may want, the command and its minutes: the block ``commands`` of the README."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evidence.results import read_json, reading


def table(records: Path) -> str:
    """Return what a reader may want, the command, and its minutes where they are on record."""
    paths = {"times": records / "times.json", "stores": records.parent / "data" / "stores.json"}
    found = {name: read_json(path) for name, path in paths.items()}
    headings = {"want": "I want to", "command": "Command", "minutes": "Minutes"}
    rows = []
    for want, page, command, minutes in WANTS:
        taken = "—"
        if minutes is not None and found[minutes[0]] is not None:
            with reading(paths[minutes[0]]):
                taken = minutes[1](found[minutes[0]])
        rows.append((f"[{want}]({page})", f"`{command}`", taken))
    lines = [tuple(headings.values()), ("---",) * len(headings), *rows]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    times = found["times"]
    if times is None:
        return shown
    with reading(paths["times"]):
        where = f"{times['device']}, {times['cores']} processes"
    return f"{shown}\n\nMinutes on {where}; — where it depends on your text and machine."


def _step(*names: str) -> tuple[str, Callable[[Any], str]]:
    def minutes(times: Any) -> str:
        steps = times["steps"]
        there = all(name in steps for name in names)  # a run of fewer verbs has fewer
        return f"{sum(steps[name] for name in names) / 60:.0f}" if there else "—"

    return "times", minutes


def _store(stores: Any) -> str:
    build = stores["builds"][0]
    return f"{build['seconds'] / 60:.0f} for {build['text_bytes'] / 1e6:.0f} MB"


WANTS: tuple[tuple[str, str, str, tuple[str, Callable[[Any], str]] | None], ...] = (
    (
        "test every claim",
        "docs/default_run.md",
        "python paper_repro.py",
        ("times", lambda times: f"{times['total'] / 60:.0f}"),
    ),
    (
        "test the theory alone",
        "docs/theory.md",
        "python paper_repro.py theory toy claims figures",
        _step("toy and theory"),
    ),
    (
        "compare all arms on a small BERT",
        "docs/default_run.md",
        "python paper_repro.py bert claims figures",
        _step("data", "bert"),
    ),
    (
        "see the arms on two made languages",
        "docs/default_run.md",
        "python paper_repro.py languages claims figures --scale demo --language composition "
        "hierarchy",
        _step("composition", "hierarchy"),
    ),
    (
        "compare all methods at equal compute",
        "docs/rivals.md",
        "python paper_repro.py rivals --scale smoke --language composition hierarchy",
        None,
    ),
    (
        "train on my text",
        "docs/data.md",
        "python -m bert.pretrain --text my.txt --arm swe-f --size 12x64 --steps 3000 --out runs",
        None,
    ),
    (
        "train on gigabytes of text",
        "docs/data.md",
        "python -m bert.data my-text --vocab vocab.txt --length 128 --out tokens-128 --jobs 2",
        ("stores", _store),
    ),
    (
        "repeat a table of the paper",
        "docs/bert.md",
        "python paper_repro.py table1 --scale small --text my.txt",
        None,
    ),
    (
        "know whether sharing will help my run",
        "docs/forecast.md",
        "python -m swe.probes.predict my_run.py:make --updates 20000",
        None,
    ),
    (
        "fine-tune and score",
        "docs/finetune.md",
        "python -m bert.finetune runs/swe-f-s0 --task sst-2 --data glue",
        None,
    ),
    (
        "open a model in transformers",
        "docs/own_model.md",
        "python -m bert.export runs/swe-f-s0 exported",
        None,
    ),
    (
        "use several GPUs or nodes",
        "docs/many_gpus.md",
        "torchrun --nproc-per-node 8 -m bert.pretrain --text my.txt --parallel fsdp --out runs",
        None,
    ),
)
"""What a reader wants, its page, the command, and which record tells the minutes, and how."""
