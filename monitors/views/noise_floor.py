"""How much values tremble in their quietest hours."""

import numpy as np

from monitors.hourly import Hourly
from monitors.summary import Floats
from monitors.views.view import Statistic, View, cut, log_size, stack

# Of the mean bend: below it lies how values are rounded, not how they move.
_LEAST = 0.01

_PARTS = (
    Statistic(
        name="log quiet bend",
        grain=0.05,
        more="trembles more in its quiet hours",
        less="trembles less in its quiet hours",
    ),
)


def noise_floor() -> View:
    """Return the view of the quiet hours.

    A bend is how far an hour lies from the line through the hours beside it.
    Weeks differ much in their large bends and little in their small ones,
    and noise leaves no hour quiet.

    Returns
    -------
    View
        Logarithm of the mean of the lower half of the absolute bends (second
        differences).
    """
    return View(name="noise_floor", parts=_PARTS, before=2, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    steps = hours.mean[1:] - hours.mean[:-1]
    windows = cut(steps[1:] - steps[:-1], window, step)
    half = window // 2
    # A missing hour is as wild as any: it is never among the quiet.
    bends = np.where(windows.there, np.abs(windows.values), np.inf)
    quiet = np.partition(bends, half - 1, axis=-1)[..., :half]
    enough = np.isfinite(windows.n)
    size = np.where(enough, np.where(np.isfinite(quiet), quiet, 0.0).mean(axis=-1), np.nan)
    least = _LEAST * windows.mean(np.abs(windows.values))
    return stack(log_size(np.maximum(size, least)))
