"""Benjamini-Hochberg selection of the features that shifted.

The limit of a monitor is what the largest score of all features may reach, so that a feature
which moved less than that stays unnamed beside one that moved more. Once it is known
that something moved, each feature may be asked by its own past.
"""

from collections.abc import Sequence

import numpy as np

from monitors.summaries.summary import Bools, Floats

WRONG_SHARE = 0.1  # of the features named, on average: what findings promise


def moved(scores: Floats, null: Floats, limit: float) -> Bools:
    """Name features by Benjamini and Hochberg [1]_, each against its own reference.

    Parameters
    ----------
    scores : (feature,)
        Of the evaluation in breach; NaN, no data, is never named.
    null : (evaluation, feature)
        Scores of the evaluations of the reference, each as if its own time had not been
        seen. NaN is left out.
    limit
        Of the monitor; a feature above it is named whatever its p-value.

    Returns
    -------
    (feature,)
        A tenth of those named is meant to be wrong on average, where features
        move together as sensors of one plant do [2]_; .05 to .13 were, of 20
        simulated ones.

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, "Controlling the false discovery
       rate", JRSS-B 57(1), 1995, pp. 289-300.
    .. [2] Y. Benjamini and D. Yekutieli, "The control of the false discovery
       rate in multiple testing under dependency", Ann. Stat. 29(4), 2001,
       pp. 1165-1188.

    Examples
    --------
    >>> null = np.tile(np.linspace(0.0, 1.0, 100)[:, np.newaxis], 3)
    >>> moved(np.array([2.0, 0.99, 0.3]), null, limit=1.5)
    array([ True,  True, False])
    """
    there = np.isfinite(scores)
    as_far = (null >= np.where(there, scores, np.inf)).sum(axis=0)  # NaN is not as far
    p = (1 + as_far) / (1 + np.isfinite(null).sum(axis=0))
    ranked = np.sort(p[there])
    held = ranked <= WRONG_SHARE * np.arange(1, ranked.size + 1) / max(ranked.size, 1)
    least = ranked[held][-1] if held.any() else 0.0
    return np.asarray(there & ((p <= least) | (scores > limit)))


def names_moved(
    joint: float, names: Sequence[str], scores: Floats, null: Floats, limit: float
) -> tuple[str, ...]:
    """Return the names of the features that moved, the farthest first; see `moved`.

    Nothing is named unless `joint`, the score of the evaluation, is above the limit.
    """
    found = moved(scores, null, limit) if joint > limit else np.zeros(len(names))
    return tuple(names[i] for i in np.argsort(-scores, kind="stable").tolist() if found[i])
