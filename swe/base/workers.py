"""A few worker processes: answers in order or as they are ready, a death noticed at once.

The pools of the standard library share queues and locks among their workers. One that is killed
inside (out of memory, a scheduler's SIGTERM to every process) leaves half a message or a held lock,
and the parent waits for ever. Here each worker has a pipe of its own: its end is the worker's end,
and for the worker that of its parent. Ctrl-C and what asks for an end are the parent's to answer.
No worker outlives its parent by more than a stated grace, whatever it is doing when that is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from swe.base.errors import WorkerDiedError
from swe.base.interrupt import ENDING, stop_if

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Label = TypeVar("Label")

_PARENTS = (signal.SIGINT, *ENDING)
_SECONDS_TO_END = 10.0
_SECONDS_TO_NOTICE = 0.2


class Workers(Generic[Item, Answer]):
    """``count`` processes; in each, ``start(*arguments)`` gives the function that answers items.

    ``start`` must be importable and all that passes between the processes picklable. Leaving the
    block drops the waiting items and ends the processes: after those being worked on, or, when an
    error leaves it, at once. A worker whose parent died has ``grace`` seconds to save and end.
    """

    def __init__(
        self,
        count: int,
        start: Callable[..., Callable[[Item], Answer]],
        *arguments: Any,
        grace: float = 0.0,
    ) -> None:
        self._count = count
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        # Spawned: forking a process with threads can hang.
        context = multiprocessing.get_context("spawn")
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []
        # Blocked from birth: a signal to the whole group finds no worker that still dies of it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
        try:
            # Born here, the tracker keeps them blocked. It unblocks two of them in this process.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS)
            for _ in range(count):
                mine, other = context.Pipe()
                process = context.Process(
                    target=_work, args=(other, start, arguments, grace), daemon=True
                )
                process.start()
                other.close()
                self._processes.append(process)
                self._pipes.append(mine)
                self._idle.put(mine)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # One thread a worker, which does nothing but wait for it.
        self._threads = ThreadPoolExecutor(count)
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        """What the functions gave to :func:`tell`, as it came."""

    def __enter__(self) -> Workers[Item, Answer]:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None:
            for process in self._processes:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_SECONDS_TO_END)
            process.kill()
            process.join()

    def in_order(
        self, items: Iterable[tuple[Item, Label]]
    ) -> Generator[tuple[Answer, Label], None, None]:
        """Yield (answer, label) for each (item, label); at most two a process are in flight.

        Raises WorkerDiedError when a process died, or what the function raised.
        """
        waiting: deque[tuple[Future[Answer], Label]] = deque()
        for item, label in items:
            waiting.append((self._threads.submit(self._ask, item), label))
            if len(waiting) > 2 * self._count:
                future, done = waiting.popleft()
                yield future.result(), done
        while waiting:
            future, done = waiting.popleft()
            yield future.result(), done

    def as_ready(
        self, items: Iterable[Item], stop: Callable[[], bool] = lambda: False
    ) -> Generator[tuple[Item, Answer], None, None]:
        """Yield (item, answer) as they come; raises Interrupted soon after ``stop()`` turns true.

        Raises WorkerDiedError when a process died, or what the function raised.
        """
        for item, future in self.outcomes(items, lambda: stop_if(stop)):
            yield item, future.result()

    def outcomes(
        self, items: Iterable[Item], look: Callable[[], None]
    ) -> Generator[tuple[Item, Future[Answer]], None, None]:
        """Yield (item, its future, done) as they come, an error as any other outcome.

        ``look`` is called several times a second until the last is done. The items of a process
        that died, and no others, end in WorkerDiedError.
        """
        waiting = {self._threads.submit(self._ask, item): item for item in items}
        while waiting:
            done, _ = wait(waiting, timeout=_SECONDS_TO_NOTICE, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future
            if waiting:
                look()

    def _ask(self, item: Item) -> Answer:
        pipe = self._idle.get()
        try:
            pipe.send(item)
            while (message := pipe.recv())[0] == _TOLD:
                self.told.put(message[1])
        except (EOFError, OSError):
            raise WorkerDiedError("a worker process died") from None
        finally:
            self._idle.put(pipe)
        answered, answer = message
        if not answered:
            raise answer
        return answer


_TOLD = "told"
_parent: Connection | None = None
_sending = threading.Lock()


def tell(message: Any) -> None:
    """Send ``message`` from within a worker's function to the parent's ``Workers.told``."""
    assert _parent is not None, "not in a worker"
    _send(_parent, (_TOLD, message))


def _send(pipe: Connection, message: tuple[Any, Any]) -> None:
    with _sending:
        pipe.send(message)


def _work(
    pipe: Connection, start: Callable[..., Callable[[Any], Any]], arguments: Any, grace: float
) -> None:
    _end_with_the_parent(grace)
    for number in _PARENTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PARENTS)
    global _parent
    _parent = pipe
    function = start(*arguments)
    with suppress(EOFError, OSError):  # the parent is gone, or has done
        while True:
            item = pipe.recv()
            try:
                answer = True, function(item)
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                answer = False, error
            _send(pipe, answer)


def _end_with_the_parent(grace: float) -> None:
    """End this process ``grace`` seconds after its parent's end, in the middle of whatever it does.

    The pipe's end is met only between two items, which may be minutes apart.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "not in a worker"

    def watch() -> None:
        parent.join()
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
