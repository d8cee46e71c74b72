"""The README's first screen: the answer, where sharing wins and loses.

All of it follows from the records, wording included: a new study on record changes the answer by
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evidence.cells import most_careful
from evidence.claim import Verdict, in_words
from evidence.comparison import OPEN, Interval, is_tuned, paired, weight, word_of
from evidence.plateau import PLATEAU, on_plateau, told
from evidence.results import (
    Table,
    read_claims,
    read_json,
    reading,
    recorded_languages,
    recorded_rivals,
    recorded_tables,
)
from figures.base.tables import plain_markdown, verdict_counts
from figures.base.wording import count, interval, size_of
from figures.pages.claims_page import claim_link
from figures.pages.rivals import sentences
from swe.base.errors import ResultError

ARM, START = "swe-f", "equal-start"
CLAIM = "TAB1-F"
"""The paper's claim that the answer is about."""
PAGE = "docs/claims.md"
WINS = (Verdict.HOLDS, Verdict.LIMITS, Verdict.HELPS)
NETWORK = "TOY-UNROLLED"
"""Claim on small networks in which sharing wins, shown while no BERT on record wins."""
LANGUAGE, CELLS = "LANG-COMPOSITION", "LANG-CELLS"
"""Claims on a BERT in a language of known truth: cell by cell, and over all of them."""
STUDENTS = "TOY-SWE"
"""Claim on small networks in which it does not, shown while no BERT on record loses."""
MODEL = "ADAM-TAU"
"""Claim on a model in which sharing wins and loses, shown while no network wins either."""
Case = tuple[Path, str, dict[str, Any]]
"""File, picture, content of a comparison."""
SAYS = {"helps": "helps", "hurts": "hurts", "no gain": "shows no gain", "open": "is undecided"}


def answer(records: Path) -> str:
    """Say whether SWE-F helps, against the baseline and against its own start.

    ``records`` is the default run's folder; the studies on record lie beside it. Raises ResultError
    for a file that is missing or malformed.
    """
    claims = _claims(records)
    text = "No run on record compares SWE-F with a baseline over two seeds."
    decided = True
    for path, _, data in _comparisons(records)[:1]:
        with reading(path):
            text = _sentence(data)
            gaps = [word_of(gap, data) for _, gap in _gaps(data)]
            decided = not {PLATEAU, OPEN} & set(gaps)
    text += "".join(
        f" The paper's claim, {claim_link(CLAIM, PAGE)}: {_words(claim)}."
        for identity, claim in claims.items()
        if identity == CLAIM
    )
    said = []
    language, together = claims.get(LANGUAGE, {}), claims.get(CELLS, {})
    if language.get("rigour"):
        cells = (
            f"over all its cells **{_words(together)}** ({claim_link(CELLS, PAGE)}), cell by cell "
            if together.get("rigour")
            else ""
        )
        said.append(
            "On a made language in which one skill serves every depth, a BERT’s SWE-F ends below "
            f"the tuned baseline and below its own start: {cells}**{_words(language)}** "
            f"({claim_link(LANGUAGE, PAGE)})."
        )
    network = claims.get(NETWORK, {})
    if network.get("verdict") in WINS:
        said.append(
            "Where every layer is a step of one iteration, tying first **helps** small networks "
            "against the tuned baseline and against their own start"
            f"{_in(network['qualifier'])}: {claim_link(NETWORK, PAGE)}."
        )
    said.insert(0 if decided else len(said), text if decided or not said else f"On text: {text}")
    compared = sentences([one.data for one in recorded_rivals(records.parent / "studies")])
    if compared:
        said.append(
            f"Of [all methods at equal compute](docs/rivals.md): {plain_markdown(compared)}"
        )
    counts = ", ".join(
        f"{word} {number}" for word, number in verdict_counts(claims.values()).items()
    )
    return f"{' '.join(said)}\n\nThe {len(claims)} claims by [verdict]({PAGE}): {counts}."


def _words(claim: Mapping[str, str]) -> str:
    return plain_markdown(in_words(claim["verdict"], claim["qualifier"]))


def cases(records: Path) -> str:
    """Show a picture of where sharing wins beside one of where it loses, as the records have it.

    It wins where it helps against all that it is compared with: a gain over the baseline alone may
    be the start's.
    """
    shown: dict[str, tuple[str, str]] = {}
    recorded = recorded_languages(records.parent / "studies")
    languages = _weighed(_cases_of(most_careful(recorded)))
    for path, picture, data in [*_comparisons(records), *languages]:
        with reading(path):
            verdicts = [word_of(gap, data) for _, gap in _gaps(data)]
            for heading, met in (
                ("Sharing wins", set(verdicts) == {"helps"}),
                ("Sharing loses", verdicts[0] == "hurts"),
            ):
                if met:
                    shown.setdefault(heading, (f"{_model(data)}: SWE-F {_against(data)}", picture))
    shown = dict(sorted(shown.items(), reverse=True))
    if "Sharing wins" not in shown:
        shown = _win_elsewhere(_claims(records)) | shown
    if "Sharing loses" not in shown:
        shown |= _none_elsewhere(_claims(records))
    if not shown:
        return "No case on record."
    pictures = [
        f"![{heading}](docs/images/{picture}.png)" for heading, (_, picture) in shown.items()
    ]
    rows = (list(shown), ["---"] * len(shown), pictures, [words for words, _ in shown.values()])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _win_elsewhere(claims: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Return {heading: (words, picture)} of a win outside BERT: a network's, else a model's."""
    network, model = claims.get(NETWORK, {}), claims.get(MODEL, {})
    if network.get("verdict") in WINS:
        words = (
            "Small networks whose layers are steps of one iteration, every rate tuned on other "
            "networks: SWE-F ends below the baseline and below its own start"
            f"{_in(network['qualifier'])}: {claim_link(NETWORK, PAGE)}"
        )
        return {"Sharing wins": (words, network["figure"])}
    if model.get("verdict") == Verdict.HOLDS:
        words = (
            "In no network on record, but in a model of one: a noisy quadratic under AdamW. Below "
            "1 tying wins over the same start untied, with every rate tuned; it does where the "
            f"layers want nearly the same (small bias): {claim_link(MODEL, PAGE)}"
        )
        return {"Sharing wins, in a model": (words, model["figure"])}
    return {}


def _none_elsewhere(claims: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Return {heading: (words, picture)} of networks in which sharing does not win."""
    found = claims.get(STUDENTS, {})
    if found.get("verdict") not in (Verdict.NO_GAIN, Verdict.FAILS):
        return {}
    words = (
        "Residual networks that are taught by one of their kind: does some SWE schedule end below "
        f"the baseline? **{_words(found)}** ({claim_link(STUDENTS, PAGE)})"
    )
    return {"Sharing does not win": (words, found["figure"])}


def _in(qualifier: str) -> str:
    return f" in {plain_markdown(qualifier)}" if qualifier else ""


def _claims(records: Path) -> dict[str, dict[str, str]]:
    claims = read_claims(records)
    if claims is None:
        raise ResultError(f"{records / 'claims.json'} is missing")
    return {claim["id"]: claim for claim in claims}


def _comparisons(records: Path) -> list[Case]:
    """Return (file, picture, content) of what compares SWE-F with a baseline, weightiest first.

    The first one speaks: see :func:`evidence.comparison.weight`. Without an interval none does.
    """
    found = _cases_of(recorded_tables(records.parent / "studies"))
    path = records / "comparison.json"
    default = read_json(path)
    if default is not None:
        found.append((path, "bert_loss", default))
    return _weighed(found)


def _cases_of(tables: Sequence[Table]) -> list[Case]:
    return [(table.path, table.figure(), table.data) for table in tables]


def _weighed(found: Sequence[Case]) -> list[Case]:
    """Return the cases with an interval, weightiest first."""
    weighed = []
    for path, picture, data in found:
        with reading(path):
            gap = data["arms"].get(ARM, {}).get("difference", {"low": None})
            if gap["low"] is not None:
                weighed.append((weight(data, ARM), (path, picture, data)))
    return [case for _, case in sorted(weighed, key=lambda entry: entry[0], reverse=True)]


def _baseline(data: Mapping[str, Any]) -> str:
    return "tuned baseline" if is_tuned(data["study"]) else "baseline (one rate for all arms)"


def _model(data: Mapping[str, Any]) -> str:
    base, size = data["arms"][data["reference"]], size_of(data["study"])
    language = data["study"].get("language")
    where = f" on the {language['kind']} language" if language else ""
    return (
        f"BERT {size}{' (layers x width)' if size[0].isdigit() else ''}{where}, "
        f"{count(base['steps'])} updates of {count(round(base['tokens'] / base['steps']))} tokens"
    )


def _gaps(data: Mapping[str, Any]) -> list[tuple[str, Interval]]:
    """Return what SWE-F is held against and the paired difference of final losses to it."""
    others = {
        data["reference"]: f"the {_baseline(data)}",
        START: "its own start without tying",
    }
    gaps = ((name, paired(data, ARM, other)) for other, name in others.items())
    return [(name, gap) for name, gap in gaps if gap is not None and gap.n > 1]


def _against(data: Mapping[str, Any]) -> str:
    return " and ".join(
        f"**{SAYS[word_of(gap, data)]}** against {name} "
        f"({plain_markdown(interval(asdict(gap)))} nats, n = {gap.n})"
        for name, gap in _gaps(data)
    )


def _sentence(data: Mapping[str, Any]) -> str:
    if on_plateau(data):
        return (
            "No text run on record tells: SWE-F and all that it is compared with are **on the "
            f"plateau**, where no layer has learnt from context yet ({told(data)}; {_model(data)})."
        )
    return (
        f"SWE-F, tied for the first {100 * data['study']['tau']:g} % of the run, {_against(data)}: "
        f"final validation loss, 95 % intervals over paired seeds, {_model(data)}"
        f"{f'; {told(data)}' if told(data) else ''}."
    )
