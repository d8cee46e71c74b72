"""A Hugging Face data set as a source of documents, streamed example by example.

Its loader is the `datasets` package (the extra ``hf-data``). Nothing is hashed beforehand, for a
stream is not there to be hashed; name, configuration, split and revision stand for the text, and
the chain over all documents in the store's manifest (``documents_sha256``) says what came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bert.data.reading import DataError, Piece, cut
from bert.data.records import text_of_record
from bert.data.text import Hashing


class HubSource:
    """The string column `field` of one split of a data set; every example is a document.

    `name` is what `datasets.load_dataset` takes: a name on the hub or a local folder.

    Raises:
        DataError: the package is not installed, or the loader refuses; one line.
    """

    def __init__(
        self,
        name: str,
        *,
        config: str | None = None,
        split: str = "train",
        revision: str | None = None,
        field: str = "text",
    ) -> None:
        try:
            import datasets
        except ImportError:
            raise DataError(
                f"{name}: a Hugging Face data set needs the package datasets (the extra hf-data)"
            ) from None
        self._described = {
            "dataset": name,
            "config": config,
            "split": split,
            "revision": revision,
            "field": field,
        }
        self._name, self._field = name, field
        try:
            # Annotated as Any: the package's return type is a union over streaming and splits.
            self._stream: Any = datasets.load_dataset(
                name, config, split=split, revision=revision, streaming=True
            )
            info = self._stream.info
        except Exception as error:
            raise self._refused(error) from None
        known = (info.splits or {}).get(split)
        self._total = int(getattr(known, "num_examples", 0) or 0)
        columns = self._stream.column_names
        if columns is not None and field not in columns:
            raise DataError(f"{name}: has no column {field!r}, only {', '.join(sorted(columns))}")

    @property
    def total(self) -> int:
        """Examples of the split; 0 when the data set does not say."""
        return self._total

    def describe(self, hashing: Hashing | None = None) -> dict[str, Any]:
        """Name, configuration, split, revision and column; nothing is hashed."""
        return dict(self._described)

    def pieces(self, start: tuple[int, ...] | None = None) -> Iterator[Piece]:
        """Stream the documents; a place is (examples,), and going on skips that many.

        Raises:
            DataError: the loader fails midway, or an example has no text.
        """
        number = start[0] if start else 0
        examples = iter(self._stream.skip(number))
        while True:
            try:
                example = next(examples, None)
            except Exception as error:  # whatever network, format and codecs can raise
                raise self._refused(error) from None
            if example is None:
                return
            number += 1
            where = f"{self._name}: example {number}"
            text = text_of_record(example, self._field, where)
            if text.strip():
                yield from cut(text, (number,), number)

    def _refused(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return DataError(f"{self._name}: the data set cannot be read ({reason})")
