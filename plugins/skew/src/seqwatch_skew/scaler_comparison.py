"""Comparison of the declared scaler with hourly summaries of the input.

Nothing is paired here: under the right scaler the scaled input has mean 0 and
standard deviation 1, within an error that the input's own memory decides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.special import stdtrit

from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats

MIN_DAYS = 14

# Batches whose means are taken as independent: weeks when there are six of them, else shorter.
# On 500 streams of AR(1) with 0.97 an hour, a memory of three days, four weeks of a sound
# scaler are then called off in 4 % instead of 1 %; errors from autocorrelations did so in 17 %.
_BATCHES = 6
_WEEK = 7

# Two tests for each feature share this chance of calling a sound scaler off.
_CHANCE = 0.01

# What a season does to a month: one spread of the training input, or a factor e in the
# spread. An explanation by name may be off by as much and must be three times nearer than
# the contract; and where both could have come to one place, they cannot be distinguished.
_NEAR = 1.0
_NEARER = 3.0
_FAR = 2 * _NEAR


class Parity(StrEnum):
    """Result of the comparison of input and scaler.

    `parity`: within error. `moved`: beyond error, and still nearest to what the
    contract declares, as by a season. `double_scaling`, `not_scaled`: what the
    input would be then. `other_scaler`: far off, and no name fits.
    `undetermined`: too little is known.
    """

    PARITY = "parity"
    MOVED = "moved"
    DOUBLE_SCALING = "double_scaling"
    NOT_SCALED = "not_scaled"
    OTHER_SCALER = "other_scaler"
    UNDETERMINED = "undetermined"


class Logged(StrEnum):
    """What the rows hold: values before the scaler, or after it."""

    RAW = "raw"
    SCALED = "scaled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerParity:
    """One feature's scaler, held against its input.

    Attributes
    ----------
    n_days
        With values.
    n_effective
        How many independent days they are worth, for the mean; at most all.
    mean, sd
        Of the scaled input: 0 and 1 when the scaler fits.
    mean_error, sd_error
        How far off these may be by chance, so that a sound scaler is called
        off once in a hundred comparisons of all features.
    """

    name: str
    verdict: Parity
    n_days: int
    n_effective: float | None = None
    mean: float | None = None
    mean_error: float | None = None
    sd: float | None = None
    sd_error: float | None = None

    def concealed(self) -> "ScalerParity":
        """Return the verdict alone."""
        return ScalerParity(name=self.name, verdict=self.verdict, n_days=self.n_days)


def parity(
    hours: Hourly, scaler: Mapping[str, tuple[float, float]], logged: Logged = Logged.RAW
) -> tuple[ScalerParity, ...]:
    """Hold the input of some weeks against the scaler of each feature that has one.

    The error comes from the means of batches of days, which differ by more the
    longer the input remembers. It knows nothing of seasons longer than the
    stretch; hence `moved`.

    Parameters
    ----------
    hours
        The input, hour by hour.
    scaler
        Center and scale by feature.
    logged
        Whether `hours` holds values before or after the scaler.

    References
    ----------
    .. [1] L. W. Schmeiser, "Batch size effects in the analysis of simulation
       output", Operations Research 30(3), 1982, pp. 556-568.

    Examples
    --------
    >>> noise = np.random.default_rng(1).normal(size=(24 * 28, 1))
    >>> def shown(mean):
    ...     flat = np.zeros_like(mean)
    ...     return Hourly(names=("t",), first=0, n=flat + 1, n_missing=flat,
    ...                   n_repeat=flat, mean=mean, sd=flat)
    >>> parity(shown(20 + 5 * noise), {"t": (20.0, 5.0)})[0].verdict.value
    'parity'
    >>> parity(shown(noise), {"t": (20.0, 5.0)})[0].verdict.value
    'double_scaling'
    """
    known = [i for i, name in enumerate(hours.names) if name in scaler]
    chance = _CHANCE / max(2 * len(known), 1)
    return tuple(
        _compare_scaler(hours.names[i], _days(hours, i), scaler[hours.names[i]], logged, chance)
        for i in known
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Days:
    """Of each day with values: how many, their mean, and their mean square about `middle`."""

    n: Floats
    mean: Floats
    square: Floats
    middle: float


def _days(hours: Hourly, feature: int) -> _Days:
    n_days = len(hours) // HOURS
    n, mean, sd = (
        values[len(values) - n_days * HOURS :, feature].reshape(n_days, HOURS)
        for values in (hours.n, hours.mean, hours.sd)
    )
    there = n.sum(axis=1) > 0
    n, mean, sd = n[there], np.nan_to_num(mean[there]), np.nan_to_num(sd[there])
    middle = float((n * mean).sum() / n.sum()) if n.size else 0.0
    of_day = n.sum(axis=1)
    return _Days(
        n=of_day,
        mean=(n * mean).sum(axis=1) / of_day,
        square=(n * (sd**2 + (mean - middle) ** 2)).sum(axis=1) / of_day,
        middle=middle,
    )


def _compare_scaler(
    name: str, days: _Days, scaler: tuple[float, float], logged: Logged, chance: float
) -> ScalerParity:
    found = ScalerParity(name=name, verdict=Parity.UNDETERMINED, n_days=days.n.size)
    if days.n.size < MIN_DAYS:
        return found
    variance = float((days.n * days.square).sum() / days.n.sum())
    if variance <= 0:
        return found
    center, scale = scaler if logged is Logged.RAW else (0.0, 1.0)
    sd = math.sqrt(variance)
    error = standard_error(days.mean)
    degrees = _batches(days.n.size)[0] - 1
    quantile = float(stdtrit(degrees, 1 - chance / 2))
    mean_error = quantile * error
    # Of a square root: half the relative error of what it is taken of.
    sd_error = sd * quantile * standard_error(days.square) / variance / 2
    is_sound = (
        abs(days.middle - center) <= mean_error and abs(math.log(sd / scale)) <= sd_error / sd
    )
    named = Parity.PARITY if is_sound else _named(days.middle, sd, scaler, logged)
    return replace(
        found,
        verdict=named,
        n_effective=min(
            float(days.mean.var(ddof=1)) / max(error**2, 1e-300), float(days.n.size)
        ),
        mean=(days.middle - center) / scale,
        mean_error=mean_error / scale,
        sd=sd / scale,
        sd_error=sd_error / scale,
    )


def _named(mean: float, sd: float, scaler: tuple[float, float], logged: Logged) -> Parity:
    """Return the description of an input when it is not what the contract declares."""
    center, scale = scaler
    raw, once, twice = (center, scale), (0.0, 1.0), (-center / scale, 1 / scale)
    if logged is Logged.RAW:
        declared, others = raw, ((Parity.DOUBLE_SCALING, once), (Parity.DOUBLE_SCALING, twice))
    else:
        declared, others = once, ((Parity.NOT_SCALED, raw), (Parity.DOUBLE_SCALING, twice))
    off = _apart(mean, sd, declared)
    for name, moments in others:
        apart = _apart(mean, sd, moments)
        if apart <= _NEAR and _NEARER * apart <= off and _apart(*moments, declared) >= _FAR:
            return name
    return Parity.MOVED if off <= _FAR else Parity.OTHER_SCALER


def _apart(mean: float, sd: float, moments: tuple[float, float]) -> float:
    return math.hypot((mean - moments[0]) / moments[1], math.log(sd / moments[1]))


def standard_error(values: Floats) -> float:
    """Return the standard error of the mean of days that remember each other.

    Parameters
    ----------
    values : (day,)
        All finite, at least `MIN_DAYS`.

    Examples
    --------
    >>> days = np.random.default_rng(1).normal(size=600)
    >>> 0.8 < standard_error(days) * 600**0.5 < 1.2
    True
    """
    n_batches, length = _batches(values.size)
    means = values[values.size - n_batches * length :].reshape(n_batches, length).mean(axis=1)
    return float(means.std(ddof=1)) / math.sqrt(n_batches)


def _batches(n_days: int) -> tuple[int, int]:
    """Return how many batches some days make, and of how many days each."""
    length = min(n_days // _BATCHES, _WEEK)
    return n_days // length, length
