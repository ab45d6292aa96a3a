"""View `noise_floor`: variation in the quietest hours."""

import numpy as np

from monitors.statistics.view import Statistic, View, cut, log_size, stack
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Floats

# Of the mean bend: below it lies how values are rounded, not how they move.
_LEAST = 0.01

_QUIET = HOURS // 4

_PARTS = (
    Statistic(
        name="log quiet bend",
        grain=0.05,
        more="more noise in quiet hours",
        less="less noise in quiet hours",
    ),
)


def noise_floor() -> View:
    """Return the view of the quiet hours.

    A bend is how far an hour lies from the line through the hours beside it.
    Weeks differ much in the bends of their busy hours and little in those of
    the night, or whenever a feature rests; noise leaves no hour quiet.

    Returns
    -------
    View
        Logarithm of the mean absolute bend (second difference) in the six
        hours of the day where it is smallest. Windows are whole days.
    """
    return View(name="noise_floor", parts=_PARTS, before=2, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    steps = hours.mean[1:] - hours.mean[:-1]
    windows = cut(steps[1:] - steps[:-1], window, step)
    bends = np.abs(windows.values)
    size = windows.mean(bends)
    unit = np.where(size > 0, size, 1.0)[..., np.newaxis]
    by_hour = (*bends.shape[:-1], window // HOURS, HOURS)
    n = windows.there.reshape(by_hour).sum(axis=-2)
    mean = (bends / unit).reshape(by_hour).sum(axis=-2) / np.maximum(n, 1)
    # An hour that is never there is not quiet.
    quiet = np.sort(np.where(n > 0, mean, np.inf), axis=-1)[..., :_QUIET]
    known = np.isfinite(quiet)
    least = np.where(known, quiet, 0.0).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return stack(np.log(np.maximum(least, _LEAST)) + log_size(size))
