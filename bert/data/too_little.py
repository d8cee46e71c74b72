"""Too little text for a store: what was seen of it, and what helps.

The commonest cause is no lack of text but one document where its owner sees many: a book without a
blank line, or a sentence a line.
"""

from __future__ import annotations

from typing import Any

from bert.data.errors import DataError
from bert.data.packing import UNMASKABLE


def require_rows(inputs: dict[str, Any], entries: dict[str, Any]) -> None:
    """Refuse a build with a part that is wanted and has no row.

    Args:
        inputs, entries: the two halves of a store's manifest: what was asked for, what came out.

    Raises:
        DataError: it says how many documents were seen, and the ways out.
    """
    parts, dropped = entries["parts"], entries.get("dropped", {}).get("documents", 0)
    where = inputs["text"].get("name", "text")
    if not any(entry["documents"] for entry in parts.values()):
        raise DataError(f"{where}: the text is empty (no document)")
    wanted = {
        "train": inputs["per_mille"] < 1000,
        "valid": inputs["per_mille"] > 0 or inputs["valid_text"] is not None,
    }
    for part, entry in parts.items():
        if not wanted[part] or entry["rows"]:
            continue
        told = f"{where}: too little text for one {part} row of {inputs['length']} tokens"
        if unmaskable := entry.get(UNMASKABLE, 0):
            raise DataError(
                f"{told}: the vocabulary knows too few words of all {unmaskable} rows to mask any; "
                "train one on this text, or name another"
            )
        seen = " and ".join(
            f"{one['documents']} for {name} ({one['tokens']} tokens)" for name, one in parts.items()
        )
        told += f": {_counted(sum(one['documents'] for one in parts.values()))} seen, {seen}"
        told += f", {dropped} dropped because they stand in the validation text" * bool(dropped)
        raise DataError(f"{told}; {'; or '.join(_ways_out(inputs, part, entry))}")


def _counted(documents: int) -> str:
    return f"{documents} document{'s' * (documents != 1)}"


def _ways_out(inputs: dict[str, Any], part: str, entry: dict[str, Any]) -> list[str]:
    """Say what helps against too little text in a part."""
    ways = []
    if entry["left_out"]:
        ways.append(
            "every document is shorter than a row, and is left out where documents are apart: take "
            "a smaller length, or documents across"
        )
    if not inputs["text"].get("document_per_line"):
        ways.append(
            "documents are separated by blank lines: if each line is one, say --document-per-line"
        )
    if part == "valid" and inputs["valid_text"] is None:
        ways.append("name files to validate on with --valid")
    elif inputs["valid_text"] is None:
        ways.append("give more text, or files to validate on with --valid")
    else:
        ways.append("give more text")
    return ways
