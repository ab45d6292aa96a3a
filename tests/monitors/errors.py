"""Errors of forecasts, as the monitor of residuals reads them."""

import numpy as np

from monitors.performance.residual_statistics import ErrorDays
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from tasks import horizon_buckets
from tasks.residual_sums import sums

HORIZON = 24
AHEAD = (1, 4, 16, 24)  # hours to the last step of each part
FIRST_DAY = 17_000


def cells(errors: Floats) -> Floats:
    """Sum up each day of errors, one forecast an hour; NaN where no label is in.

    Parameters
    ----------
    errors : (hour, step, target)
        Forecast less what happened.
    """
    by_day = errors.reshape(-1, HOURS, *errors.shape[1:])
    due, hours = np.ones(by_day.shape[1:], dtype=np.bool_), np.arange(HOURS)
    return np.array([sums(day, due, hours) for day in by_day])


def error_days(of_days: Floats) -> ErrorDays:
    """Return days from `cells` as the errors of one version, from its first day on."""
    targets = tuple(f"t{i}" for i in range(of_days.shape[1] // len(AHEAD)))
    return ErrorDays(
        names=horizon_buckets.names(targets, HORIZON),
        ahead=AHEAD * len(targets),
        first_day=FIRST_DAY,
        cells=of_days,
    )


def forecast_errors(values: Floats) -> Floats:
    """Forecast a series by the same hours of the last week, and what is unusual now.

    Parameters
    ----------
    values : (hour, channel)
        Whole days.

    Returns
    -------
    (hour, step, channel)
        In standard deviations of the first half year; from the eighth day to the last
        but one.
    """
    n_days, n_channels = len(values) // HOURS, values.shape[1]
    by_day = values[: n_days * HOURS].reshape(n_days, HOURS, n_channels)
    baseline = np.stack([by_day[at - 7 : at].mean(axis=0) for at in range(7, n_days)])
    unusual = (by_day[7:] - baseline).reshape(-1, n_channels)
    hour = np.arange(len(unusual) - HOURS)
    apart = [
        baseline[hour // HOURS, (hour + step) % HOURS]
        + 0.95**step * unusual[hour]
        - values[7 * HOURS + hour + step]
        for step in range(1, HORIZON + 1)
    ]
    errors: Floats = np.stack(apart, axis=1) / values[: 180 * HOURS].std(axis=0)
    return errors


def quiet_errors(n_days: int, seed: int, n_targets: int = 1) -> Floats:
    """Return errors of a good forecast of noise with memory: (hour, step, target).

    An error h steps ahead is the weighted sum of the h shocks on the way, so that
    consecutive ones overlap, as those of any forecaster do.
    """
    n = n_days * HOURS
    shocks = np.random.default_rng(seed).normal(size=(n + HORIZON, n_targets))
    weights = 0.9 ** np.arange(HORIZON)
    errors = np.zeros((n, HORIZON, n_targets))
    for step in range(HORIZON):
        for back in range(step + 1):
            errors[:, step] += weights[back] * shocks[step - back : n + step - back]
    return 0.2 * errors
