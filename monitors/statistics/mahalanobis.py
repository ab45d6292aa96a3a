"""Mahalanobis distance of changes, with a shrunk covariance."""

import numpy as np

from monitors.summaries.summary import Floats

_SHRINK = 0.2  # of what coordinates have in common is not believed: windows are few


def metric(away: Floats, grain: float) -> Floats:
    """Return the metric in which typical changes are about 1 in every direction.

    Parameters
    ----------
    away : (evaluation, coordinate)
        Typical changes, around 0. NaN counts as no change.
    grain
        A change of this size is far in no direction, however still it is there.

    Returns
    -------
    (coordinate, coordinate)
        The inverse of the second moments, shrunk to their diagonal.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "A well-conditioned estimator for
       large-dimensional covariance matrices", J. Multivariate Analysis 88(2), 2004.

    Examples
    --------
    >>> away = np.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> metric(away, grain=0.2).diagonal().round(2)
    array([  0.99, 100.  ])
    """
    known = away[np.isfinite(away).any(axis=1)]
    known = np.where(np.isfinite(known), known, 0.0)
    common = known.T @ known / max(len(known), 1)
    own = np.diag(common.diagonal())
    still = (grain / 2) ** 2 * np.eye(len(common))
    return np.asarray(np.linalg.inv((1 - _SHRINK) * common + _SHRINK * own + still))


def distance(away: Floats, metric: Floats) -> Floats:
    """Return how far each change is, per coordinate.

    Parameters
    ----------
    away : (evaluation, coordinate)
        NaN counts as no change: rows of eight steps have no ninth.
    metric : (coordinate, coordinate)
        From `metric`.

    Returns
    -------
    (evaluation,)
        NaN where no coordinate is known.

    References
    ----------
    .. [1] P. C. Mahalanobis, "On the generalised distance in statistics",
       Proc. Nat. Inst. Sci. India 2, 1936, pp. 49-55.

    Examples
    --------
    >>> distance(np.array([[3.0, 4.0], [np.nan, np.nan]]), np.eye(2)).round(2)
    array([3.54,  nan])
    """
    there = np.isfinite(away)
    known = np.where(there, away, 0.0)
    squares = np.einsum("ij,jk,ik->i", known, metric, known, optimize=True) / away.shape[1]
    return np.where(there.any(axis=1), np.sqrt(np.maximum(squares, 0.0)), np.nan)
