"""Variables of a launcher that do not fit are one line, on the one process that is there."""

from __future__ import annotations

import pytest

from swe.base.errors import ConfigError
from swe.ranks.distributed import process_group, require_launched, speaking_rank
from swe.sharing.placement import Mode

WHOLE = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}


@pytest.mark.parametrize(
    ("mode", "environment", "told"),
    [
        ("none", {"RANK": "1"}, r"RANK = 1: is no rank of a run of one process; unset it"),
        ("none", {"RANK": "abc"}, r"RANK = 'abc': must be an integer, at least 0"),
        ("none", {"RANK": "-1"}, r"RANK = '-1': must be an integer"),
        ("none", {"RANK": "1.0"}, r"RANK = '1.0': must be an integer"),
        ("none", {"WORLD_SIZE": "2"}, r"WORLD_SIZE = 2: with --parallel none each of them"),
        ("none", {"WORLD_SIZE": "x"}, r"WORLD_SIZE = 'x': must be an integer"),
        ("none", WHOLE, r"WORLD_SIZE = 2: with --parallel none"),
        ("ddp", {}, r"RANK, WORLD_SIZE, .* MASTER_PORT not set; start with torchrun"),
        ("ddp", {"RANK": "1"}, r"parallel: WORLD_SIZE, LOCAL_RANK, .* not set; start with"),
        ("fsdp", WHOLE | {"RANK": ""}, r"parallel: RANK not set; start with torchrun"),
        ("fsdp", WHOLE | {"RANK": "2"}, r"RANK = 2: must be below WORLD_SIZE = 2"),
        ("fsdp", WHOLE | {"LOCAL_RANK": "a"}, r"LOCAL_RANK = 'a': must be an integer"),
        ("fsdp", WHOLE | {"MASTER_PORT": "a"}, r"MASTER_PORT = 'a': must be an integer"),
        ("fsdp", WHOLE | {"LOCAL_WORLD_SIZE": "a"}, r"LOCAL_WORLD_SIZE = 'a': must be an integer"),
    ],
)
def test_variables_that_do_not_fit_are_refused(
    mode: Mode, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        require_launched(mode, environment)
    assert "\n" not in str(caught.value)
    if mode != "none":
        assert speaking_rank(environment) == 0, "or nobody would say so"
        with pytest.raises(ConfigError, match=told), process_group(environment=environment):
            raise AssertionError("joined")


def test_variables_that_fit_are_taken() -> None:
    for environment in ({}, {"RANK": ""}, {"RANK": "0", "WORLD_SIZE": "1"}, {"LOCAL_RANK": "3"}):
        require_launched("none", environment)
        assert speaking_rank(environment) == 0
    require_launched("fsdp", WHOLE)
    assert speaking_rank(WHOLE) == 1
