"""A result is computed once for its configuration and the code that it depends on."""

from __future__ import annotations

from pathlib import Path

from evidence.cache import cached_result, load_result, result_key

MODULE = "theory.studies.odd_targets"


def test_results_are_kept_for_the_same_config_and_code_only(tmp_path: Path) -> None:
    path, calls = tmp_path / "result.json", []

    def compute() -> dict[str, int]:
        calls.append(1)
        return {"answer": 42}

    config = {"seed": 0}
    key = result_key(config, MODULE)
    first = cached_result(path, key, config, compute)
    assert cached_result(path, key, config, compute) == first
    assert len(calls) == 1
    other = result_key({"seed": 1}, MODULE)
    assert other != key
    assert load_result(path, other) is None
    assert result_key(config, "theory.studies.quadratic") != key
    path.write_text("{torn")
    assert cached_result(path, key, config, compute)["data"] == {"answer": 42}
