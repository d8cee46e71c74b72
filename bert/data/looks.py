"""What a file holds by its content, where its name does not say, or misleads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from bert.data.errors import DataError
from bert.data.formats import Format
from bert.data.reading import raw_parts
from bert.data.unpacking import opened

_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "Git LFS pointer; git lfs pull",
    b"/annex/objects/": "git-annex pointer; git annex get",
}
_MARKUP = re.compile(r"<(\?xml|!doctype|html|mediawiki)\b", re.IGNORECASE)
_SPECIALS = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
_SPECIALS |= {"<pad>", "<unk>", "<s>", "</s>", "<mask>", "<|endoftext|>"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?", re.IGNORECASE)
_NAMES = re.compile(r"vocab|dict|merges", re.IGNORECASE)
LONGEST_TOKEN = 200  # characters
MEAN_TOKEN, LOOKED_AT = 16, 1000  # characters, and lines after which their mean is looked at
MOST_TOKENS = 1 << 21
COUNTED = 10  # lines of "token number" that make a list of counted tokens


def require_fetched(file: Path) -> None:
    """Refuse a pointer that stands for a file which is not there (DataError)."""
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    for mark, what in _POINTERS.items():
        if head.startswith(mark):
            raise DataError(f"{file}: line 1: is a {what} fetches the text that it stands for")


def is_vocabulary(file: Path) -> bool:
    """Tell whether a text file is a tokenizer's list of tokens and no text.

    It is one when every line holds one token, alone or before a number, none of them twice, and a
    special token is among them, or every one of ten and more has its number, or the file is called
    a vocabulary. So is a list of merges, by its first line. A text shows itself at its first line
    of more words than that, so that hardly more is read of one.
    """
    tokens: set[str] = set()
    numbers = rows = size = 0
    try:
        with opened(file) as (_, stream):
            line = ""
            for raw in raw_parts(file, stream, (0, 0), "replace"):
                line += raw.text
                if len(line) > LONGEST_TOKEN:
                    return False
                if not raw.ends:
                    continue
                if raw.number == 1 and line.startswith("#version:"):
                    return True
                # Not split(): a token may be white space of another kind.
                words, line = line.strip(" \t\r\n").replace("\t", " ").split(" "), ""
                if words == [""]:
                    continue
                if len(words) > 2 or (len(words) == 2 and not _NUMBER.fullmatch(words[1])):
                    return False
                if words[0] in tokens and words[0] not in _SPECIALS:  # with which some are padded
                    return False
                tokens.add(words[0])
                rows += 1
                size += len(words[0])
                numbers += len(words) == 2
                # Sentences without spaces (Chinese) are longer, and a text of them is not read on.
                if rows > MOST_TOKENS or (rows >= LOOKED_AT and size > MEAN_TOKEN * rows):
                    return False
    except (DataError, OSError):
        return False  # the reader will tell
    counted = rows >= COUNTED and numbers == rows
    return rows > 1 and bool(tokens & _SPECIALS or counted or _NAMES.search(file.name))


def looked_into(file: Path) -> Format:
    """Return the format of a packed file whose name says nothing of it: JSON records, or text.

    Raises:
        DataError: it is markup (XML, HTML).
    """
    try:
        with opened(file) as (_, stream):
            head = cast(Any, stream).peek(1 << 12)[: 1 << 12].decode("utf-8-sig", "replace")
    except (DataError, OSError, EOFError):
        return "text"  # the reader will tell
    if _MARKUP.match(head.lstrip()):
        raise DataError(
            f"{file}: line 1: is markup, whose tags would be trained on; take the text out of it, "
            "or say --format text"
        )
    first, feed, rest = head.lstrip().partition("\n")
    if first.rstrip() in ("[", "{", "[{"):
        return "json" if re.match(r'\s*["{]', rest) else "text"
    if not first.startswith(("{", "[{")):
        return "text"
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        # Cut off within a long line, it begins as JSON does.
        return "json" if not feed and re.match(r'\[?\{\s*"[^"]*"\s*:', first) else "text"
    return "json"
