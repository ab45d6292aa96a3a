"""The largest of many scores, as the test statistic of all of them."""

import numpy as np

from monitors.summaries.summary import Floats


def largest(scores: Floats, axis: int | tuple[int, ...]) -> Floats:
    """Return the largest score over views, or features; NaN only where all are NaN.

    References
    ----------
    .. [1] P. H. Westfall and S. S. Young, "Resampling-Based Multiple
       Testing", Wiley, 1993.
    """
    there = np.isfinite(scores)
    highest = np.where(there, scores, 0.0).max(axis=axis, initial=0.0)
    return np.where(there.any(axis=axis), highest, np.nan)
