"""Numbers as a reader meets them: in captions, cells and legends, with a true minus sign."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from evidence.plateau import told

GROUP = "\u202f"
"""Between groups of three digits: a narrow space at which no line breaks."""


def plain(value: float, digits: int = 3) -> str:
    """Return ``value`` with so many significant digits; 1.2 × 10⁻⁵ where zeros would not help."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if 1e-3 <= abs(value) < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        return f"{value:,.{places}f}".replace("-", "−").replace(",", GROUP)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{power}".replace("-", "−")


def fixed(value: float, places: int = 4, sign: bool = False) -> str:
    """Return ``value`` with so many decimals, the sign always shown on request."""
    return f"{value:{'+' if sign else ''}.{places}f}".replace("-", "−")


def count(value: int) -> str:
    """Return a whole number in groups of three."""
    return f"{value:,}".replace(",", GROUP)


def listing(items: Iterable[Any]) -> str:
    """Return "a, b and c"."""
    words = [str(item) for item in items]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def interval(gap: dict[str, Any], places: int = 4) -> str:
    """Return "mean [low, high]" of a signed difference; only the mean when n = 1."""
    mean = fixed(gap["mean"], places, sign=True)
    if gap["low"] is None:
        return mean
    low, high = (fixed(gap[end], places, sign=True) for end in ("low", "high"))
    return f"{mean} [{low}, {high}]"


def ended(compared: Mapping[str, Any]) -> str:
    """Return " Best loss blind to context ...: ...", a sentence for a page; "" without one."""
    words = told(compared)
    return f" {words[0].upper()}{words[1:]}." if words else ""


def size_of(study: Mapping[str, Any]) -> str:
    """Return a study's size, "8x64"; whose encoder it is where not ours; "causal" where it is."""
    stock = study.get("encoder") == "transformers"
    size = f"{study['size']} of transformers" if stock else str(study["size"])
    return f"{size}, causal" if is_causal(study) else size


def is_causal(study: Mapping[str, Any]) -> bool:
    """Whether a study predicts the next token; records from before there was a choice do not."""
    return bool(study.get("objective") == "causal")
