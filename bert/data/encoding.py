"""Text to token ids in worker processes; results come in the order of the text, never of the work.

One process reads and packs, the workers tokenize, which takes ten times as long. As the order is
that of the text, the number of processes cannot change a byte of the outcome.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from bert.data.reading import DataError
from bert.data.vocab import Vocabulary
from swe.base.errors import WorkerDiedError
from swe.base.platform import peak_resident_memory
from swe.base.workers import Workers

T = TypeVar("T")


class Encoded(NamedTuple):
    """The tokens of a list of texts.

    ids: all of them, one after another; lengths: tokens of each text; words: blank-separated words
    of each text; process: (process id, its peak memory in bytes).
    """

    ids: NDArray[np.unsignedinteger]
    lengths: list[int]
    words: list[int]
    process: tuple[int, int]


class Encoder(Generic[T]):
    """Encodes chunks of texts with `jobs` processes (1: in this one), in order.

    `peaks` maps process ids to the largest peak memory seen, in bytes, this process included.
    """

    def __init__(self, vocabulary: Vocabulary, jobs: int) -> None:
        self._vocabulary, self._jobs = vocabulary, jobs
        self.peaks: dict[int, int] = {}

    def encode(
        self, chunks: Iterable[tuple[list[str], T]]
    ) -> Generator[tuple[Encoded, T], None, None]:
        """Yield (tokens, label) for each (texts, label); a few chunks a process are in flight.

        Raises:
            DataError: a worker process died (out of memory, as a rule).
        """
        results = self._here(chunks) if self._jobs <= 1 else self._in_workers(chunks)
        for encoded, label in results:
            process, peak = encoded.process
            self.peaks[process] = max(peak, self.peaks.get(process, 0))
            self.peaks[os.getpid()] = peak_resident_memory()
            yield encoded, label

    def _here(
        self, chunks: Iterable[tuple[list[str], T]]
    ) -> Generator[tuple[Encoded, T], None, None]:
        for texts, label in chunks:
            yield _encode(self._vocabulary, texts), label

    def _in_workers(
        self, chunks: Iterable[tuple[list[str], T]]
    ) -> Generator[tuple[Encoded, T], None, None]:
        arguments = (self._vocabulary.tokens, self._vocabulary.cased)
        with Workers[list[str], Encoded](self._jobs, _start_worker, *arguments) as workers:
            try:
                yield from workers.in_order(chunks)
            except WorkerDiedError:
                raise DataError(
                    "a tokenizing process died (out of memory?); what was built is kept, and "
                    f"fewer than {self._jobs} jobs take less memory"
                ) from None


def _encode(vocabulary: Vocabulary, texts: list[str]) -> Encoded:
    arrays = vocabulary.encode_batch(texts)
    return Encoded(
        np.concatenate(arrays) if arrays else np.empty(0, vocabulary.dtype),
        [len(array) for array in arrays],
        [len(text.split()) for text in texts],
        (os.getpid(), peak_resident_memory()),
    )


def _start_worker(tokens: tuple[str, ...], cased: bool) -> Callable[[list[str]], Encoded]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return partial(_encode, Vocabulary(tokens, cased=cased))
