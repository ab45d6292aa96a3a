"""View `periodic_hold`: values that change every second to fourth hour only."""

import numpy as np

from monitors.statistics.view import Statistic, View, cut, slide, stack
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats

_EVERY = (2, 3, 4)  # hours; longer ones lie within the daily rhythm

_PARTS = tuple(
    Statistic(
        name=f"every {n} h",
        grain=0.05,
        more=f"held constant between steps of {n} h",
        less=f"no longer held constant between steps of {n} h",
    )
    for n in _EVERY
)


def periodic_hold() -> View:
    """Return the view of the clock behind the steps.

    A sensor that is read every second hour, and held between, moves every
    second hour only. So does a series whose blocks changed places: it jumps
    where blocks meet.

    Returns
    -------
    View
        For 2, 3 and 4 hours: logarithm of the largest share of the movement
        that falls on one phase (UTC), relative to an equal share; 0 where
        nothing moved.
    """
    return View(name="periodic_hold", parts=_PARTS, before=1, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    windows = cut(hours.mean[1:] - hours.mean[:-1], window, step)
    steps = np.abs(windows.values)
    size = windows.mean(steps)
    steps = steps / np.where(size == 0, 1.0, size)[..., np.newaxis]
    hour = hours.first + 1 + np.arange(len(hours) - 1)
    found = []
    for every in _EVERY:
        on = slide((hour[:, np.newaxis] % every == np.arange(every)) * 1.0, window, step)

        moved = np.einsum("fwt,pwt->fwp", steps, on)
        n = np.einsum("fwt,pwt->fwp", windows.there.astype(float), on)
        highest = (moved / np.maximum(n, 1.0)).max(axis=-1)
        found.append(np.where(size == 0, 0.0, np.log(np.where(size > 0, highest, 1.0))))
        found[-1] = np.where(np.isfinite(windows.n), found[-1], np.nan)
    return stack(*found)
