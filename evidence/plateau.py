"""The plateau: does a comparison on text count, and which of its arms are stuck?

A masked language model first learns what a model blind to context can know (``bert.data.blind``),
waits there, and only then learns from the other tokens. On the plateau arms differ in how they
reach what needs no layer at all, so nothing they do there tells of the layers. Decided beforehand:

* a run has left when its held-out loss is at least MARGIN below the best blind loss;
* an arm has left when one of its seeds has, and is stuck when none has;
* a comparison counts when one of its arms has left, at whatever budget it was run;
* in one that does not count every verdict is "on the plateau".

A comparison states its blind loss under "blind". Without one (a language, whose floor is known and
whose parts learnt are counted; a record from before the rule) nothing is decided here: ``counts``
is None and verdicts stand as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evidence.claim import Verdict

MARGIN = 0.5
"""Nats below the best blind loss from which a run has left."""
PLATEAU = str(Verdict.PLATEAU)
BLIND_FILE = "blind.json"
"""The best blind loss, beside the comparison or the runs that it is of."""


def bar(blind: Mapping[str, Any]) -> float:
    """Return the held-out loss at which a run has left the plateau."""
    return float(blind["loss"]) - MARGIN


def left(compared: Mapping[str, Any], arm: str) -> int | None:
    """Return how many of an arm's seeds have left; None where no blind loss is stated."""
    if not compared.get("blind"):
        return None
    level = bar(compared["blind"])
    return sum(loss <= level for loss in compared["arms"][arm].get("values", {}).values())


def counts(compared: Mapping[str, Any]) -> bool | None:
    """Whether an arm of a comparison has left; None where no blind loss is stated."""
    if not compared.get("blind"):
        return None
    return any(left(compared, arm) for arm in compared["arms"])


def on_plateau(compared: Mapping[str, Any]) -> bool:
    """Whether a comparison is known not to count."""
    return counts(compared) is False


def stuck(compared: Mapping[str, Any], arm: str) -> bool:
    """Whether an arm has runs, and none of them is known to have left."""
    return left(compared, arm) == 0 and bool(compared["arms"][arm].get("values"))


def state(compared: dict[str, Any], blind: Mapping[str, Any] | None) -> None:
    """State the blind loss in a comparison or a table, and judge by it."""
    if blind is None:
        return
    compared["blind"] = dict(blind)
    if on_plateau(compared):
        for entry in compared["arms"].values():
            if "verdict" in entry:
                entry["verdict"] = PLATEAU


def verdict_of(compared: Mapping[str, Any], arm: str) -> str:
    """Return an arm's verdict in words: "no gain", "no gain, stuck", "reference, stuck"."""
    word = str(compared["arms"][arm].get("verdict", "reference"))
    if on_plateau(compared):
        return PLATEAU if "verdict" in compared["arms"][arm] else word
    return f"{word}, stuck" if stuck(compared, arm) else word


def told(compared: Mapping[str, Any]) -> str:
    """Say a comparison's blind loss and what came of it; "" for one that states none."""
    if not compared.get("blind"):
        return ""
    blind, arms = compared["blind"], compared["arms"]
    ends = [loss for entry in arms.values() for loss in entry.get("values", {}).values()]
    least = f"{min(ends):.3f}" if ends else "none"
    gone = [arm for arm in arms if left(compared, arm)]
    came = f"{len(gone)} of {len(arms)} arms left the plateau" if gone else "no arm left it"
    return (
        f"best loss blind to context {blind['loss']:.3f} nats, least loss reached {least}, "
        f"the plateau ends at {bar(blind):.3f}: {came}"
    )


def reached(steps: Sequence[int], losses: Sequence[float], level: float) -> float | None:
    """Return the first update at which the loss is at most ``level``; None if it never is.

    Linear between two evaluations; the first evaluation's own update when it is below already.
    """
    before: tuple[int, float] | None = None
    for step, loss in zip(steps, losses, strict=True):
        if loss <= level:
            if before is None:
                return float(step)
            last, above = before
            return last + (step - last) * (above - level) / (above - loss)
        before = step, loss
    return None
