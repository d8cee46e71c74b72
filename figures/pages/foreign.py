"""The record of foreign models, wrappers and optimisers in words, for docs/foreign_models.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from figures.base.tables import markdown, plain_markdown
from figures.base.wording import listing, plain

Row = dict[str, Any]


def models(record: dict[str, Any], *sections: str) -> str:
    """Every list of layers of every class: as it is, by options, refused, not tried."""
    parts = []
    for section in sections:
        content = record["sections"].get(section)
        if content is None:
            parts.append(f"{section}: not run.")
            continue
        rows: list[Row] = content["rows"]
        lists = [one | {"class": _name(row)} for row in rows for one in row.get("lists", [])]
        parts += [
            _summary(section, content, lists),
            _as_they_are(lists),
            _table(
                {"class": "Class", "where": "List", "way": "Taken with"},
                [one for one in lists if one.get("way", "as it is") != "as it is"],
            ),
            _table(
                {"class": "Class", "where": "List", "refusal": "Refused: the line"},
                [one for one in lists if "way" not in one and "wrong" not in one],
            ),
            _table(
                {"class": "Class", "where": "List", "wrong": "Differs"},
                [one for one in lists if "wrong" in one],
            ),
            _not_tried([row | {"name": _name(row)} for row in rows]),
        ]
    return "\n\n".join(part for part in parts if part)


def _name(row: Row) -> str:
    name = str(row.get("class", row.get("family")))
    return f"{name} ({row['family']})" if row.get("family", "").endswith("depth") else name


def _summary(section: str, content: dict[str, Any], lists: Sequence[Row]) -> str:
    taken = [one for one in lists if "way" in one and "wrong" not in one]
    plainly = [one for one in taken if one["way"] == "as it is"]
    told = [one["generates"] for one in lists if "generates" in one]
    tried = sum("not_tried" not in row for row in content["rows"])
    words = [
        f"{section} {content['versions'][section]}, torch {content['versions']['torch']}: "
        f"{tried} of {len(content['rows'])} classes tried, {len(lists)} lists of layers. "
        f"{len(plainly)} are taken as they are, {len(taken) - len(plainly)} with options that the "
        f"refusal names, {len([o for o in lists if 'way' not in o and 'wrong' not in o])} are "
        f"refused, {len([o for o in lists if 'wrong' in o])} differ from untied copies.",
        f"The largest distance from untied copies is {_most(taken)}.",
    ]
    if told:
        words.append(
            f"While tied, {sum(word == 'same' for word in told)} of {len(told)} that generate give "
            "the stock class's tokens and scores, with and without a cache."
        )
    words.append(_where(content))
    return " ".join(words)


def _most(rows: Iterable[Row]) -> str:
    return plain(max((row["distance"] for row in rows), default=0.0), 1)


def _where(content: dict[str, Any]) -> str:
    here = content["environment"]
    return (
        f"{here['device']}, one thread, {content['seconds']} seconds, commit "
        f"{str(here['commit'])[:10]}."
    )


def _as_they_are(lists: Sequence[Row]) -> str:
    names = sorted({one["class"] for one in lists if one.get("way") == "as it is"})
    kept = [n for n in names if "wrong" not in {k for o in lists if o["class"] == n for k in o}]
    return f"As they are: {plain_markdown(', '.join(kept))}." if kept else ""


def _table(headings: dict[str, str], rows: Sequence[Row]) -> str:
    return markdown(headings, [{k: str(row[k]) for k in headings} for row in rows]) if rows else ""


def _not_tried(rows: Sequence[Row]) -> str:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if "not_tried" in row:
            reasons.setdefault(row["not_tried"].partition(":")[0], []).append(row["name"])
    return "\n".join(
        f"- Not tried, {reason}: {plain_markdown(', '.join(sorted(set(names))))}."
        for reason, names in sorted(reasons.items())
    )


def transformers(record: dict[str, Any]) -> str:
    """The classes of transformers."""
    return models(record, "transformers")


def vision(record: dict[str, Any]) -> str:
    """The families of timm and torchvision."""
    return models(record, "timm", "torchvision")


def wrappers(record: dict[str, Any]) -> str:
    """What stands around a model or its layers, a row each."""
    content = record["sections"]["wrappers"]
    rows: dict[str, list[Row]] = {}
    for row in content["rows"]:
        rows.setdefault(row["wrapper"], []).append(row)
    table = [
        {"what": name, "came": "; ".join(dict.fromkeys(_came(row) for row in found))}
        for name, found in rows.items()
    ]
    around = listing(dict.fromkeys(row["class"] for row in content["rows"] if "class" in row))
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    return (
        f"{markdown({'what': 'Wrapper', 'came': 'What came of it'}, table)}\n\n"
        f"Around {around}; {versions}. {_where(content)}"
    )


def _came(row: Row) -> str:
    if "not_tried" in row:
        return f"not tried: {row['not_tried']}"
    if "refusal" in row:
        return f"refused: {row['refusal'].partition(': ')[2] or row['refusal']}"
    return f"differs: {row['wrong']}" if "wrong" in row else "as untied copies"


def optimisers(record: dict[str, Any]) -> str:
    """Every optimiser, by library."""
    content = record["sections"]["optimisers"]
    rows: list[Row] = content["rows"]
    good = [r for r in rows if "distance" in r and "wrong" not in r]
    parts = []
    for library in dict.fromkeys(row["optimiser"].partition(" ")[0] for row in rows):
        names = [
            r["optimiser"].partition(" ")[2] for r in good if r["optimiser"].startswith(library)
        ]
        version = content["versions"].get(library, "")
        parts.append(f"- {library} {version}: {plain_markdown('; '.join(names))}.")
    others = [{"what": row["optimiser"], "came": _came(row)} for row in rows if row not in good]
    table = markdown({"what": "Optimiser", "came": "What came of it"}, others) if others else ""
    return (
        f"As untied copies (largest distance {_most(good)}):\n\n"
        + "\n".join(parts)
        + (f"\n\n{table}" if table else "")
        + f"\n\n{_where(content)}"
    )
