"""Summaries laid on a regular grid of hours: the input of the drift monitors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from monitors.summaries.moments import mean_and_sd
from monitors.summaries.summary import (
    N_MISSING,
    N_MOMENTS,
    N_REPEAT,
    Floats,
    N,
    Summary,
    chunk_at,
)

HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hourly:
    """Per hour and feature, without gaps.

    Attributes
    ----------
    names
        The features.
    first
        The chunk of row 0.
    n, n_missing, n_repeat : (hour, feature)
        How many values were there, were missing, repeated the one before.
    mean, sd : (hour, feature)
        NaN where no value arrived.
    """

    names: tuple[str, ...]
    first: int
    n: Floats
    n_missing: Floats
    n_repeat: Floats
    mean: Floats
    sd: Floats

    def __len__(self) -> int:
        return len(self.mean)

    def until(self, end: int, hours: int) -> "Hourly":
        """Return the `hours` before chunk `end`, or as many of them as there are."""
        stop = min(max(end - self.first, 0), len(self))
        start = max(stop - hours, 0)
        return Hourly(
            names=self.names,
            first=self.first + start,
            n=self.n[start:stop],
            n_missing=self.n_missing[start:stop],
            n_repeat=self.n_repeat[start:stop],
            mean=self.mean[start:stop],
            sd=self.sd[start:stop],
        )

    def of(self, features: Sequence[int]) -> "Hourly":
        """Return what is known of some features, by their places."""
        return Hourly(
            names=tuple(self.names[i] for i in features),
            first=self.first,
            n=self.n[:, features],
            n_missing=self.n_missing[:, features],
            n_repeat=self.n_repeat[:, features],
            mean=self.mean[:, features],
            sd=self.sd[:, features],
        )


def hourly(summary: Summary, names: tuple[str, ...], start: datetime, end: datetime) -> Hourly:
    """Lay the chunks of `[start, end)` on a grid.

    Parameters
    ----------
    summary
        Hours that are absent count as hours without a value.
    names
        The features, in the order of the summary.
    start, end
        Timezone-aware; both are rounded down to the hour.

    Returns
    -------
    Hourly
        `mean` and `sd` are NaN where no value arrived, `sd` also where a stored one
        was lost to rounding.

    Raises
    ------
    ValueError
        If `names` does not fit the summary.
    """
    if len(names) != summary.moments.shape[1]:
        raise ValueError(f"{len(names)} names for {summary.moments.shape[1]} features")
    first, last = chunk_at(start), chunk_at(end)
    grid = np.zeros((max(last - first, 0), len(names), N_MOMENTS))
    part = summary.select(first, last)
    grid[part.chunks - first] = part.moments
    mean, sd = (np.full(grid.shape[:2], np.nan) for _ in range(2))
    mean[part.chunks - first], sd[part.chunks - first] = mean_and_sd(part.moments)
    return Hourly(
        names=names,
        first=first,
        n=grid[..., N],
        n_missing=grid[..., N_MISSING],
        n_repeat=grid[..., N_REPEAT],
        mean=mean,
        sd=sd,
    )


def held(hours: Hourly, n_hours: int) -> Hourly:
    """Return a grid on which each value stands for some hours, as long as none follows.

    A series with a step of more than an hour has a value until the next one.

    Parameters
    ----------
    hours
        Hours without a value are filled, those with one are not changed.
    n_hours
        For so many hours, its own included.
    """
    there = np.isfinite(hours.mean)
    place = np.arange(len(hours))[:, np.newaxis]
    last = np.maximum.accumulate(np.where(there, place, -n_hours), axis=0)
    source = np.where(place - last < n_hours, np.maximum(last, 0), place)

    def filled(values: Floats) -> Floats:
        return np.take_along_axis(values, source, axis=0)

    return Hourly(
        names=hours.names,
        first=hours.first,
        n=filled(hours.n),
        n_missing=filled(hours.n_missing),
        n_repeat=filled(hours.n_repeat),
        mean=filled(hours.mean),
        sd=filled(hours.sd),
    )


def whole_days(hours: Hourly, end: int | None = None) -> Hourly:
    """Return the days from the first midnight to the last.

    Parameters
    ----------
    hours
        Any stretch.
    end
        A chunk to stop at; None is the end of `hours`.
    """
    last = hours.first + len(hours) if end is None else min(end, hours.first + len(hours))
    last -= last % HOURS
    n_hours = max(last - hours.first, 0)
    return hours.until(last, n_hours - n_hours % HOURS)
