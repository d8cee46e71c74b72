"""When a decreasing loss gets where it is wanted, by bisection."""

from collections.abc import Callable

import numpy as np


def time_to_ratio(loss: Callable[[float], float], ratio: float) -> float:
    """When a decreasing loss reaches `ratio` of its start, by bisection in log time."""
    goal = ratio * loss(0.0)
    low, high = 1e-12, 1e-12
    while loss(high) > goal:
        low, high = high, 8.0 * high
    for _ in range(45):  # 8^(2^-45) - 1 < 1e-13
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if loss(middle) > goal else (low, middle)
    return high
