"""The paper's BERT claims in the ledger, judged by the runs at hand.

A table of this package (rates tuned for every arm), run here or on record, speaks before the small
comparison of the default run (one rate for all), which then stands behind it in the evidence.
The qualifier says "small": none of these runs speaks of BERT-large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bert.claims.finetuned import by_tasks, first_table_tasks
from bert.claims.languages import language_claims
from bert.claims.rivals import rival_claims
from bert.claims.scale import scale_claims
from bert.claims.tables import (
    ARMS,
    as_it_came,
    better,
    by_seeds,
    difference,
    gap,
    on_its_plateau,
    speed,
    table_2,
    table_3,
    table_4,
)
from evidence.claim import Claim, Finding, Record
from evidence.plateau import PLATEAU, on_plateau
from evidence.results import Table, find_tables, read_comparison


def bert_claims(out: Path, studies: Path | None = None) -> list[Record]:
    """Return the ledger records of the paper's tables, from the newest runs in ``out`` and from
    the ``studies`` on record.

    That an arm is better "holds" when the paired interval of the final validation loss lies below
    the baseline's, "fails" when above, and there is "no gain" when it holds zero. What was not run
    says so.
    """
    comparison = read_comparison(out)
    if comparison is not None and comparison["study"].get("objective", "masked") != "masked":
        comparison = None  # the claims are of masked models
    records = [_one_arm(claim, arm, out, studies, comparison) for arm, claim in ARM_CLAIMS.items()]
    records += [_judged(out, studies, claim, names) for claim, names in TABLE_CLAIMS]
    records = [by_tasks(record, out, studies) for record in records]
    last = [*scale_claims(out, studies), *language_claims(out, studies)]
    return [*records, first_table_tasks(out, studies), *last, *rival_claims(out, studies)]


def _one_arm(
    claim: Claim,
    arm: str,
    out: Path,
    studies: Path | None,
    comparison: dict[str, Any] | None,
) -> Record:
    """Judge an arm by the best source there is; the others stand behind it in the evidence.

    What left the plateau comes before what did not, and within each the order of sources holds.
    """
    tables: dict[Path, Table] = {}  # the first of a study: its tables share their runs
    comparisons = []
    for table in find_tables(out, studies, ("table1", "sweep", "headline"), arm):
        tables.setdefault(table.path.parent, table)
    for table in tables.values():
        comparisons.append(
            (table.data, table.origin, table.figure(), _command(table.data["table"]))
        )
    if comparison is not None and arm in comparison["arms"]:
        comparisons.append((comparison, "", "bert_comparison", _command("bert")))
    if not comparisons:
        return claim.told(None)
    comparisons.sort(key=lambda one: on_plateau(one[0]))
    words = [difference(data, arm) + origin for data, origin, _, _ in comparisons]
    for (data, _, _, _), other in zip(comparisons[1:], words[1:], strict=True):
        words[0] += f"; also {other}: {_word(data, arm)}"
    data, _, figure, command = comparisons[0]
    found = claim.check(_word(data, arm), words[0])
    return claim.told(by_seeds(found, data, arm), figure=figure, command=command)


def _word(data: dict[str, Any], arm: str) -> str:
    return PLATEAU if on_plateau(data) else str(data["arms"][arm]["verdict"])


def _judged(out: Path, studies: Path | None, claim: Claim, names: Sequence[str]) -> Record:
    """Judge by the first of the named tables that can tell, those on the plateau last."""
    tables = find_tables(out, studies, names)
    for table in sorted(tables, key=lambda table: on_plateau(table.data)):
        found = claim.check(table.data)
        if found is not None:
            return claim.told(
                on_its_plateau(found, table.data),
                evidence=found.evidence + table.origin,
                figure=table.figure("tau" if claim.id == "TAB3" else ""),
                command=_command(table.data["table"]),
            )
    return claim.told(None)


def _command(verb: str) -> str:
    return f"python paper_repro.py {verb} claims"


ARM_CLAIMS = {
    arm: Claim(
        f"TAB1-{name[-1]}",
        f"{name} reaches a better masked-language model than the baseline in the same number of "
        "updates (500k)",
        "Table 1",
        "",
        "docs/bert.md#12-layers-of-width-64",
        better,
        _command("bert"),
    )
    for arm, name in ARMS.items()
} | {
    "equal-start": Claim(
        "EQUAL",
        "Control: the equal start alone, without any tying, changes the final loss",
        "our control",
        "",
        "docs/bert.md#12-layers-of-width-64",
        as_it_came,
        _command("bert"),
    )
}
"""By arm; the figure is that of the table that judges."""


def _claim(
    identity: str,
    statement: str,
    source: str,
    anchor: str,
    judge: Callable[[dict[str, Any]], Finding | None],
    *names: str,
) -> tuple[Claim, Sequence[str]]:
    where = f"docs/bert.md#{anchor}"
    return Claim(identity, statement, source, "", where, judge, _command(names[0])), names


TABLE_CLAIMS = (
    _claim(
        "TAB1-GAP",
        "SWE closes 42 to 54 % of the gap in masked accuracy between the baseline and the one "
        "with twice its updates",
        "Table 1",
        "12-layers-of-width-64",
        gap,
        "table1",
        "sweep",
        "headline",
    ),
    _claim(
        "TAB2",
        "XLNet data, Post-LN, 1M updates: SWE-F and SWE-M beat the baseline at 1M and reach that "
        "at 2M on most tasks",
        "Table 2",
        "not-run",
        table_2,
        "table2",
    ),
    _claim(
        "TAB3",
        "MLM accuracy peaks at a small tau (50k of 500k) and depends little on rho",
        "Table 3",
        "12-layers-of-width-64",
        table_3,
        "table3",
        "sweep",
    ),
    _claim(
        "TAB4",
        "Any sharing unit AxB beats no sharing (24x1); the middle ones are best",
        "Table 4",
        "not-run",
        table_4,
        "table4",
    ),
    _claim(
        "SPEED",
        "SWE needs half the updates of the baseline for the same model (50 % of the time, counted "
        "in steps)",
        "section 5",
        "speed-up",
        speed,
        "speedup",
    ),
)
"""With the tables that can judge each, best first."""
