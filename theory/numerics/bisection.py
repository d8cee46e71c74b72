"""When a decreasing loss gets where it is wanted, by bisection."""

from collections.abc import Callable
from typing import Any

import numpy as np


def time_to_ratio(loss: Callable[..., Any], ratio: float, *given: Any) -> float:
    """When a decreasing loss(time, *given) reaches `ratio` of its start, by bisection in log time.

    A loss is a number, or an array of one.
    """

    def at(time: float) -> float:
        return float(loss(time, *given))

    goal = ratio * at(0.0)
    low, high = 1e-12, 1e-12
    while at(high) > goal:
        low, high = high, 8.0 * high
    for _ in range(45):  # 8^(2^-45) - 1 < 1e-13
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if at(middle) > goal else (low, middle)
    return high
