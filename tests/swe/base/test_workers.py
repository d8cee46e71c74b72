"""Workers answer in order, and neither a dead worker nor a dead parent leaves anyone waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swe.base.errors import WorkerDiedError
from swe.base.workers import Workers
from tests.processes import interrupt


def squares(offset: int) -> Callable[[int], int]:
    """Slower for small numbers, so that later answers come first."""

    def square(number: int) -> int:
        time.sleep(0.02 if number % 2 else 0.0)
        return number**2 + offset

    return square


def test_answers_come_in_order_with_bounded_look_ahead() -> None:
    asked = 0

    def items() -> Iterator[tuple[int, str]]:
        nonlocal asked
        for asked in range(1, 31):
            yield asked, f"label {asked}"

    with Workers(2, squares, 7) as workers:
        for number, answer in enumerate(workers.in_order(items()), 1):
            assert answer == (number**2 + 7, f"label {number}")
            assert asked <= number + 4


def failing() -> Callable[[int], int]:
    return lambda number: 1 // number


def test_an_error_keeps_its_type_and_the_place_where_it_happened() -> None:
    with Workers(2, failing) as workers:
        with pytest.raises(ZeroDivisionError) as caught:
            list(workers.in_order((number, None) for number in (1, 0)))
        assert "<lambda>" in caught.value.__notes__[0]
        assert list(workers.in_order([(1, "again")])) == [(1, "again")]


def dying() -> Callable[[str], str]:
    return die


def die(how: str) -> str:
    if how == "half":  # killed while its answer is on the way: a message without its end
        pipe = next(fd for fd in range(3, 64) if _is_socket(fd))
        os.write(pipe, (1 << 20).to_bytes(4, "big") + b"some")
    if how != "live":
        os.kill(os.getpid(), signal.SIGKILL)
    return how


def _is_socket(descriptor: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except OSError:
        return False


@pytest.mark.parametrize("how", ["whole", "half"])
def test_a_killed_worker_is_told_at_once_also_within_a_message(how: str) -> None:
    with Workers(2, dying) as workers, pytest.raises(WorkerDiedError):
        list(workers.in_order((name, None) for name in ["live"] * 5 + [how] + ["live"] * 5))


def test_signals_to_the_group_are_the_parents_from_the_start(tmp_path: Path) -> None:
    """At once after the start, when the workers are still importing; all answers come."""
    script = tmp_path / "group.py"
    script.write_text(
        "import os, signal\n"
        "from tests.swe.base.test_workers import squares\n"
        "from swe.base.interrupt import ENDING\n"
        "from swe.base.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    for number in (signal.SIGINT, *ENDING):\n"
        "        signal.signal(number, lambda *arguments: None)\n"
        "    with Workers(2, squares, 0) as workers:\n"
        "        for number in (signal.SIGINT, *ENDING):\n"
        "            os.killpg(0, number)\n"
        "        print([answer for answer, _ in workers.in_order((n, 0) for n in range(5))])\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert done.stdout == "[0, 1, 4, 9, 16]\n", done.stderr
    assert not done.stderr


def absorbed() -> Callable[[str], None]:
    """For ever at work on an item; its file says by whom."""

    def work(name: str) -> None:
        Path(name).write_text(str(os.getpid()))
        while True:
            time.sleep(0.01)

    return work


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    """In the middle of an item that has no end: the pipe alone would be met after it."""
    script = tmp_path / "group.py"
    script.write_text(
        "import sys\n"
        "from tests.swe.base.test_workers import absorbed\n"
        "from swe.base.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    with Workers(2, absorbed) as workers:\n"
        "        list(workers.as_ready(sys.argv[1:]))\n"
    )
    files = [tmp_path / "one", tmp_path / "other"]
    ended = interrupt(
        [str(script), *map(str, files)],
        lambda: all(file.exists() and file.read_text() for file in files),
        lambda group: os.kill(group, signal.SIGKILL),
    )
    assert ended.status == -signal.SIGKILL  # and interrupt() saw the whole group go
