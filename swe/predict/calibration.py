"""The runs whose outcome is known, by which a forecast is made: features and what came of them.

A case is one run that was measured and what sharing did in others of its kind, over the whole
budget. The shipped ones are `calibration.npz`, made by `python -m benchmarks.forecast_fit` of the
checkout from cells drawn at random (`theory.toys.cells`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from swe.base.errors import ConfigError
from swe.predict.measured import FEATURES

VERDICTS = ("helps", "no gain", "hurts")
TAUS = (0.1, 0.2, 0.4, 0.6, 0.8)
"""Fractions of the run until which SWE-F was tried."""
SHIPPED = Path(__file__).with_name("calibration.npz")
NAMES = ("cell", "features", "change", "verdict", "families", "family")


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """n measured runs of C cells. Raises ConfigError for shapes that do not fit.

    `features` (n, 17) of each run and `cell` (n,), the cell that it is of. By cell: `change` (C, 5)
    of log10 loss, SWE-F until each of TAUS minus the better of baseline and equal start; `verdict`
    (C, 5), index into VERDICTS, the worse of both comparisons; `family` (C,), index into
    `families`.
    """

    share: float
    features: NDArray[np.float64]
    cell: NDArray[np.int64]
    change: NDArray[np.float64]
    verdict: NDArray[np.int64]
    family: NDArray[np.int64]
    families: tuple[str, ...]

    def __post_init__(self) -> None:
        runs, cells = len(self.features), len(self.change)
        shapes = {
            "features": (self.features.shape, (runs, len(FEATURES))),
            "cell": (self.cell.shape, (runs,)),
            "change": (self.change.shape, (cells, len(TAUS))),
            "verdict": (self.verdict.shape, (cells, len(TAUS))),
            "family": (self.family.shape, (cells,)),
        }
        for name, (got, wanted) in shapes.items():
            if got != wanted:
                raise ConfigError(f"calibration: {name} has shape {got}, must be {wanted}")
        if runs == 0 or self.cell.min() < 0 or self.cell.max() >= cells:
            raise ConfigError("calibration: every run must be of one of its cells")

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """Standard deviation of each feature, (17,); 1 where a feature is the same in all runs."""
        deviation = self.features.std(axis=0)
        return np.where(deviation > 1e-9, deviation, 1.0)

    @cached_property
    def best(self) -> NDArray[np.int64]:
        """Index into TAUS of each cell's best, (C,)."""
        return np.asarray(self.change.argmin(axis=1))

    @cached_property
    def outcome(self) -> NDArray[np.int64]:
        """Verdict of each cell at its best tau, (C,)."""
        return self.verdict[np.arange(len(self.best)), self.best]

    def without(self, cells: NDArray[np.bool_]) -> Calibration:
        """The same without those cells (a mask, (C,)) and the runs of theirs."""
        new = np.cumsum(~cells) - 1
        runs = ~cells[self.cell]
        return Calibration(
            share=self.share,
            features=self.features[runs],
            cell=new[self.cell[runs]],
            change=self.change[~cells],
            verdict=self.verdict[~cells],
            family=self.family[~cells],
            families=self.families,
        )


def save(path: Path, calibrations: dict[float, Calibration]) -> None:
    """Write calibrations, one a share, rounded to what single precision holds."""
    arrays: dict[str, NDArray[np.generic]] = {"shares": np.array(list(calibrations))}
    for number, one in enumerate(calibrations.values()):
        arrays |= {
            f"features{number}": one.features.astype(np.float32),
            f"cell{number}": one.cell.astype(np.int32),
            f"change{number}": one.change.astype(np.float32),
            f"verdict{number}": one.verdict.astype(np.int8),
            f"family{number}": one.family.astype(np.int8),
            f"families{number}": np.array(one.families),
        }
    np.savez_compressed(path, allow_pickle=False, **arrays)


@lru_cache(maxsize=4)
def load(share: float, path: Path = SHIPPED) -> Calibration:
    """Return the calibration for rehearsals of that share of a run.

    Raises ConfigError for a share that it does not hold, and for a file that is none.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            held = found["shares"].tolist()
            if share not in held:
                raise ConfigError(f"share = {share:g}: must be one of {tuple(held)}")
            part = {name: found[f"{name}{held.index(share)}"] for name in NAMES}
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise ConfigError(f"{path}: is no calibration ({error})") from error
    return Calibration(
        share=share,
        features=part["features"].astype(np.float64),
        cell=part["cell"].astype(np.int64),
        change=part["change"].astype(np.float64),
        verdict=part["verdict"].astype(np.int64),
        family=part["family"].astype(np.int64),
        families=tuple(str(name) for name in part["families"]),
    )
