"""The series of the comparison, and the weeks and paths that are cut from them.

Everything is hourly. A window is a week; each comes with the four weeks before
it, for detectors that need a season or a running start.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from monitors.summaries.summary import Floats

FOLDER = Path(os.environ.get("SEQWATCH_DATA", "../shared/data"))
DAY, WEEK = 24, 168
CONTEXT = 4 * WEEK
LEAD = CONTEXT + WEEK


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One multivariate series without gaps; row 0 is a midnight.

    Attributes
    ----------
    values : (hour, sensor)
    seasonal
        False where there is no time of day: faults of the season make no
        sense there.
    """

    name: str
    values: Floats
    seasonal: bool = True

    @property
    def n_weeks(self) -> int:
        return len(self.values) // WEEK

    def windows(self, first: int, n: int) -> Floats:
        """Return weeks with their context, (window, hour, sensor)."""
        return np.stack(
            [
                self.values[week * WEEK - CONTEXT : (week + 1) * WEEK]
                for week in range(first, first + n)
            ]
        )


def _columns(path: Path, columns: Sequence[int]) -> Floats:
    if not path.exists():
        raise SystemExit(f"{path} is absent: set SEQWATCH_DATA to the folder of the series")
    table: Floats = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=columns)
    return table


def ett(name: str) -> Series:
    """Read ETTh1 or ETTh2: seven sensors of a transformer, two years."""
    table = _columns(FOLDER / "ett" / f"{name}.csv", range(1, 8))
    return Series(name=name, values=table[: len(table) // DAY * DAY])


def elec2() -> Series:
    """Read price and demand of New South Wales, half hours averaged to hours."""
    table = _columns(FOLDER / "elec2" / "electricity.csv", (3, 4))
    return Series(name="Elec2", values=table.reshape(-1, 2, 2).mean(axis=1))


def ar1(phi: float, n_hours: int, n_sensors: int, seed: int) -> Series:
    """Make independent autoregressive noise of variance 1."""
    noise = np.random.default_rng(seed).normal(size=(n_hours + 500, n_sensors))
    values: Floats = lfilter([np.sqrt(1 - phi * phi)], [1, -phi], noise, axis=0)[500:]
    return Series(name=f"AR(1) {phi:g}", values=values, seasonal=False)


def plant(n_weeks: int, seed: int) -> Series:
    """Make three sensors with a daily season, slow moods and noise."""
    n = n_weeks * WEEK
    season = np.sin(2 * np.pi * np.arange(n) / DAY)[:, None] * np.array([3.0, 2.0, 1.0])
    moods = ar1(0.98, n, 3, seed).values + 0.3 * ar1(0.7, n, 3, seed + 1).values
    return Series(name="generated", values=10.0 + season + moods)


def bootstrap(series: Series, seed: int) -> Series:
    """Draw each day from within three weeks of it and from its class of weekday.

    All sensors keep their day together. What is left has the season of the
    year, the day and the week, and no change.
    """
    rng = np.random.default_rng(seed)
    days = series.values.reshape(-1, DAY, series.values.shape[1])
    at = np.arange(len(days))
    weekend = (at + 4) % 7 >= 5  # 2016-07-01 is a Friday
    drawn = [rng.choice(at[(np.abs(at - day) <= 21) & (weekend == weekend[day])]) for day in at]
    return Series(
        name=f"{series.name}, days redrawn", values=days[drawn].reshape(series.values.shape)
    )
