"""The first screen of the report: one sentence and three numbers, out of what the results hold.

Of all BERT studies at hand that compare SWE-F with a baseline the weightiest speaks, see
:func:`evidence.comparison.weight`: the one that the README quotes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.claim import Verdict
from evidence.comparison import Interval, is_tuned, paired, weight, word_of
from evidence.plateau import on_plateau, told
from evidence.results import Table, reading
from figures.base.wording import count, fixed, interval, plain
from figures.pages.language_arms import LanguageArms, language_arms

ARM, START = "swe-f", "equal-start"


@dataclass(frozen=True)
class Number:
    """One of the three: the value, what is around it, what it is, and its verdict."""

    value: str
    around: str
    """Interval and n; "" where there is none."""
    label: str
    verdict: str
    """One of the fixed words, "" where one seed decides nothing."""


@dataclass(frozen=True)
class Answer:
    """What the first screen says."""

    sentence: str
    numbers: list[Number]
    setting: str
    """Which study speaks; "" without one."""
    arms: LanguageArms | None = None
    """Every arm where the truth is known; None without enough seeds on record."""

    @property
    def loses(self) -> bool:
        """Whether the method ends worse than the baseline, in the first number."""
        return bool(self.numbers) and self.numbers[0].verdict == Verdict.HURTS


def answer(
    comparison: Mapping[str, Any] | None,
    tables: Sequence[Table],
    claims: Sequence[Mapping[str, str]],
    theory: Mapping[str, Any] | None,
    languages: Sequence[Table] = (),
) -> Answer:
    """Put it together. ``tables`` are of text; ``theory``: data of theory/speedup.json.

    ResultError, naming the file, for a table without what its kind holds.
    """
    numbers, setting, first = [], "", ""
    spoken = _study(comparison, tables)
    if spoken is not None:
        numbers, first = _numbers(spoken), _bert(spoken)
        where = spoken["study"]
        setting = (
            f"BERT {where['size']}, {count(spoken['arms'][spoken['reference']]['steps'])} updates, "
            f"{'every arm’s rate tuned' if is_tuned(where) else 'one rate for all arms'}"
            f"{f'; {told(spoken)}' if told(spoken) else ''}"
        )
    ratios = [result for result in tables if ARM in result.data.get("speedup", {})]
    for result in sorted(ratios, key=lambda result: on_plateau(result.data))[:1]:
        with reading(result.path):
            numbers += _speed(result.data)
    if len(numbers) < 3 and theory is not None:
        numbers += _exponent(theory["caption_numbers"])
    sentence = " ".join(part for part in (first, _theory(claims)) if part)
    return Answer(sentence, numbers[:3], setting, language_arms(languages))


def _study(
    comparison: Mapping[str, Any] | None, tables: Sequence[Table]
) -> Mapping[str, Any] | None:
    """The comparison that speaks; None without any."""
    named: list[tuple[Path, Mapping[str, Any]]] = [(table.path, table.data) for table in tables]
    if comparison is not None:
        named.append((Path("comparison.json"), comparison))
    weighed = []
    for path, data in named:
        with reading(path):
            if "difference" in data["arms"].get(ARM, {}):
                weighed.append((weight(data, ARM), data))
    return max(weighed, key=lambda entry: entry[0])[1] if weighed else None


def _number(found: Interval, label: str, study: Mapping[str, Any]) -> Number:
    around = f"n = {found.n}"
    if found.low is not None and found.high is not None:
        ends = f"{fixed(found.low, 3, sign=True)} to {fixed(found.high, 3, sign=True)}"
        around = f"95 %: {ends}, {around}"
    word = word_of(found, study)
    verdict = word if word in tuple(Verdict) else ""
    return Number(fixed(found.mean, 3, sign=True), around, label, verdict)


def _numbers(study: Mapping[str, Any]) -> list[Number]:
    labels = {
        study["reference"]: "nats, SWE-F minus baseline (below zero is better)",
        START: "nats, SWE-F minus its own start without tying",
    }
    gaps = {label: paired(study, ARM, other) for other, label in labels.items()}
    return [_number(gap, label, study) for label, gap in gaps.items() if gap is not None]


def _speed(table: Mapping[str, Any]) -> list[Number]:
    ratio = table["speedup"][ARM]
    if ratio["ratio"] is None:
        return []
    around, verdict = f"n = {ratio['n']}", ""
    if ratio["low"] is not None:
        around = f"95 %: {plain(ratio['low'])} to {plain(ratio['high'])}, {around}"
        helps, hurts = ratio["low"] > 1, ratio["high"] < 1
        verdict = Verdict.HELPS if helps else Verdict.HURTS if hurts else Verdict.NO_GAIN
    if on_plateau(table):
        verdict = Verdict.PLATEAU
    label = "times as fast: baseline’s updates over SWE-F’s at equal loss"
    return [Number(plain(ratio["ratio"]), around, label, verdict)]


def _exponent(numbers: Mapping[str, Any]) -> list[Number]:
    low, high = plain(numbers["least_slope"]), plain(numbers["largest_slope"])
    label = "exponent of the depth in the gain of time, deep linear networks"
    return [Number(f"{low} to {high}", "range over targets and levels, exact", label, "")]


def _bert(study: Mapping[str, Any]) -> str:
    found = paired(study, ARM, study["reference"])
    if found is None:
        return ""
    says = {
        "helps": "trains to a lower loss than",
        "hurts": "trains to a higher loss than",
        "no gain": "shows no gain over",
        "open": "cannot, with so few seeds, be told from",
        "on the plateau": "cannot, as no run left the plateau, be told from",
    }.get(word_of(found, study), "cannot, with one seed, be told from")
    return (
        f"Sharing a BERT’s layers first and then unsharing them (SWE-F) {says} a plain baseline "
        f"with the same seeds: {interval(asdict(found), 3)} nats, n\u00a0=\u00a0{found.n}."
    )


def _theory(claims: Sequence[Mapping[str, str]]) -> str:
    """What deep linear networks say, from two verdicts; "" without them."""
    words = {claim["id"]: claim["verdict"] for claim in claims}
    faster = {
        Verdict.FAILS: "sharing is not as many times faster as there are layers",
        Verdict.HOLDS: "sharing is as many times faster as there are layers",
    }.get(Verdict(words.get("ACC", Verdict.NOT_RUN)))
    credit = {
        Verdict.REFUTED: "what it gains comes from the start, not from the tying",
        Verdict.HOLDS: "what it gains comes from the tying",
    }.get(Verdict(words.get("OUR-CREDIT", Verdict.NOT_RUN)))
    parts = [part for part in (faster, credit) if part]
    return f"In deep linear networks {', and '.join(parts)}." if parts else ""
