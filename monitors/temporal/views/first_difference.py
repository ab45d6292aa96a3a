"""View `first_difference`: hourly steps, repeats and large steps."""

import numpy as np

from monitors.statistics.view import Statistic, View, angle, cut, log_size, stack
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats

_PARTS = (
    Statistic(
        name="log step",
        grain=0.05,
        more="larger changes from hour to hour",
        less="smaller changes from hour to hour",
    ),
    Statistic(
        name="repeats",
        grain=0.05,
        more="mean of the hour before repeated more often",
        less=None,
    ),
    Statistic(
        name="tail",
        grain=0.05,
        more="larger jumps from hour to hour",
        less="smaller jumps from hour to hour",
    ),
)


def first_difference() -> View:
    """Return the view of the steps from hour to hour.

    Returns
    -------
    View
        Logarithm of the mean absolute step; share of exact repeats, as an
        angle; logarithm of root mean square / mean, which jumps raise.
    """
    return View(name="first_difference", parts=_PARTS, before=1, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    windows = cut(hours.mean[1:] - hours.mean[:-1], window, step)
    steps = np.abs(windows.values)
    size = windows.mean(steps)
    repeats = windows.mean((steps == 0) & windows.there)
    unit = np.where(size == 0, 1.0, size)
    steps = steps / unit[..., np.newaxis]
    still = np.where(size == 0, 1.0, 0.0)  # no step at all: as even as can be
    tail = 0.5 * log_size(windows.mean(steps * steps) + still)
    return stack(log_size(size), angle(repeats), tail)
