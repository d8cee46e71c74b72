"""The throughput table: written-out numbers, rows without a run, bars met and missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from figures.pages.throughput import bars, cells, main, ratio, summary, table


def turn(name: str, rounds: list[list[float]], **end: Any) -> dict[str, Any]:
    return {
        "name": name,
        "turn": 0,
        "warm": {"first_step_seconds": 2.0, "product_flops": 100.0},
        "blocks": [{"seconds": seconds, "loss": 1.0} for seconds in rounds],
        "end": {"peak_memory_bytes": 3_000_000_000, "product_flops": 300.0, **end},
    }


def sample() -> dict[str, Any]:
    probe = {"steps": 2.0, "all": [2.0], "graphs": 0}
    untie = {"stall_seconds": 0.5, "usual_after": 0.1, "graphs": 0}
    return {
        "settings": {
            "device": "cpu", "size": "12x64", "length": 64, "rows": 16, "dropout": 0.1,
            "compiled": False, "flops_per_token": 0.01,
        },
        "names": {"a0": "stock", "a1": "gathered", "a2": "ours", "a3": "pre", "a4": "tied",
                  "a5": "whole"},
        "gates": {"a0": {"passed": True}, "a3": {"passed": False}},
        "turns": [
            turn("a0", [[0.3, 0.3], [0.5, 0.5]]),
            turn("a1", [[0.09, 0.09], [0.18, 0.18]]),
            turn("a2", [[0.1, 0.1], [0.2, 0.2]], probe=probe),
            turn("a4", [[0.1, 0.1], [0.1, 0.1]], untie=untie),
        ],
    }  # fmt: skip


def test_numbers() -> None:
    rows = summary(sample())
    ours = rows["a2"]
    assert (ours["n"], ours["median"]) == (4, pytest.approx(0.15))
    assert ours["tokens_per_second"] == pytest.approx(1024 / 0.15)
    assert ours["useful_share"] == pytest.approx(0.01 * 1024 / 0.15 / 200)
    assert ours["peak_flops"] == [100.0, 300.0]
    assert rows["a3"] == {"status": "failed the gate: not timed"}
    assert rows["a5"] == {"status": "not run"}
    assert ratio(rows, "a0", "a2") == pytest.approx([2.75, 2.5, 3.0])
    assert ratio(rows, "a0", "a5") is None


def test_rows_in_words() -> None:
    lines = {row["name"]: row for row in cells(sample())}
    assert lines["a2 ours"]["a0"] == "2.75 (2.50-3.00)"
    assert lines["a5 whole"]["step"] == "not run"
    assert lines["a3 pre"]["step"] == "failed the gate: not timed"


def test_bars() -> None:
    met, missed, stall, probe = bars(sample())
    assert "1.5" in met
    assert "met (2.75, a2)" in met
    assert "missed (0.900, a2)" in missed
    assert ": met (0.500 s, 5.00 steps, 0 graphs" in stall
    assert ": met (0.20 %" in probe
    record = sample() | {"turns": []}
    assert all(line.endswith("not run") for line in bars(record))
    assert len(bars(record)) == 4
    record["settings"] |= {"device": "cuda", "size": "large", "length": 128}
    assert "at least 250\u202f000 tokens/s: not run" in bars(record)[0]


def test_bfloat16_on_a_cpu() -> None:
    """Its own bars, the kernel, the profile's first operators, and why nothing was run."""
    record = sample()
    record["settings"] |= {
        "size": "12x256", "length": 128, "precision": "bfloat16", "attention": "products",
    }  # fmt: skip
    record["names"]["a6"] = "torch's kernels"
    shares = {f"op{i}": i / 100 for i in range(10)}
    record["turns"].append(turn("a6", [[0.3, 0.3], [0.3, 0.3]], profile=shares))
    lines = bars(record)
    assert [line.split(" takes")[0] for line in lines[:3]] == [
        "stock",
        "gathered",
        "torch's kernels",
    ]
    assert "at least 2.0" in lines[2]
    assert "met (2.25, a2)" in lines[2], "3 and 1.5 in the two rounds"
    text = table(record)
    assert "bfloat16, eager" in text
    assert "Attention of ours, measured: products" in text
    assert "- profile of torch's kernels: op9 9 %, op8 8 %" in text
    assert "op1 " not in text
    record |= {"turns": [], "not_run": "no units"}
    assert "Not run: no units." in table(record)
    assert all(row["step"] in ("not run", "failed the gate: not timed") for row in cells(record))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(sample()))
    main([str(path)])
    assert table(sample()) in capsys.readouterr().out
    for text in (None, "{", "{}"):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(SystemExit):
            main([str(path)])
        error = capsys.readouterr().err
        assert error.startswith(f"figures.pages.throughput: {path}")
        assert error.count("\n") == 1
