"""Batches built ahead by one thread, in pinned memory, so that the device need not wait for them.

A batch is a pure function of its index, so building ahead changes nothing but the time: a run that
resumes elsewhere asks for another index and the thread starts there.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

from torch import Tensor

from swe.run.task import Batch

Build = Callable[[int], Batch]


class Prefetcher:
    """``get(index)`` returns ``build(index)``; up to ``depth`` following ones are built meanwhile.

    At most ``depth`` + 1 batches wait in memory. An error of ``build`` is raised by the ``get`` of
    that index; asking again tries again. ``pinned`` puts tensors into page-locked memory, for
    copies that run beside the computation. Close it, or use it as a context; a thread left open
    does not keep the process alive.
    """

    def __init__(self, build: Build, depth: int, *, pinned: bool = False) -> None:
        self._build, self._depth, self._pinned = build, depth, pinned
        self._thread: threading.Thread | None = None
        self._next = -1

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def get(self, index: int) -> Batch:
        """Return batch ``index``. Any order is right; consecutive calls are fast."""
        if self._depth == 0:
            return self._make(index)
        if self._thread is None or index != self._next:
            self._start(index)
        got = self._ready.get()
        self._next = index + 1
        if isinstance(got, BaseException):
            self.close()
            raise got
        return got

    def close(self) -> None:
        """Stop the thread and drop what it built; a later ``get`` starts it again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._halt.set()
        while thread.is_alive():  # it may wait for room in the queue
            _drain(self._ready)
            thread.join(0.01)
        _drain(self._ready)

    def _start(self, index: int) -> None:
        self.close()
        # The thread gets its own queue and flag: one that is late in stopping can disturb no other.
        self._ready: queue.Queue[Batch | BaseException] = queue.Queue(self._depth)
        self._halt = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(index, self._ready, self._halt), daemon=True, name="prefetch"
        )
        self._thread.start()

    def _run(
        self, index: int, ready: queue.Queue[Batch | BaseException], halt: threading.Event
    ) -> None:
        while not halt.is_set():
            try:
                ready.put(self._make(index))
            except BaseException as error:  # handed to the main thread, which raises it
                ready.put(error)
                return
            index += 1

    def _make(self, index: int) -> Batch:
        batch = self._build(index)
        return _pin(batch) if self._pinned else batch


def _pin(batch: Batch) -> Mapping[str, Tensor]:
    return {name: tensor.pin_memory() for name, tensor in batch.items()}


def _drain(waiting: queue.Queue[Batch | BaseException]) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return
