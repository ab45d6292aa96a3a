"""Detection of incidents in the reference, which are excluded from the fit.

An incident is an episode that stands apart from the other high episodes of its
own series: not merely the highest, because something always is.
"""

import numpy as np
import scipy

from monitors.summaries.summary import Bools, Floats

LEVEL = 0.05  # chance that a quiet reference loses days
MOST = 3  # peaks; more of them are not incidents any longer
_TAIL = 12  # episodes from which the spacing of the highest is estimated


def incidents(scores: Floats, gap: int, level: float = LEVEL) -> Bools:
    """Mark the evaluations of episodes that are no part of the tail of the others.

    The highest `m` of many values with an exponential tail are spaced so that
    `k (X_k - X_{k+1})` are independent with one mean [1]_. So the spacing below
    the r-th, times r, over the mean of those further down, is F(2, 2(m - r)).
    Tails that are lighter, as of distances, make the test more cautious.

    Parameters
    ----------
    scores : (evaluation,)
        One a day, each scored as if its time had not been seen. NaN: no data.
    gap
        Quiet evaluations that end an episode.
    level
        Chance that any episode of a quiet reference is marked. It is shared
        by the numbers of peaks, one to three, that are tried.

    Returns
    -------
    (evaluation,)
        All false where fewer than twelve episodes can be separated.

    References
    ----------
    .. [1] A. Rényi, "On the theory of order statistics", Acta Mathematica
       Academiae Scientiarum Hungaricae 4, 1953, pp. 191-231.

    Examples
    --------
    >>> quiet = 3.0 + np.abs(np.sin(np.arange(365.0)))
    >>> quiet[200:204] = 40.0
    >>> np.flatnonzero(incidents(quiet, gap=7))
    array([200, 201, 202, 203])
    """
    known = np.where(np.isfinite(scores), scores, -np.inf)
    peaks = _peaks(known, gap)
    none = np.zeros(scores.shape, dtype=np.bool_)
    if peaks.size < _TAIL:
        return none
    k = np.arange(1, _TAIL)
    spacings = k * (peaks[: _TAIL - 1] - peaks[1:_TAIL])
    chances = [
        float(scipy.special.fdtrc(2, 2 * (_TAIL - 1 - r), spacings[r - 1] / mean_spacing))
        for r in range(1, MOST + 1)
        if (mean_spacing := float(spacings[r:].mean())) > 0
    ]
    if not chances or min(chances) > level / MOST:
        return none
    return np.asarray(known > peaks[1 + int(np.argmin(chances))])


def _peaks(scores: Floats, gap: int) -> Floats:
    """Return the highest scores of stretches of `gap` evaluations, descending, one per episode.

    The highest score is a peak; evaluations within `gap` of it belong to it; and so on.
    """
    left = scores.copy()
    peaks: list[float] = []
    while len(peaks) < _TAIL and np.isfinite(top := left.max(initial=-np.inf)):
        at = int(left.argmax())
        peaks.append(float(top))
        left[max(at - gap, 0) : at + gap + 1] = -np.inf
    return np.array(peaks)


def stretches(marked: Bools) -> list[tuple[int, int]]:
    """Return the runs of true values as `[start, end)`.

    Examples
    --------
    >>> stretches(np.array([False, True, True, False, True]))
    [(1, 3), (4, 5)]
    """
    edges = np.flatnonzero(np.diff(np.r_[0, marked.astype(np.int8), 0]))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
