"""View `flatline`: runs of equal values."""

import numpy as np

from monitors.statistics.view import Statistic, View, angle, cut, slide, stack
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats

# Of the window's mean step: a sensor that is stuck may still flicker.
_NEARLY = 0.01

_PARTS = (
    Statistic(
        name="longest run",
        grain=0.25,
        more="constant for longer",
        less=None,
    ),
    Statistic(
        name="raw repeats",
        grain=0.05,
        more="value before repeated more often",
        less=None,
    ),
)


def flatline() -> View:
    """Return the view of standstill.

    Returns
    -------
    View
        log(1 + hours of the longest run of steps below a hundredth of the
        window's mean step); share of single values that repeat the one
        before, as an angle. A missing hour ends a run.
    """
    return View(name="flatline", parts=_PARTS, before=1, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    windows = cut(hours.mean[1:] - hours.mean[:-1], window, step)
    steps = np.abs(windows.values)
    size = windows.mean(steps)
    still = (steps <= _NEARLY * size[..., np.newaxis]) & windows.there
    position = np.arange(1, window + 1, dtype=np.int32)
    moved = np.maximum.accumulate(np.where(still, 0, position), axis=-1)
    longest = (position - moved).max(axis=-1, initial=0)
    run = np.where(np.isfinite(windows.n), np.log1p(longest), np.nan)
    repeats = slide(hours.n_repeat[1:], window, step).sum(axis=-1)
    values = slide(hours.n[1:], window, step).sum(axis=-1)
    share = np.minimum(repeats / np.maximum(values, 1.0), 1.0)
    return stack(run, angle(np.where(np.isfinite(windows.n), share, np.nan)))
