"""The work of building a store: read, encode, pack; with checkpoints, so a kill loses seconds.

A checkpoint is a place in the text behind a whole document, and how far each part's files go. What
was written later is cut off when the build goes on, and read again; the bytes come out the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bert.data.encoding import Encoder
from bert.data.manifest import BUILDING_NAME
from bert.data.parts import PARTS, Parts
from bert.data.reading import DataError
from bert.data.text import Source, digest_is_validation
from bert.data.vocab import Vocabulary
from swe.base.errors import FolderBusyError
from swe.base.files import json_digest, read_json, write_json
from swe.base.interrupt import Interrupted
from swe.base.lock import LOCK_NAME, exclusive

CHUNK = 1 << 20  # characters of text encoded at once: bounds the memory, feeds a worker
CHECKPOINT_SECONDS = 20.0


class BuildProgress(NamedTuple):
    """How far a build is: `read` of `total` (0: unknown) bytes or examples of the source."""

    documents: int
    tokens: int
    read: int
    total: int


Progress = Callable[[BuildProgress], None]


class Role(NamedTuple):
    """A source and where its documents go: per mille of them to the validation part.

    Where there are several, training documents that the validation part of an earlier one holds
    are dropped (see bert.data.parts).
    """

    source: Source
    per_mille: int


class _Label(NamedTuple):
    """What belongs to a chunk: role, digests of the documents that end in it, ends, place, read."""

    role: int
    ends: list[bool]
    digests: list[bytes]
    place: tuple[int, ...] | None
    read: int


class Build:
    """One build in `folder`, begun or taken up again; `inputs` are what decides its outcome.

    Raises DataError when another process builds in the folder.
    """

    def __init__(
        self,
        folder: Path,
        roles: list[Role],
        vocabulary: Vocabulary,
        inputs: dict[str, Any],
        *,
        jobs: int = 1,
        progress: Progress | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._folder, self._roles, self._vocabulary = folder, roles, vocabulary
        self._inputs, self._progress, self._stop = inputs, progress, stop
        self._key = json_digest(inputs)[:12]
        self._encoder: Encoder[_Label] = Encoder(vocabulary, jobs)
        self._role = 0
        self._place: tuple[int, ...] | None = None
        self._chain = bytes(32)
        self._documents = self._tokens = 0

    @property
    def peaks(self) -> dict[int, int]:
        """Peak memory in bytes of every process that took part, by process id."""
        return self._encoder.peaks

    def run(self) -> dict[str, Any]:
        """Do what is left; return the manifest entries of the documents and parts.

        Raises:
            DataError: a fault in the text, a dead worker, no space left; Interrupted: `stop` turned
                true. In all cases what was built is kept and the next run goes on from there.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked(), contextlib.ExitStack() as files:
            state = self._state()
            try:
                parts = Parts(
                    self._folder,
                    self._key,
                    self._vocabulary,
                    length=self._inputs["length"],
                    documents=self._inputs["documents"],
                    apart_from_valid=len(self._roles) > 1,
                    state=state,
                )
                files.callback(parts.close)
                if state:
                    self._role, self._chain = state["role"], bytes.fromhex(state["chain"])
                    self._place = state["place"] and tuple(state["place"])
                    self._documents, self._tokens = state["documents"], state["tokens"]
                else:
                    self._checkpoint(parts)
                self._fill(parts)
                entries = parts.finish()
            except OSError as error:
                raise DataError(
                    f"{self._folder}: {error.strerror or error}; what was built is kept, and the "
                    f"same command goes on"
                ) from None
        return {"documents_sha256": self._chain.hex()} | entries

    def _fill(self, parts: Parts) -> None:
        open_ids: list[NDArray[np.unsignedinteger]] = []
        open_words, due = 0, time.monotonic() + CHECKPOINT_SECONDS
        total = sum(role.source.total for role in self._roles)
        before = [
            sum(role.source.total for role in self._roles[:index])
            for index in range(len(self._roles))
        ]
        failure: Exception | None = None
        faults: list[DataError] = []
        encoded_chunks = self._encoder.encode(_until_fault(self._chunks(), faults))
        with contextlib.closing(encoded_chunks):
            for encoded, label in encoded_chunks:
                stops = np.cumsum(encoded.lengths)
                digests = iter(label.digests)
                for stop, length, words, ends in zip(
                    stops, encoded.lengths, encoded.words, label.ends, strict=True
                ):
                    open_ids.append(encoded.ids[stop - length : stop])
                    open_words += words
                    if ends:
                        digest = next(digests)
                        valid = digest_is_validation(digest, self._roles[label.role].per_mille)
                        ids = open_ids[0] if len(open_ids) == 1 else np.concatenate(open_ids)
                        open_ids = []  # before packing: a long document is held no third time
                        parts.add(ids, open_words, valid=valid)
                        # A chain instead of one long hash: its state can be kept in a file.
                        self._chain = hashlib.sha256(self._chain + digest).digest()
                        self._documents += 1
                        self._tokens += len(ids)
                        open_words = 0
                if label.place is not None:
                    self._role, self._place = label.role, label.place
                if self._progress is not None:
                    read = before[label.role] + label.read
                    try:
                        self._progress(BuildProgress(self._documents, self._tokens, read, total))
                    except BaseException:  # the caller's way to stop
                        self._checkpoint(parts)
                        raise
                if self._stop():
                    failure = Interrupted(f"{self._folder}: stopped; the same command goes on")
                    break
                if time.monotonic() >= due:
                    self._checkpoint(parts)
                    due = time.monotonic() + CHECKPOINT_SECONDS
        if failure is None and faults:
            failure = faults[0]
        if failure is not None:
            self._checkpoint(parts)
            raise failure

    def _chunks(self) -> Iterator[tuple[list[str], _Label]]:
        """Cut what is left of the sources into chunks of some `CHUNK` characters."""
        first, place = self._role, self._place
        for index in range(first, len(self._roles)):
            digest = hashlib.sha256()
            texts: list[str] = []
            ends: list[bool] = []
            digests: list[bytes] = []
            size, read = 0, 0
            behind: tuple[int, ...] | None = None
            for piece in self._roles[index].source.pieces(place if index == first else None):
                texts.append(piece.text)
                ends.append(piece.last)
                digest.update(piece.text.encode())
                size += len(piece.text) + 1
                read = piece.read
                if piece.last:
                    digests.append(digest.digest())
                    digest, behind = hashlib.sha256(), piece.place
                if size >= CHUNK:
                    yield texts, _Label(index, ends, digests, behind, read)
                    texts, ends, digests, size, behind = [], [], [], 0, None
            if texts:
                yield texts, _Label(index, ends, digests, behind, read)

    def _checkpoint(self, parts: Parts) -> None:
        write_json(
            self._folder / BUILDING_NAME,
            {
                "inputs": self._inputs,
                "role": self._role,
                "place": self._place,
                "chain": self._chain.hex(),
                "documents": self._documents,
                "tokens": self._tokens,
            }
            | parts.checkpoint(),
        )

    def _state(self) -> dict[str, Any] | None:
        """The checkpoint to go on from; None where it is another build's or its files are gone."""
        state = unfinished(self._folder)
        if state is None or state["inputs"] != self._inputs:
            return None
        length = self._inputs["length"]
        whole = Parts.hold(self._folder, self._key, self._vocabulary, length, state)
        return state if whole else None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive(self._folder, print))
            except FolderBusyError as error:
                raise DataError(str(error)) from None
            yield


def unfinished(folder: Path) -> dict[str, Any] | None:
    """Return the checkpoint of an unfinished build in `folder`, None when there is none.

    Raises:
        DataError: there is one and it cannot be read.
    """
    path = folder / BUILDING_NAME
    try:
        state = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the checkpoint cannot be read ({error})") from None
    if not isinstance(state, dict) or "inputs" not in state or "parts" not in state:
        raise DataError(f"{path}: no checkpoint of a build")
    return state


def tidy(folder: Path, keep: set[str]) -> None:
    """Remove checkpoint, lock and all arrays but `keep`; open memory maps stay valid."""
    stale = [path for part in PARTS for path in folder.glob(f"{part}-*.npy")]
    for path in [*stale, folder / BUILDING_NAME, folder / LOCK_NAME]:
        if path.name not in keep:
            path.unlink(missing_ok=True)


def difference(inputs: dict[str, Any], recorded: dict[str, Any]) -> str | None:
    """Say in a few words what differs first between the inputs of two builds; None if nothing."""
    names = {
        "vocabulary_sha256": "vocabulary",
        "per_mille": "validation share",
        "valid_text": "validation text",
    }
    for name in ("vocabulary_sha256", "length", "documents", "per_mille"):
        if inputs[name] != recorded.get(name):
            values = f" ({recorded.get(name)}, now {inputs[name]})"
            return names.get(name, name) + ("" if name.endswith("sha256") else values)
    for name in ("text", "valid_text"):
        if inputs[name] != recorded.get(name):
            return names.get(name, name) + _changed_file(inputs[name], recorded.get(name))
    same = all(recorded.get(name) == value for name, value in inputs.items())
    return None if same else "version of this program"


def _changed_file(now: Any, before: Any) -> str:
    if not (isinstance(now, dict) and isinstance(before, dict)):
        return ""
    for name in ("errors", "field", "document_per_line", "format"):
        if now.get(name) != before.get(name):
            option = name.replace("_", "-")
            return f" ({option} {before.get(name)}, now {now.get(name)})"
    old = {entry["name"]: entry["sha256"] for entry in before.get("files", [])}
    new = {entry["name"]: entry["sha256"] for entry in now.get("files", [])}
    for name in [*new, *old]:
        if name not in old or name not in new:
            return f" ({name} was {'added' if name in new else 'taken away'})"
        if old[name] != new[name]:
            return f" ({name} has changed)"
    return ""


def _until_fault(
    chunks: Iterator[tuple[list[str], _Label]], faults: list[DataError]
) -> Iterator[tuple[list[str], _Label]]:
    """Pass chunks on; a fault in the text ends them and is kept: chunks in flight still count."""
    try:
        yield from chunks
    except DataError as error:
        faults.append(error)
