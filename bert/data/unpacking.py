"""The bytes of a file as UTF-8 text has them: unpacked, and recoded where a mark says UTF-16 or 32.

Places in a file, for resuming, are places in these bytes.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, cast

from bert.data.errors import DataError

COMPRESSED = (".gz", ".xz", ".zst")
# The longer ones first: the mark of UTF-16 is the beginning of that of UTF-32.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@contextmanager
def opened(file: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open a file as (the file on disk, its bytes unpacked and recoded).

    Raises:
        DataError: no reader for its packing is installed; or at its first bytes a damaged archive.
    """
    with file.open("rb") as disk, _decompressed(file, disk) as stream:
        try:
            # Both kinds of stream have peek, which their common type does not say.
            head = cast(Any, stream).peek(4)[:4]
        except damages() as error:
            raise DataError(f"{file}: corrupt archive after line 0 ({error})") from None
        encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
        if encoding is None:
            yield disk, stream
        else:
            with io.BufferedReader(_Recoded(file, stream, encoding), 1 << 16) as recoded:
                yield disk, cast(BinaryIO, recoded)


def skip(file: Path, stream: BinaryIO, count: int) -> None:
    """Move to a place in the unpacked bytes: a seek in plain files, else reading.

    Raises:
        DataError: a damaged archive.
    """
    try:
        if stream.seekable():
            stream.seek(count)
        else:
            while count and (data := stream.read(min(count, 1 << 20))):
                count -= len(data)
    except damages() as error:
        raise DataError(f"{file}: corrupt archive before byte {count} ({error})") from None


class _Recoded(io.RawIOBase):
    """Text in another encoding as the same text in UTF-8."""

    def __init__(self, file: Path, stream: BinaryIO, encoding: str) -> None:
        self._file, self._stream, self._encoding = file, stream, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._ready, self._ended = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            data = self._stream.read(1 << 16)
            self._ended = not data
            try:
                self._ready = self._decoder.decode(data, self._ended).encode()
            except UnicodeError as error:
                raise DataError(
                    f"{self._file}: not {self._encoding.upper()} text, which its first bytes say "
                    f"it is ({error})"
                ) from None
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def _decompressed(file: Path, disk: io.BufferedReader) -> BinaryIO:
    suffix = file.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(disk, "rb"))
    if suffix == ".xz":
        return _in_members(disk, lzma.LZMADecompressor)
    if suffix == ".zst":
        zstd = zstd_module()
        if zstd is None:
            raise DataError(f"{file}: reading .zst needs the package backports.zstd")
        return _in_members(disk, zstd.ZstdDecompressor)
    return disk


def _in_members(disk: io.BufferedReader, decompressor: Callable[[], Any]) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(_Members(disk, decompressor), 1 << 16))


class _Members(io.RawIOBase):
    """The members of an .xz or .zst file, one after another, decompressed.

    The libraries' own file objects take whatever follows a member and is no member for the end of
    the file. A damaged second member would then silently shorten a corpus; here it is an error.
    """

    def __init__(self, disk: io.BufferedReader, decompressor: Callable[[], Any]) -> None:
        self._disk, self._new = disk, decompressor
        self._current: Any = None
        self._unused = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._current is None:
                # Zero bytes between and behind members are padding, which .xz allows.
                data = (self._unused or self._disk.read(1 << 16)).lstrip(b"\0")
                self._unused = b""
                if not data:
                    if not self._disk.peek(1):
                        return 0
                    continue
                self._current = self._new()
            else:
                data = self._disk.read(1 << 16) if self._current.needs_input else b""
                if self._current.needs_input and not data:
                    raise EOFError("the file ends within a compressed member")
            found = self._current.decompress(data, len(buffer))
            if self._current.eof:
                self._unused, self._current = self._current.unused_data, None
            if found:
                buffer[: len(found)] = found
                return len(found)


def zstd_module() -> ModuleType | None:
    """Return the standard library's module (Python 3.14), or its backport, or nothing.

    Imported by name they would be invisible to the cache key; the checker knows neither everywhere.
    """
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            return None
    return cast(ModuleType, zstd)


def damages() -> tuple[type[Exception], ...]:
    """Return the errors that a damaged archive raises while it is read."""
    known = (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)
    zstd = zstd_module()
    return known if zstd is None else (*known, zstd.ZstdError)
