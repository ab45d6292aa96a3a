"""A view: statistics of windows of hours, and how a stretch is cut into windows.

A view turns each window of a series into a few numbers. All views share one
shape, so that the panel (`monitors.temporal.panel`) can ask them all alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Bools, Floats

Scalar = TypeVar("Scalar", bound=np.generic)

_TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    """One number of a view.

    Attributes
    ----------
    name
        For tables.
    grain
        A difference of this size is negligible, in the statistic's
        own unit. It counts as ordinary spread, so that a feature that never
        moved is not infinitely surprised.
    more, less
        Text of a cause when it is high or low, after the
        feature's name. With None low is as good as the middle: a feature
        that stands still less than it did has no fault.
    """

    name: str
    grain: float
    more: str
    less: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A named set of statistics of windows of hours.

    Attributes
    ----------
    name
        For tables and findings.
    parts
        The statistics, in the order of the last axis.
    before
        So many hours before a window belong to what is evaluated.
    statistics
        `statistics(hours, window, step)` gives (window, feature, statistic).
        The first window starts `before` hours into the stretch, the next
        `step` hours later, each `window` hours long. NaN where fewer than
        half of the window's hours hold a value; never infinite. A window's
        numbers depend on its own hours and those `before` it alone.
    """

    name: str
    parts: tuple[Statistic, ...]
    before: int
    statistics: Callable[[Hourly, int, int], Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """The windows of a stretch.

    Attributes
    ----------
    values : (feature, window, hour)
        0 where missing.
    there : (feature, window, hour)
        False where missing.
    n : (feature, window)
        How many are there; NaN where fewer than half.
    """

    values: Floats
    there: Bools
    n: Floats

    def mean(self, values: Floats) -> Floats:
        """Return the mean over each window of values that are 0 where missing."""
        mean: Floats = values.sum(axis=-1) / self.n
        return mean


def slide(values: NDArray[Scalar], window: int, step: int) -> NDArray[Scalar]:
    """Return the windows of each feature; nothing is copied but the transpose.

    Parameters
    ----------
    values : (hour, feature)
        Any numbers.
    window, step
        In hours.

    Returns
    -------
    (feature, window, hour)
        No window where the stretch is shorter than one.

    Examples
    --------
    >>> slide(np.arange(5.0)[:, None], window=3, step=2)
    array([[[0., 1., 2.],
            [2., 3., 4.]]])
    """
    if len(values) < window:
        return np.empty((values.shape[1], 0, window), dtype=values.dtype)
    columns = np.ascontiguousarray(values.T)
    return np.lib.stride_tricks.sliding_window_view(columns, window, axis=1)[:, ::step]


def cut(values: Floats, window: int, step: int) -> Cut:
    """Cut a stretch into windows, missing hours set apart.

    Parameters
    ----------
    values : (hour, feature)
        NaN where missing.
    window, step
        In hours.
    """
    there = np.isfinite(values)
    present = slide(there, window, step)
    n = present.sum(axis=-1).astype(float)
    return Cut(
        values=slide(np.where(there, values, 0.0), window, step),
        there=present,
        n=np.where(2 * n >= window, n, np.nan),
    )


def centred(windows: Cut) -> tuple[Floats, Floats]:
    """Return each window's mean and its departures from it.

    Returns
    -------
    mean : (feature, window)
    departures : (feature, window, hour)
        0 where missing, and exactly 0 where all values are the same.
    """
    first = np.argmax(windows.there, axis=-1)[..., np.newaxis]
    # From a value of its own the sum of a large level stays exact.
    origin = np.take_along_axis(windows.values, first, axis=-1)
    away = windows.values - origin
    if not windows.there.all():
        away *= windows.there
    mean = windows.mean(away)
    away -= np.nan_to_num(mean)[..., np.newaxis]
    if not windows.there.all():
        away *= windows.there
    return mean + origin[..., 0], away


def log_size(size: Floats) -> Floats:
    """Return the logarithm of a size, finite even for none at all.

    Examples
    --------
    >>> log_size(np.array([1.0, 0.0, np.nan])).round()
    array([   0., -708.,   nan])
    """
    logarithm: Floats = np.log(np.maximum(size, _TINY))
    return logarithm


def angle(share: Floats) -> Floats:
    """Return a share on a scale where chance alone moves each alike.

    References
    ----------
    .. [1] M. F. Freeman and J. W. Tukey, "Transformations related to the
       angular and the square root", Ann. Math. Stat. 21(4), 1950, 607-611.

    Examples
    --------
    >>> angle(np.array([0.0, 0.5, 1.0])).round(2)
    array([0.  , 0.79, 1.57])
    """
    turned: Floats = np.arcsin(np.sqrt(share))
    return turned


def stack(*statistics: Floats) -> Floats:
    """Put statistics of shape (feature, window) together as (window, feature, statistic)."""
    return np.stack(statistics, axis=-1).swapaxes(0, 1)
