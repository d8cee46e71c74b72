"""Events of an integration."""

from collections.abc import Callable

from theory.numerics.domain import Array


class Ending:
    """For scipy's solve_ivp: the integration ends where level(time, state) crosses zero."""

    terminal = True

    def __init__(self, level: Callable[[float, Array], float]) -> None:
        self.level = level

    def __call__(self, time: float, state: Array) -> float:
        """Return the level."""
        return self.level(time, state)
