"""Totals of a window over all hours."""

from dataclasses import dataclass

import numpy as np

from monitors.summaries.moments import combined, mean_and_sd, nothing
from monitors.summaries.summary import MAX, MIN, Floats, Summary


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Totals:
    """All hours of a window as one.

    Attributes
    ----------
    counts : (feature, bin)
        Values per bin.
    low, high : (feature,)
        The smallest and the largest value; infinite where there is none.
    mean, sd : (feature,)
        NaN where no value arrived; the standard deviation also where a stored one
        was lost to rounding.
    """

    counts: Floats
    low: Floats
    high: Floats
    mean: Floats
    sd: Floats


def totals(window: Summary) -> Totals:
    """Merge the hours of a window.

    Parameters
    ----------
    window
        Any number of hours.

    Examples
    --------
    >>> from monitors.summaries.summary import Edges
    >>> from monitors.summaries.values import Column, summarise
    >>> edges = Edges(names=("x",), values=np.array([[0.0, 1.0]]))
    >>> hours, flags = np.array([7, 8]), np.zeros(2, dtype=bool)
    >>> x = Column(values=np.array([0.5, 2.5]), chunks=hours, repeats=flags)
    >>> day = totals(summarise([x], edges))
    >>> day.counts, day.mean, day.sd
    (array([[0., 1., 1.]]), array([1.5]), array([1.]))
    """
    moments = window.moments
    if len(moments):
        [whole] = combined(moments, np.zeros(1, dtype=np.int64))
    else:
        whole = nothing(moments.shape[1])
    mean, sd = mean_and_sd(whole)
    return Totals(
        counts=window.counts.sum(axis=0, dtype=np.float64),
        low=whole[..., MIN],
        high=whole[..., MAX],
        mean=mean,
        sd=sd,
    )
