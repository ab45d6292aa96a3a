"""Streams that the tests of the monitors look at."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter

from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats, chunk_at

START = datetime(2016, 7, 1, tzinfo=UTC)
ETT = Path(os.environ.get("SEQWATCH_DATA", "../shared/data")) / "ett"
CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
REFERENCE_HOURS = 11_520  # the rest of ETTh1 is for reports, not for tuning


def grid(mean: Floats, first_day: int = 0, names: tuple[str, ...] | None = None) -> Hourly:
    """Lay hourly means on a grid that starts so many days after START."""
    ones = np.where(np.isfinite(mean), 1.0, 0.0)
    return Hourly(
        names=names or tuple(f"f{i}" for i in range(mean.shape[1])),
        first=chunk_at(START) + first_day * HOURS,
        n=ones,
        n_missing=1.0 - ones,
        n_repeat=np.zeros_like(mean),
        mean=mean,
        sd=ones,
    )


def days(hours: Hourly, start: int, end: int) -> Hourly:
    """Cut the days [start, end), counted from START."""
    first = chunk_at(START)
    return hours.until(first + end * HOURS, (end - start) * HOURS)


def day(n: int) -> datetime:
    return START + timedelta(days=n)


def ar1(phi: float, shape: tuple[int, ...], seed: int) -> Floats:
    """Autoregressive noise along the first axis, variance 1."""
    noise = np.random.default_rng(seed).normal(size=(shape[0] + 500, *shape[1:]))
    series: Floats = lfilter([np.sqrt(1 - phi * phi)], [1, -phi], noise, axis=0)[500:]
    return series


def plant(n_days: int, seed: int = 1) -> Floats:
    """Six sensors of one plant: daily season, shared slow moods, a little own noise."""
    n = n_days * HOURS
    hour = np.arange(n)
    season = np.sin(2 * np.pi * hour / 24)[:, None] * np.array([3, 3, 2, 2, 1, 1])
    moods = ar1(0.98, (n, 3), seed) @ np.kron(np.eye(3), [[1.5, 1.2]])
    values: Floats = 10 + season + moods + 0.3 * ar1(0.7, (n, 6), seed + 1)
    return values


def etth1(n_hours: int | None = REFERENCE_HOURS) -> Floats:
    """The part of ETTh1 that may be tuned on; None gives all of it, for reports."""
    return ett("ETTh1")[:n_hours]


def ett(name: str) -> Floats:
    """All of ETTh1 or ETTh2, two years; for reports."""
    path = ETT / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    table: Floats = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=range(1, 8))
    return table
