"""View `daily_profile`: time of rise and spread within the day."""

import numpy as np

from monitors.statistics.view import Statistic, View, centred, cut, log_size, slide, stack
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats

_PARTS = (
    Statistic(name="log spread", grain=0.05, more="larger spread", less="smaller spread"),
    Statistic(
        name="midnight",
        grain=0.05,
        more="daily cycle shifted towards midnight",
        less="daily cycle shifted towards noon",
    ),
    Statistic(
        name="morning",
        grain=0.05,
        more="daily cycle shifted towards the morning",
        less="daily cycle shifted towards the evening",
    ),
)


def daily_profile() -> View:
    """Return the view of the values by the hour of the day.

    The profile is reduced to two numbers, free of the unit: how much higher
    values lie around midnight than around noon, and around 6 h than around
    18 h (UTC), in mean absolute deviations. Order matters to them: hours that
    changed places in the day keep mean and spread, and lose the rhythm. Where
    the values lie is not evaluated: that wanders with the year, and
    `monitors.drift.input_drift` watches it with the season removed.

    Returns
    -------
    View
        Logarithm of the mean absolute deviation, the two numbers of the
        rhythm (0 where nothing moved).
    """
    return View(name="daily_profile", parts=_PARTS, before=0, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    windows = cut(hours.mean, window, step)
    _, away = centred(windows)
    spread = windows.mean(np.abs(away))
    turn = 2 * np.pi * ((hours.first + np.arange(len(hours))) % HOURS) / HOURS
    wave = slide(np.stack([np.cos(turn), np.sin(turn)], axis=1), window, step)
    # Divided first: a huge level must not overflow, a tiny one not vanish.
    shape = away / np.where(spread == 0, 1.0, spread)[..., np.newaxis]
    rhythm = 2 * np.einsum("fwt,pwt->pfw", shape, wave) / windows.n
    return stack(log_size(spread), *rhythm)
