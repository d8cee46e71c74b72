"""What a token store is known by, finished or not."""

from __future__ import annotations

from pathlib import Path

FORMAT = "share-then-unshare tokens 2"
MANIFEST_NAME = "store.json"
BUILDING_NAME = "building.json"
VOCABULARY_NAME = "vocab.txt"
_ANY_FORMAT = b'"share-then-unshare tokens'


def is_store(folder: Path) -> bool:
    """Tell whether a folder holds a token store of any version, or one that is being built."""
    for name in (MANIFEST_NAME, BUILDING_NAME):
        try:
            if _ANY_FORMAT in (folder / name).read_bytes():
                return True
        except OSError:
            continue
    return False
