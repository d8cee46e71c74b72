"""Progress bars with an estimate of the time left, fed by plain reports."""

from __future__ import annotations

from collections.abc import Mapping

from tqdm import tqdm


class Bars:
    """One progress bar at a time, fed by report(what, done, total); a total of 0 is unknown.

    ``units``: {what: the plural noun that is counted, or "B" for bytes}; ``quiet`` shows nothing.
    """

    def __init__(self, units: Mapping[str, str], *, quiet: bool = False) -> None:
        self._units, self._quiet = units, quiet
        self._name, self._bar = "", tqdm(disable=True)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished; another ``what`` begins a new bar."""
        if what != self._name:
            self._bar.close()
            self._name = what
            unit = self._units.get(what, "steps")
            self._bar = tqdm(
                total=total or None,
                desc=what,
                unit=f" {unit}",
                unit_scale=total == 0 or unit == "B",
                disable=self._quiet,
            )
        self._bar.update(done - self._bar.n)
